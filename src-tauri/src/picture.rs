//! All that the desktop knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use slipway_control::{Problem, SessionId, SessionStatus, State};
use slipway_profile::{Context, ProfileName};

/// All that the desktop knows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// The saved profiles, by name.
    pub profiles: Vec<Saved>,
    /// The kubeconfig's contexts, offered while no profile is saved.
    pub contexts: Vec<Context>,
    /// The sessions that run, whoever started them.
    pub sessions: BTreeMap<SessionId, SessionStatus>,
    /// What was asked to connect and has not said yet whether it did.
    pub starting: BTreeSet<Target>,
    /// What went wrong last, until it is tried again or dismissed.
    pub problems: BTreeMap<Target, Problem>,
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
    Context(Context),
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

impl Picture {
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
        sessions.sort_by_key(|status| status.since);
        sessions
    }

    /// Takes over what the control sockets tell.
    pub fn tell(&mut self, news: slipway_control::Picture) {
        self.sessions = news.sessions;
        for gone in news.gone {
            let target = self.target_of(&gone);
            match (gone.state, gone.problem) {
                (State::Ending, None) | (State::Ended, None) => {}
                (_, Some(problem)) => {
                    self.problems.insert(target, problem);
                }
                (
                    State::Preparing
                    | State::Placing
                    | State::Connecting
                    | State::Connected
                    | State::Reconnecting,
                    None,
                ) => {
                    // Its starter may have heard more of it; that is not overwritten by "it died".
                    self.problems.entry(target).or_insert_with(died);
                }
            }
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
    use slipway_profile::Method;

    use super::*;

    fn gone(state: State, problem: Option<Problem>) -> Picture {
        let id = "shop-000000".parse().unwrap();
        let mut status = SessionStatus::preparing(id, Some("shop".into()), Method::VpnTcp);
        status.state = state;
        status.problem = problem;
        let mut picture = Picture::default();
        picture.tell(slipway_control::Picture {
            gone: vec![status],
            ..Default::default()
        });
        picture
    }

    #[test]
    fn a_session_that_was_asked_to_end_leaves_no_problem() {
        assert!(gone(State::Ended, None).problems.is_empty());
        assert!(gone(State::Ending, None).problems.is_empty());
    }

    #[test]
    fn a_session_that_says_why_it_ended_is_believed() {
        let problem = Problem::new("x", "It broke.", "Mend it.");
        let picture = gone(State::Ended, Some(problem.clone()));
        assert_eq!(picture.problems.values().collect::<Vec<_>>(), [&problem]);
    }

    #[test]
    fn a_session_that_dies_without_a_word_is_a_problem() {
        let picture = gone(State::Connected, None);
        assert_eq!(picture.problems.values().next().unwrap().code, "session-died");
    }
}
