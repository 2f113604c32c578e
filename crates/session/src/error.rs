//! Errors that end a session.

use slipway_api_server::kubeconfig::{ConnectError, KubeconfigError};
use slipway_api_server::request::ApiError;
use slipway_carrier::CarrierError;
use slipway_cluster::keys::KeyError;
use slipway_cluster::placement::PlaceError;
use slipway_method::BadName;
use slipway_problem::{Action, Fault, Problem};
use slipway_profile::ProfileName;
use slipway_tunnel::ProofError;

use crate::trouble::{FIRST_CARRIER, Trouble};

/// Reason for which a session could not start, or ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The API server cannot be used.
    #[error(transparent)]
    Connect(Box<ConnectError>),
    /// A request to the API server failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The session's key cannot be kept.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The agent cannot be placed.
    #[error(transparent)]
    Place(Box<PlaceError>),
    /// The agent cannot be reached.
    #[error("the session cannot reach the agent in the cluster: {0}")]
    Carrier(CarrierError),
    /// The program that answers in the pod is not this session's agent.
    #[error("the session rejected the agent in the cluster: {0}")]
    Proof(#[from] ProofError),
    /// The agent did not answer in time.
    #[error("the agent in the cluster did not answer within {seconds} s")]
    AgentSilent {
        /// Length of the wait, in seconds.
        seconds: u64,
    },
    /// The method cannot start to capture programs, or cannot continue.
    #[error(transparent)]
    Method(Problem),
    /// The profile or the kubeconfig contains an invalid name.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl From<Trouble> for SessionError {
    fn from(trouble: Trouble) -> SessionError {
        match trouble {
            Trouble::Open(error) => error.into(),
            Trouble::Proof(error) => error.into(),
            Trouble::Ended(_) | Trouble::Slow(_) => SessionError::AgentSilent {
                seconds: FIRST_CARRIER.as_secs(),
            },
        }
    }
}

impl From<CarrierError> for SessionError {
    fn from(error: CarrierError) -> SessionError {
        if let CarrierError::Login(error) = error {
            return ApiError::from(error).into();
        }
        SessionError::Carrier(error)
    }
}

impl From<PlaceError> for SessionError {
    fn from(error: PlaceError) -> SessionError {
        SessionError::Place(Box::new(error))
    }
}

impl From<ConnectError> for SessionError {
    fn from(error: ConnectError) -> SessionError {
        SessionError::Connect(Box::new(error))
    }
}

