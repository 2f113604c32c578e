//! Offer to start the helper before a session connects, at a terminal.

use std::io::{self, BufRead};
use std::path::Path;

use slipway_control_api::Check;
use slipway_profile::Profile;

use super::facts;
use super::{look, start};
use crate::arguments::chosen;
use crate::command::doctor::needs;
use crate::failure::Failure;
use crate::output;

const QUESTION: &str = "slipway-helper does not run. Start it now? It asks for your password. [Y/n] ";

/// Asks whether to start the helper, and starts it, if a session of this profile needs one and none runs. Asks only at a
/// terminal, and only if it can be started and the session would not fail without it already. Otherwise the session says
/// what is missing.
///
/// Must be called before signals are handled, so that Ctrl-C ends the question.
///
/// # Errors
///
/// When the helper was to start and did not.
pub(crate) fn offer(profile: &Profile, socket: &Path) -> Result<(), Failure> {
    if !needs(profile.method, Check::Helper) || !facts::at_terminal() || !has_cluster(profile) {
        return Ok(());
    }
    super::blocking(async {
        let found = look(socket).await;
        if !found.is_missing() || found.way().is_err() {
            return Ok(());
        }
        output::tell(QUESTION);
        let mut answer = String::new();
        // Without an answer nothing is started.
        let read = io::stdin().lock().read_line(&mut answer).unwrap_or_default();
        if read == 0 || !is_yes(&answer) {
            return Ok(());
        }
        start(socket).await.map(drop)
    })
}

fn has_cluster(profile: &Profile) -> bool {
    chosen(profile, false)
        .is_ok_and(|(sources, choice)| slipway_api_server::kubeconfig::choose(&sources, &choice).is_ok())
}

/// Whether an answer means yes. The first letter is enough, and nothing is the default.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_and_the_default_mean_yes() {
        for yes in ["\n", "y\n", "Y\n", " yes \n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["n\n", "no\n", "q\n", "yesterday\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
