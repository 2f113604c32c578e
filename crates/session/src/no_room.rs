//! Problem of a session or an agent that has as many connections as it can.

use slipway_control::ProblemSource;
use slipway_problem::Fault;
use slipway_tunnel::{Full, Limits, Stats};

/// Problem that new connections of programs are refused, because one end has no room for them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// The session's process may not open more files.
    #[error(
        "the session has {most} connections open, as many as this laptop's limit of open files allows; new ones are refused"
    )]
    Descriptors {
        /// Largest number of connections.
        most: usize,
    },
    /// The session has as many connections as any session carries.
    #[error("the session has {most} connections open, the most that a session carries; new ones are refused")]
    Session {
        /// Largest number of connections.
        most: usize,
    },
    /// The agent's process may not open more files, or its pod has no memory for more connections.
    #[error("the agent in the cluster has as many connections open as its pod allows; new ones are refused")]
    Agent,
}

impl NoRoom {
    fn of(full: Full) -> NoRoom {
        match full {
            Full::Here { most } if most < Limits::default().streams => NoRoom::Descriptors { most },
            Full::Here { most } => NoRoom::Session { most },
            Full::Agent => NoRoom::Agent,
        }
    }

    /// Publishes the problem while it exists.
    pub(crate) fn publish(stats: &Stats, problems: &ProblemSource) {
        problems.set(stats.full.map(|full| NoRoom::of(full).problem()));
    }
}

impl Fault for NoRoom {
    fn code(&self) -> &str {
        match self {
            NoRoom::Descriptors { .. } | NoRoom::Session { .. } => "session-full",
            NoRoom::Agent => "agent-full",
        }
    }

    fn remedy(&self) -> String {
        match self {
            NoRoom::Descriptors { .. } => {
                "End programs that hold connections open, or raise the hard limit of open files (`ulimit -Hn` shows it) \
                 and connect again."
            }
            NoRoom::Session { .. } => "End programs that hold connections open.",
            NoRoom::Agent => {
                "End programs that hold connections open, or ask the cluster's administrator for a higher limit of open \
                 files in pods and connect again."
            }
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named() {
        let most = Limits::default().streams;
        for (full, code, words) in [
            (Full::Here { most: 768 }, "session-full", "limit of open files"),
            (
                Full::Here { most },
                "session-full",
                "the most that a session carries",
            ),
            (
                Full::Agent,
                "agent-full",
                "as many connections open as its pod allows",
            ),
        ] {
            let problem = NoRoom::of(full);
            assert_eq!(problem.code(), code);
            assert!(problem.to_string().contains(words), "{problem}");
        }
    }
}