impl Fault for SessionError {
    fn code(&self) -> &str {
        match self {
            SessionError::Method(error) => error.code(),
            SessionError::Kubeconfig(error) => error.code(),
            SessionError::Connect(error) => error.code(),
            SessionError::Api(error) => error.code(),
            SessionError::Key(error) => error.code(),
            SessionError::Place(error) => error.code(),
            SessionError::Carrier(_) => "carrier",
            SessionError::Proof(_) => "agent-proof",
            SessionError::AgentSilent { .. } => "agent-silent",
            SessionError::Name(error) => error.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            SessionError::Method(error) => error.remedy(),
            SessionError::Kubeconfig(error) => error.remedy(),
            SessionError::Connect(error) => error.remedy(),
            SessionError::Api(error) => error.remedy(),
            SessionError::Key(error) => error.remedy(),
            SessionError::Place(error) => error.remedy(),
            SessionError::Carrier(CarrierError::Forbidden { .. }) => {
                "Ask for a Role that allows it; `slipway doctor` prints a suitable one.".to_owned()
            }
            SessionError::Carrier(_) => {
                "Check that `kubectl port-forward` to a pod of this namespace works, then connect again."
                    .to_owned()
            }
            SessionError::Proof(_) => {
                "Run `slipway cleanup` to remove agents that ended or never started, then connect again."
                    .to_owned()
            }
            SessionError::AgentSilent { .. } => {
                "Read the agent's log in the session's namespace with `kubectl logs -l \
                 app.kubernetes.io/name=slipway-agent`."
                    .to_owned()
            }
            SessionError::Name(error) => error.remedy(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        let run = |command: &str| {
            vec![Action::Run {
                command: command.to_owned(),
            }]
        };
        match self {
            SessionError::Method(error) => error.actions(),
            SessionError::Kubeconfig(error) => error.actions(),
            SessionError::Connect(error) => error.actions(),
            SessionError::Api(error) => error.actions(),
            SessionError::Key(error) => error.actions(),
            SessionError::Place(error) => error.actions(),
            SessionError::Carrier(CarrierError::Forbidden { .. }) => run("slipway doctor"),
            SessionError::Proof(_) => run("slipway cleanup"),
            SessionError::AgentSilent { .. } => run("kubectl logs -l app.kubernetes.io/name=slipway-agent"),
            SessionError::Name(error) => error.actions(),
            SessionError::Carrier(_) => Vec::new(),
        }
    }
}

impl SessionError {
    /// Returns the problem to show to users. For a saved profile at fault, it offers to edit the profile.
    pub(crate) fn problem_of(&self, profile: Option<&ProfileName>) -> Problem {
        self.editable(self.problem(), profile)
    }

    /// Adds to this error's problem how to edit the saved profile, if that is at fault.
    pub(crate) fn editable(&self, problem: Problem, profile: Option<&ProfileName>) -> Problem {
        match profile.filter(|_| self.is_the_profiles()) {
            Some(profile) => profile.editable(problem),
            None => problem,
        }
    }

    /// Returns whether the method ended: then programs are no longer captured, and no agent helps.
    pub(crate) fn is_of_method(&self) -> bool {
        matches!(self, SessionError::Method(_))
    }

    /// Returns whether another attempt to replace an agent may succeed without a change of permissions, rules or settings.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            SessionError::Place(error) => error.is_passing(),
            // A new login is no change of the session.
            SessionError::Api(error) => error.is_passing() || error.is_of_login(),
            SessionError::Carrier(CarrierError::Forbidden { .. } | CarrierError::InvalidEndpoint { .. }) => {
                false
            }
            SessionError::Carrier(_) | SessionError::Proof(_) | SessionError::AgentSilent { .. } => true,
            SessionError::Kubeconfig(_)
            | SessionError::Connect(_)
            | SessionError::Key(_)
            | SessionError::Method(_)
            | SessionError::Name(_) => false,
        }
    }

    /// Returns whether an edit of the profile can fix the error.
    fn is_the_profiles(&self) -> bool {
        match self {
            SessionError::Name(_) => true,
            SessionError::Kubeconfig(error) => matches!(
                error,
                KubeconfigError::Missing { .. }
                    | KubeconfigError::UnknownContext { .. }
                    | KubeconfigError::UnusableServer { .. }
            ),
            SessionError::Place(error) => matches!(
                **error,
                PlaceError::NamespaceMissing { .. }
                    | PlaceError::Forbidden { .. }
                    | PlaceError::Image { .. }
                    | PlaceError::Admission { .. }
                    | PlaceError::Unschedulable { .. }
            ),
            SessionError::Connect(error) => error.is_named,
            SessionError::Api(_)
            | SessionError::Key(_)
            | SessionError::Carrier(_)
            | SessionError::Proof(_)
            | SessionError::AgentSilent { .. }
            | SessionError::Method(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_api_server::login::LoginError;

    use super::*;

    #[test]
    fn a_refused_carrier_has_the_words_of_a_refused_request() {
        let refused = LoginError::Refused {
            plugin: Some("kubelogin".into()),
            expired: None,
        };
        let failed = LoginError::Plugin {
            plugin: "kubelogin".into(),
            detail: "exit status: 1".into(),
            install_hint: None,
        };
        for (login, code, named) in [
            (refused, "credentials-refused", "again with kubelogin."),
            (failed, "credential-plugin", "the credential plugin kubelogin"),
        ] {
            let error = SessionError::from(CarrierError::Login(login.clone()));
            assert_eq!(error.problem(), ApiError::from(login).problem());
            assert_eq!(error.code(), code);
            assert!(error.remedy().contains(named), "{}", error.remedy());
            assert!(
                error.is_passing(),
                "a session that is connected waits for a new login"
            );
        }
    }

    #[test]
    fn a_profile_at_fault_can_be_edited() {
        let error = SessionError::Name(BadName("a b".into()));
        let profile: ProfileName = "shop".parse().unwrap();
        let problem = error.problem_of(Some(&profile));
        assert!(
            problem.remedy.ends_with("`slipway profiles edit shop`."),
            "{problem:?}"
        );
        let edit = Action::EditProfile {
            profile: "shop".into(),
        };
        assert_eq!(problem.actions, [edit]);
        assert_eq!(error.problem_of(None), error.problem());
    }
}
