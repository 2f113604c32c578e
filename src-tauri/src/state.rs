//! State of the desktop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use slipway_control_api::{Problem, SessionId, SessionStatus, State};
use slipway_profile::{ContextName, ProfileName};

/// State of the desktop at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesktopState {
    /// The saved profiles, by name.
    pub profiles: Vec<Saved>,
    /// The kubeconfig's contexts, offered while no profile is saved.
    pub contexts: Vec<ContextName>,
    /// The running sessions, from the desktop and from terminals.
    pub sessions: BTreeMap<SessionId, SessionStatus>,
    /// Targets that are being connected, without a result yet.
    pub starting: BTreeSet<Target>,
    /// The last failure of each target, until it is tried again or dismissed.
    pub failures: BTreeMap<Target, Failure>,
}

/// Why a target is not connected, and who reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reporter.
    pub by: Reporter,
    /// The reported problem.
    pub problem: Problem,
}

/// Reporter of a failure. Of several reports, the one of the later variant is shown, because it is closer to the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reporter {
    /// The desktop, which saw the session's process end without a reason.
    Desktop,
    /// The `slipway connect` that the desktop started.
    Starter,
    /// The session itself, over its control socket.
    Session,
}

/// A file of the profile folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// A profile.
    Profile {
        /// Its name.
        name: ProfileName,
        /// Whether mistakes are expensive there.
        protected: bool,
    },
    /// A file that is not a valid profile.
    Broken {
        /// The file's name without its ending.
        stem: String,
        /// The error.
        problem: Problem,
    },
}

/// Target of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A saved profile.
    Profile(ProfileName),
    /// A context of the kubeconfig, with Slipway's defaults.
    Context(ContextName),
    /// Any other session from a terminal, by its title.
    Other(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) => name.fmt(f),
            Self::Context(context) => context.fmt(f),
            Self::Other(title) => f.write_str(title),
        }
    }
}

impl DesktopState {
    /// Returns the targets that the menu offers, in its order.
    pub fn rows(&self) -> Vec<Target> {
        if self.profiles.is_empty() {
            return self.contexts.iter().cloned().map(Target::Context).collect();
        }
        self.profiles
            .iter()
            .filter_map(|saved| match saved {
                Saved::Profile { name, .. } => Some(Target::Profile(name.clone())),
                Saved::Broken { .. } => None,
            })
            .collect()
    }

    /// Returns the target of a session.
    pub fn target_of(&self, status: &SessionStatus) -> Target {
        let named = match (&status.profile, &status.context) {
            (Some(profile), _) => profile.parse().ok().map(Target::Profile),
            (None, Some(context)) => context.parse().ok().map(Target::Context),
            (None, None) => None,
        };
        named.unwrap_or_else(|| Target::Other(status.title().to_owned()))
    }

    /// Returns the sessions of a target, oldest first.
    pub fn sessions_of(&self, target: &Target) -> Vec<&SessionStatus> {
        let mut sessions: Vec<_> = self
            .sessions
            .values()
            .filter(|status| self.target_of(status) == *target)
            .collect();
        sessions.sort_by_key(|status| status.age_order());
        sessions
    }

    /// Applies a snapshot of the sessions.
    pub fn tell(&mut self, news: slipway_control::Snapshot) {
        self.sessions = news.sessions;
        for gone in news.gone {
            let target = self.target_of(&gone);
            match (gone.state, gone.failure) {
                (State::Ending, None) | (State::Ended, None) => {}
                (_, Some(failure)) => self.report(target, Reporter::Session, failure),
                (
                    State::Preparing
                    | State::Placing
                    | State::Connecting
                    | State::Connected
                    | State::Reconnecting,
                    None,
                ) => self.report(target, Reporter::Desktop, died()),
            }
        }
    }

    /// Records a failure of a target, unless a reporter closer to the cause has reported one.
    pub fn report(&mut self, target: Target, by: Reporter, problem: Problem) {
        let known = self.failures.get(&target);
        if known.is_none_or(|known| known.by <= by) {
            self.failures.insert(target, Failure { by, problem });
        }
    }
}

fn died() -> Problem {
    Problem::new(
        "session-died",
        "The session's process ended without a reason.",
        "Connect again. Slipway then reuses or removes what the session left in the cluster.",
    )
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_profile::Method;

    use super::*;

    fn status(id: &str) -> SessionStatus {
        status_of_this_process(id.parse().unwrap(), Some("shop".into()), Method::VpnTcp)
    }

    fn shop() -> Target {
        Target::Profile("shop".parse().unwrap())
    }

    fn problem(code: &str) -> Problem {
        Problem::new(code, "It broke.", "Mend it.")
    }

    fn gone(desktop: &mut DesktopState, state: State, failure: Option<Problem>) {
        let mut status = status("shop-000000");
        status.state = state;
        status.failure = failure;
        desktop.tell(slipway_control::Snapshot {
            gone: vec![status],
            ..Default::default()
        });
    }

    fn codes(desktop: &DesktopState) -> Vec<&str> {
        let failures = desktop.failures.values();
        failures.map(|failure| failure.problem.code.as_str()).collect()
    }

    #[test]
    fn a_session_that_was_asked_to_end_leaves_no_failure() {
        for state in [State::Ended, State::Ending] {
            let mut desktop = DesktopState::default();
            gone(&mut desktop, state, None);
            assert_eq!(codes(&desktop), [""; 0]);
        }
    }

    #[test]
    fn a_session_that_dies_without_a_reason_is_a_failure() {
        let mut desktop = DesktopState::default();
        gone(&mut desktop, State::Connected, None);
        assert_eq!(codes(&desktop), ["session-died"]);
    }

    #[test]
    fn the_report_of_the_session_overrides_its_starters() {
        let mut first = DesktopState::default();
        gone(&mut first, State::Ended, Some(problem("session")));
        first.report(shop(), Reporter::Starter, problem("starter"));
        let mut last = DesktopState::default();
        last.report(shop(), Reporter::Starter, problem("starter"));
        gone(&mut last, State::Ended, Some(problem("session")));
        assert_eq!((codes(&first), codes(&last)), (vec!["session"], vec!["session"]));
    }

    #[test]
    fn the_report_of_the_starter_overrides_a_silent_end() {
        let mut desktop = DesktopState::default();
        desktop.report(shop(), Reporter::Starter, problem("starter"));
        gone(&mut desktop, State::Connecting, None);
        assert_eq!(codes(&desktop), ["starter"]);
    }

    #[test]
    fn a_session_that_reconnects_stays_the_oldest() {
        let (mut older, younger) = (status("shop-b"), status("shop-a"));
        older.started = younger.started - std::time::Duration::from_secs(60);
        older.since = younger.since + std::time::Duration::from_secs(60);
        let mut desktop = DesktopState::default();
        for status in [younger.clone(), older.clone()] {
            desktop.sessions.insert(status.id.clone(), status);
        }
        assert_eq!(desktop.sessions_of(&shop()), [&older, &younger]);
    }
}
