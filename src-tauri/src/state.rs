//! All that the desktop knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use slipway_control_api::{Problem, SessionId, SessionStatus, State};
use slipway_profile::{ContextName, ProfileName};

/// All that the desktop knows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesktopState {
    /// The saved profiles, by name.
    pub profiles: Vec<Saved>,
    /// The kubeconfig's contexts, offered while no profile is saved.
    pub contexts: Vec<ContextName>,
    /// The sessions that run, whoever started them.
    pub sessions: BTreeMap<SessionId, SessionStatus>,
    /// What was asked to connect and has not said yet whether it did.
    pub starting: BTreeSet<Target>,
    /// What failed last, until it is tried again or dismissed.
    pub failures: BTreeMap<Target, Failure>,
}

/// Why something is not connected, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who says it.
    pub by: Reporter,
    /// What is wrong.
    pub problem: Problem,
}

/// Who reports that a target is not connected. Of several reports the one that stands later here is shown: it comes from
/// nearer to what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reporter {
    /// The desktop, which saw the session's process end without a word.
    Desktop,
    /// The program that was started to connect.
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
    /// A file that cannot be read as one.
    Broken {
        /// The file's name without its ending.
        stem: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What can be connected, or failed to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A saved profile.
    Profile(ProfileName),
    /// A context of the kubeconfig, with Slipway's defaults.
    Context(ContextName),
    /// Something that no row offers: a session from a terminal, under the title that it had.
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
    /// What the menu offers to connect, in its order.
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

    /// What a session is a session of.
    pub fn target_of(&self, status: &SessionStatus) -> Target {
        let named = match (&status.profile, &status.context) {
            (Some(profile), _) => profile.parse().ok().map(Target::Profile),
            (None, Some(context)) => context.parse().ok().map(Target::Context),
            (None, None) => None,
        };
        named.unwrap_or_else(|| Target::Other(status.title().to_owned()))
    }

    /// The sessions of a target, oldest first.
    pub fn sessions_of(&self, target: &Target) -> Vec<&SessionStatus> {
        let mut sessions: Vec<_> = self
            .sessions
            .values()
            .filter(|status| self.target_of(status) == *target)
            .collect();
        sessions.sort_by_key(|status| status.age_order());
        sessions
    }

    /// Takes over what the control sockets tell.
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

    /// Notes why a target is not connected, unless somebody who is nearer to it has said why.
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
        "The session's process ended without a word.",
        "Connect again; what it left in the cluster is taken over or removed then.",
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
    fn a_session_that_dies_without_a_word_is_a_failure() {
        let mut desktop = DesktopState::default();
        gone(&mut desktop, State::Connected, None);
        assert_eq!(codes(&desktop), ["session-died"]);
    }

    #[test]
    fn the_session_is_believed_before_its_starter() {
        let mut first = DesktopState::default();
        gone(&mut first, State::Ended, Some(problem("session")));
        first.report(shop(), Reporter::Starter, problem("starter"));
        let mut last = DesktopState::default();
        last.report(shop(), Reporter::Starter, problem("starter"));
        gone(&mut last, State::Ended, Some(problem("session")));
        assert_eq!((codes(&first), codes(&last)), (vec!["session"], vec!["session"]));
    }

    #[test]
    fn the_starter_is_believed_before_a_silent_death() {
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
