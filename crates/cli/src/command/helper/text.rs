//! Text of the helper's status.

use slipway_control_api::{HelperStart, HelperStarted, HelperStatus};

/// Formats the status as sentences.
pub(super) fn in_words(status: &HelperStatus) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    match &status.problem {
        None => line(&format!(
            "slipway-helper {} serves you at {}.",
            status.version.as_deref().unwrap_or("of an unknown version"),
            status.socket
        )),
        Some(problem) => line(&problem.cause),
    }
    match &status.started {
        Some(HelperStarted::Service { unit }) => {
            line(&format!("systemd started it as {unit}, for all users."))
        }
        Some(HelperStarted::Slipway) => line(
            "`slipway helper start` started it, for you. It ends when you log out, or with `slipway helper stop`.",
        ),
        Some(HelperStarted::Hand { command }) => line(&format!("It was started by hand: {command}")),
        Some(HelperStarted::Unknown) | None => {}
    }
    match status.sessions {
        0 => {}
        1 => line("One session of yours uses it."),
        several => line(&format!("{several} sessions of yours use it.")),
    }
    match (status.start, &status.obstacle, &status.problem) {
        (Some(start), _, _) => line(&format!(
            "Start it with `slipway helper start`, {}.",
            asking(start)
        )),
        (None, Some(obstacle), _) => {
            line(&obstacle.cause);
            obstacle
                .remedy
                .lines()
                .for_each(|remedy| line(&format!("  {remedy}")));
        }
        (None, None, Some(problem)) => problem
            .remedy
            .lines()
            .for_each(|remedy| line(&format!("  {remedy}"))),
        (None, None, None) => {}
    }
    text
}

/// Returns who asks for the permission.
fn asking(start: HelperStart) -> &'static str {
    match start {
        HelperStart::Systemctl => "which asks systemd for the installed service",
        HelperStart::Pkexec => "which asks for your password on the screen",
        HelperStart::Sudo => "which asks sudo",
        HelperStart::Root => "which needs no question, because you are root",
        HelperStart::Unknown => "which asks for permission",
    }
}

#[cfg(test)]
mod tests {
    use slipway_control_api::Problem;

    use super::*;

    fn status() -> HelperStatus {
        HelperStatus {
            socket: "/run/slipway-helper/helper.sock".to_owned(),
            serves: true,
            version: Some("0.1.0".to_owned()),
            started: Some(HelperStarted::Slipway),
            sessions: 2,
            problem: None,
            start: None,
            obstacle: None,
        }
    }

    #[test]
    fn a_helper_is_told_with_how_it_ends() {
        insta::assert_snapshot!(in_words(&status()), @r"
        slipway-helper 0.1.0 serves you at /run/slipway-helper/helper.sock.
        `slipway helper start` started it, for you. It ends when you log out, or with `slipway helper stop`.
        2 sessions of yours use it.
        ");
    }

    #[test]
    fn a_missing_helper_is_told_with_how_it_starts() {
        let missing = HelperStatus {
            serves: false,
            version: None,
            started: None,
            sessions: 0,
            problem: Some(Problem::new(
                "no-helper",
                "slipway-helper does not run",
                "start it",
            )),
            start: Some(HelperStart::Sudo),
            ..status()
        };
        insta::assert_snapshot!(in_words(&missing), @r"
        slipway-helper does not run.
        Start it with `slipway helper start`, which asks sudo.
        ");
        let obstacle = Problem::new("helper-not-trusted", "it is not root's", "start it by hand");
        let untrusted = HelperStatus {
            start: None,
            obstacle: Some(obstacle),
            ..missing
        };
        insta::assert_snapshot!(in_words(&untrusted), @r"
        slipway-helper does not run.
        It is not root's.
          Start it by hand.
        ");
    }
}
