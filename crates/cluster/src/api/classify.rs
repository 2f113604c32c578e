//! From the libraries' nested errors to one [`ApiError`].
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the libraries may grow"
)]

use std::error::Error as StdError;
use std::io;

use kube::client::AuthError;
use kube::core::Status;
use rustls::CertificateError;

use super::{Access, ApiError, CertificateProblem};

/// How deep a chain of causes is followed; a cause that names itself must not hold us.
const CAUSES: usize = 16;

/// Says what an error of the Kubernetes client means; `access` is what the request needed.
pub(crate) fn classify(access: Access, error: kube::Error) -> ApiError {
    match error {
        kube::Error::Api(status) => from_status(access, *status),
        kube::Error::Auth(error) => from_auth(&error),
        kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
            ApiError::Proxy {
                detail: error.to_string(),
            }
        }
        error => from_causes(&error),
    }
}

fn from_status(access: Access, status: Status) -> ApiError {
    let Status {
        code,
        message,
        reason,
        ..
    } = status;
    match code {
        401 => ApiError::Credentials { detail: message },
        403 if is_authorization(&message) => ApiError::Forbidden { access, message },
        404 => ApiError::NotFound { message },
        status => ApiError::Refused {
            status,
            reason,
            message,
        },
    }
}

/// Authorizers and admission both answer 403. Authorizers alone say who cannot do what
/// (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters`).
fn is_authorization(message: &str) -> bool {
    message.contains(" cannot ") && message.contains("User \"")
}

fn from_auth(error: &AuthError) -> ApiError {
    let (plugin, detail) = match error {
        AuthError::AuthExecRun { cmd, out } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            let said = stderr.trim();
            let detail = if said.is_empty() {
                format!("{}", out.status)
            } else {
                format!("{} ({})", said, out.status)
            };
            (program(cmd), detail)
        }
        AuthError::ReadTokenFile(error, path) => {
            return ApiError::Credentials {
                detail: format!("{}: {error}", path.display()),
            };
        }
        AuthError::AuthExecStart(error) => ("of this context".to_owned(), error.to_string()),
        error => ("of this context".to_owned(), error.to_string()),
    };
    ApiError::Plugin { plugin, detail }
}

/// The program of a command line as `std::process::Command` shows it: quoted words.
fn program(command: &str) -> String {
    let first = command.split('"').nth(1).unwrap_or(command);
    first.to_owned()
}

fn from_causes(error: &(dyn StdError + 'static)) -> ApiError {
    let mut cause = Some(error);
    let mut last = error.to_string();
    for _ in 0..CAUSES {
        let Some(error) = cause else { break };
        if let Some(found) = from_cause(error) {
            return found;
        }
        last = error.to_string();
        cause = error.source();
    }
    ApiError::Broken { detail: last }
}

fn from_cause(error: &(dyn StdError + 'static)) -> Option<ApiError> {
    if let Some(error) = error.downcast_ref::<AuthError>() {
        return Some(from_auth(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(from_tls(error));
    }
    let text = error.to_string();
    // The resolver's and the tunnel's error types of the HTTP client are private; their words are all there is.
    if text.starts_with("dns error") || text.contains("failed to lookup address") {
        let detail = error.source().map_or(text, |cause| cause.to_string());
        return Some(ApiError::Resolve { detail });
    }
    if text.starts_with("tunnel error") || text.starts_with("SOCKS error") {
        return Some(ApiError::Proxy { detail: text });
    }
    let error = error.downcast_ref::<io::Error>()?;
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return Some(from_tls(tls));
    }
    from_io(error)
}

fn from_io(error: &io::Error) -> Option<ApiError> {
    use io::ErrorKind as Kind;
    let detail = error.to_string();
    match error.kind() {
        Kind::ConnectionRefused
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable
        | Kind::PermissionDenied
        | Kind::TimedOut => Some(ApiError::Connect { detail }),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
            Some(ApiError::Broken { detail })
        }
        _ => None,
    }
}

fn from_tls(error: &rustls::Error) -> ApiError {
    let detail = error.to_string();
    match error {
        rustls::Error::InvalidCertificate(certificate) => ApiError::Certificate {
            problem: certificate_problem(certificate),
            detail,
        },
        // The server speaks about our certificate: it is how a client certificate is refused.
        rustls::Error::AlertReceived(_) => ApiError::Credentials { detail },
        _ => ApiError::Tls { detail },
    }
}

fn certificate_problem(error: &CertificateError) -> CertificateProblem {
    match error {
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid
        }
        _ => CertificateProblem::Invalid,
    }
}
