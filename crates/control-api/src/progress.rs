//! Progress of a session, for the program that started it.

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;

use crate::status::SessionStatus;

/// One line of `slipway connect --json` and of the file of `slipway run --json-status`.
///
/// A newer program may write other events; a reader skips lines that it cannot parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "value", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Progress {
    /// The session's status, at the beginning and after each change, without its `health`, which changes every second.
    Status(Box<SessionStatus>),
    /// The session failed to connect, or ended by itself. This is the last line.
    Failed(Problem),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_form() {
        let failed = Progress::Failed(Problem::new("a", "B.", "C."));
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            r#"{"event":"failed","value":{"code":"a","cause":"B.","remedy":"C.","actions":[]}}"#
        );
    }
}
