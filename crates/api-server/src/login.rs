//! Login to one API server, shared by all clients of a target.
//!
//! Credentials come from the kubeconfig, a token file, a credential plugin or another [`TokenSource`](crate::TokenSource). They are obtained once and used until they
//! end or the API server refuses them (401). Then kubeconfig, token file or plugin are asked again, and the refused
//! credentials are sent again, with pauses that [`renewal`] decides: a person who logs in again is noticed, a refusal that
//! passes is survived, and an API server that counts failed logins is not asked without end. A plugin runs in a task of its own: a request that waits for it may be given up without ending it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderValue;
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use error::LoginError;
pub use plugin::PLUGIN_PATIENCE;

use source::Source;
pub(crate) use source::UserLogin;

use renewal::{Need, Renewal};

mod error;
mod hosts;
mod json_web_token;
pub(crate) mod plugin;
mod renewal;
mod search_path;
mod source;
mod words;

/// Number of runs, the last one included, of which a program such as a browser may still write to standard error.
const RUNS: usize = 8;

/// What requests are sent with.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// Value of the header `Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
    /// Certificate and key of TLS.
    pub(crate) identity: Option<Arc<CertifiedKey>>,
}

impl Credentials {
    fn is_same(&self, other: &Self) -> bool {
        let chain = |credentials: &Self| {
            credentials
                .identity
                .as_ref()
                .map(|identity| identity.cert.clone())
        };
        self.authorization == other.authorization && chain(self) == chain(other)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Credentials with the number of the time that they were obtained.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) credentials: Credentials,
    pub(crate) number: u64,
}

/// What a person should know about a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginReport {
    /// Reason for which requests fail, of a login that worked before.
    pub problem: Option<LoginError>,
    /// Last lines that the running plugin wrote for a person, such as an address and a code to enter there.
    pub words: Vec<String>,
}

/// Reads the user's login from the kubeconfig again; `None` if that fails.
pub(crate) type Reload = Box<dyn Fn() -> Option<UserLogin> + Send + Sync>;

/// A login. Dropping it ends a running plugin.
pub struct Login {
    shared: Arc<Shared>,
    runs: Mutex<JoinSet<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// Number of finished runs.
    finished: watch::Sender<u64>,
    report: watch::Sender<LoginReport>,
    reload: Reload,
}

struct State {
    user: UserLogin,
    renewal: Renewal<Credentials>,
    running: bool,
    /// Whether the API server ever accepted credentials. Before that, the failed request tells enough.
    accepted: bool,
    /// Result of the last run, for those who waited for it.
    result: Option<Result<(), LoginError>>,
}

impl State {
    /// Returns why requests fail, if the login worked before and a person should know it.
    fn to_tell(&self) -> Option<LoginError> {
        self.renewal.to_tell().filter(|_| self.accepted).cloned()
    }
}

