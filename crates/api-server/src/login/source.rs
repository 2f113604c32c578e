//! Sources of credentials, as client-go chooses between them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use slipway_problem::Problem;
use tokio::sync::watch;

use super::plugin::Plugin;
use super::renewal::counts_until;
use super::words::Words;
use super::{Credentials, LoginError, LoginReport};
use crate::file::User;
use crate::file::data::{self, DataError};
use crate::token_source::TokenSource;
use crate::trust::{TrustError, identity};

/// Interval at which a token file is read again, as in client-go.
const TOKEN_FILE_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// How a user of the kubeconfig logs in.
#[derive(Clone, Debug)]
pub(crate) struct UserLogin {
    pub(crate) source: Source,
    /// Certificate and key of the kubeconfig.
    identity: Option<Arc<CertifiedKey>>,
}

/// Source of the header `Authorization`.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The kubeconfig: a token, a name and password, or nothing.
    Fixed(Option<HeaderValue>),
    /// A file with a token, and the token that counts while it cannot be read.
    TokenFile(PathBuf, Option<HeaderValue>),
    Plugin(Box<Plugin>),
    /// A source outside the kubeconfig.
    Asked(Arc<dyn TokenSource>),
    /// A kind of login that this version does not know.
    Unknown(String),
}

/// Credentials and the time until which they count; `None`: until they are refused.
pub(super) struct Obtained {
    pub(super) credentials: Credentials,
    pub(super) until: Option<Timestamp>,
}

/// Error in a user of the kubeconfig.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("the user's client-certificate: {0}")]
    Certificate(DataError),
    #[error("the user's client-key: {0}")]
    Key(DataError),
    #[error("the user's client-certificate and client-key: {0}")]
    Identity(TrustError),
    #[error("the user's token contains characters that no header may contain")]
    Token,
}

impl UserLogin {
    /// Chooses the source. A token or a name and password take precedence over a plugin, and a certificate goes with any
    /// of them (`k8s.io/client-go/rest`, `transport`). A certificate without its key does not count, nor the reverse.
    pub(crate) fn of(user: &User, plugin: impl FnOnce() -> Option<Plugin>) -> Result<Self, UserError> {
        let certificate = data::read(
            user.client_certificate_data.as_deref(),
            user.client_certificate.as_deref(),
        );
        let key_data = user.client_key_data.as_ref().map(SecretString::expose_secret);
        let key = data::read(key_data, user.client_key.as_deref());
        let identity = match (
            certificate.map_err(UserError::Certificate)?,
            key.map_err(UserError::Key)?,
        ) {
            (Some(certificate), Some(key)) => {
                Some(identity(&certificate, &key).map_err(UserError::Identity)?)
            }
            _ => None,
        };
        let token = user.token.as_ref().map(|token| bearer(token.expose_secret()));
        let token = token.transpose()?;
        let source = if let Some(source) = &user.token_source {
            Source::Asked(source.clone())
        } else if let Some(file) = &user.token_file {
            Source::TokenFile(file.into(), token)
        } else if token.is_some() {
            Source::Fixed(token)
        } else if user.username.is_some() || user.password.is_some() {
            let name = user.username.as_deref().unwrap_or_default();
            let password = user
                .password
                .as_ref()
                .map_or("", |password| password.expose_secret());
            Source::Fixed(Some(basic(name, password)?))
        } else if let Some(provider) = &user.auth_provider {
            let token = provider.config.get("id-token").filter(|token| !token.is_empty());
            match token {
                Some(token) if provider.name == "oidc" => Source::Fixed(Some(bearer(token)?)),
                _ => Source::Unknown(provider.name.clone()),
            }
        } else {
            match plugin() {
                Some(plugin) => Source::Plugin(Box::new(plugin)),
                None => Source::Fixed(None),
            }
        };
        Ok(Self { source, identity })
    }

    /// Reads the file, runs the plugin, or returns what the kubeconfig says. `words` gets the plugin's standard error, as
    /// [`Plugin::run`] says.
    pub(super) async fn obtain(
        &self,
        report: &watch::Sender<LoginReport>,
        words: &mut Option<Words>,
    ) -> Result<Obtained, LoginError> {
        let clock = Timestamp::now();
        let obtained = |authorization, until| Obtained {
            credentials: Credentials {
                authorization,
                identity: self.identity.clone(),
            },
            until,
        };
        match &self.source {
            Source::Fixed(authorization) => Ok(obtained(authorization.clone(), None)),
            Source::TokenFile(path, otherwise) => {
                let token = read_token(path)
                    .await
                    .or_else(|error| otherwise.clone().ok_or(error))?;
                Ok(obtained(Some(token), clock.checked_add(TOKEN_FILE_EVERY).ok()))
            }
            Source::Plugin(plugin) => {
                let answer = plugin.run(report, words).await?;
                let until = answer.expires.map(|end| counts_until(end, clock));
                let token = answer.token.as_deref().map(bearer).transpose();
                let token = token.map_err(|error| plugin.failed(error.to_string()))?;
                let mut obtained = obtained(token, until);
                // A certificate of the kubeconfig takes precedence, as in client-go.
                if obtained.credentials.identity.is_none() {
                    obtained.credentials.identity = answer.identity;
                }
                Ok(obtained)
            }
            Source::Asked(source) => {
                let token = source.token().await.map_err(LoginError::Secret)?;
                let token = bearer(token.expose_secret().trim()).map_err(|error| {
                    let remedy = "Check that the profile's token refers to the token alone.";
                    LoginError::Secret(Problem::new("secret-unusable", error.to_string(), remedy))
                })?;
                Ok(obtained(Some(token), None))
            }
            Source::Unknown(kind) => Err(LoginError::Plugin {
                plugin: kind.clone(),
                detail: format!("the login {kind:?} (auth-provider) is not supported"),
                install_hint: Some(
                    "Fetch a new kubeconfig, whose user has a credential plugin (`exec`) in place of `auth-provider`."
                        .to_owned(),
                ),
            }),
        }
    }
}

impl Source {
    /// Returns the name of the plugin or of the unknown kind of login.
    pub(super) fn plugin(&self) -> Option<&str> {
        match self {
            Self::Plugin(plugin) => Some(plugin.command()),
            Self::Unknown(kind) => Some(kind),
            Self::Fixed(_) | Self::TokenFile(..) | Self::Asked(_) => None,
        }
    }
}

async fn read_token(path: &Path) -> Result<HeaderValue, LoginError> {
    let failed = |detail| LoginError::TokenFile {
        path: path.to_owned(),
        detail,
    };
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    bearer(token).map_err(|error| failed(error.to_string()))
}

fn bearer(token: &str) -> Result<HeaderValue, UserError> {
    sensitive(&format!("Bearer {token}"))
}

fn basic(name: &str, password: &str) -> Result<HeaderValue, UserError> {
    sensitive(&format!(
        "Basic {}",
        STANDARD.encode(format!("{name}:{password}"))
    ))
}

fn sensitive(value: &str) -> Result<HeaderValue, UserError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| UserError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}