impl Login {
    pub(crate) fn new(user: UserLogin, reload: Reload) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    user,
                    renewal: Renewal::new(Credentials::is_same),
                    running: false,
                    accepted: false,
                    result: None,
                }),
                finished: watch::Sender::new(0),
                report: watch::Sender::new(LoginReport::default()),
                reload,
            }),
            runs: Mutex::new(JoinSet::new()),
        }
    }

    /// Returns reports of the login: the latest one, and each change.
    pub fn report(&self) -> watch::Receiver<LoginReport> {
        self.shared.report.subscribe()
    }

    /// Returns the name of the credential plugin or of the kind of login that the kubeconfig names, if there is one.
    pub fn plugin(&self) -> Option<String> {
        self.shared.state().user.source.plugin().map(ToOwned::to_owned)
    }

    /// Returns the hosts that the credential plugin is told to use, as far as its arguments and variables name them: an
    /// issuer, a login server.
    pub fn hosts(&self) -> Vec<String> {
        match &self.shared.state().user.source {
            Source::Plugin(plugin) => plugin.hosts(),
            Source::Fixed(_) | Source::TokenFile(..) | Source::Asked(_) | Source::Unknown(_) => Vec::new(),
        }
    }

    /// Returns the credentials for a request, obtained now if there are none that count.
    pub(crate) async fn credentials(&self) -> Result<Numbered, LoginError> {
        loop {
            self.ready().await?;
            let mut state = self.shared.state();
            let now = Instant::now();
            let (credentials, number) = match state.renewal.need(now, Timestamp::now()) {
                Need::Use(credentials, number) => (credentials, number),
                Need::Again => state.renewal.send_again(now).ok_or(LoginError::Ended)?,
                Need::Fail(error) => return Err(error),
                // They have ended, or another request found them refused, in the meantime.
                Need::Obtain { .. } => continue,
            };
            return Ok(Numbered { credentials, number });
        }
    }

    /// Obtains credentials if there are none that count. Returns an error if a request would not be sent.
    pub(crate) async fn ready(&self) -> Result<(), LoginError> {
        let mut finished = self.shared.finished.subscribe();
        let renews = {
            let mut state = self.shared.state();
            match state.renewal.need(Instant::now(), Timestamp::now()) {
                Need::Use(..) | Need::Again => return Ok(()),
                Need::Fail(error) => return Err(error),
                Need::Obtain { renews } => (!std::mem::replace(&mut state.running, true)).then_some(renews),
            }
        };
        if let Some(renews) = renews {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            while runs.try_join_next().is_some() {}
            let is_read_on = runs.len() < RUNS;
            runs.spawn(self.shared.clone().run(renews, is_read_on));
        }
        // Fails only if this login is dropped.
        let _ = finished.changed().await;
        let result = self.shared.state().result.clone();
        result.unwrap_or(Err(LoginError::Ended))
    }

    /// Notes that the API server refused credentials, and returns the error for the request.
    pub(crate) fn refused(&self, sent: &Numbered) -> LoginError {
        let mut state = self.shared.state();
        let error = LoginError::Refused {
            plugin: state.user.source.plugin().map(ToOwned::to_owned),
            expired: sent
                .credentials
                .authorization
                .as_ref()
                .and_then(json_web_token::expiry),
        };
        state.renewal.refused(sent.number, error.clone(), Instant::now());
        if let Some(problem) = state.to_tell() {
            self.shared.show(Some(problem));
        }
        error
    }

    /// Notes that the API server accepted credentials.
    pub(crate) fn accepted(&self, sent: &Numbered) {
        let mut state = self.shared.state();
        if state.renewal.accepted(sent.number) {
            state.accepted = true;
            self.shared.show(None);
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("plugin", &self.plugin())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, problem: Option<LoginError>) {
        self.report.send_if_modified(|report| {
            let changed = report.problem != problem;
            report.problem = problem;
            changed
        });
    }

    /// Obtains credentials once. `renews` is whether the API server refused the last ones: then the kubeconfig may have
    /// changed. `is_read_on` is whether the plugin's standard error is read also after the run, until nobody writes to it.
    async fn run(self: Arc<Self>, renews: bool, is_read_on: bool) {
        if renews && let Some(user) = (self.reload)() {
            self.state().user = user;
        }
        let user = self.state().user.clone();
        let begun = Instant::now();
        let mut words = None;
        let obtained = user.obtain(&self.report, &mut words).await;
        self.report
            .send_if_modified(|report| !std::mem::take(&mut report.words).is_empty());
        let problem = {
            let mut state = self.state();
            let (now, took) = (Instant::now(), begun.elapsed());
            let result = match obtained {
                Ok(obtained) => {
                    let until = obtained.until;
                    state.renewal.obtained(obtained.credentials, until, now, took)
                }
                Err(error) => Err(state.renewal.failed(error, now, took)),
            };
            state.running = false;
            let problem = result.as_ref().err().and_then(|_| state.to_tell());
            state.result = Some(result);
            problem
        };
        if problem.is_some() {
            self.show(problem);
        }
        self.finished.send_modify(|number| *number += 1);
        if is_read_on && let Some(words) = words {
            words.ignore().await;
        }
    }
}
