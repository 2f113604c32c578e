//! What a person who waits for a session is told: progress while connecting, each change of state after it.
//!
//! [`Narrator`] decides what is said, from one status to the next; [`Teller`] decides where: one moving line on a
//! terminal, lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use slipway_control::plain_line;
use slipway_control_api::{Problem, SessionStatus, State};

use crate::output;

/// How often the moving line moves.
const TICK: Duration = Duration::from_millis(120);

/// What is worth saying about a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// What is being done; the next one takes its place.
    Step(String),
    /// Something that stays true.
    Line(String),
}

/// Decides what is said.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    was_connected: bool,
    /// Whether the last line was that it is connected.
    is_connected: bool,
    last: Option<Said>,
    /// The problems that were said and have not passed.
    problems: Vec<Problem>,
}

impl Narrator {
    /// What to say of a session that is now like this; nothing if that would say nothing new.
    pub(crate) fn tell(&mut self, status: &SessionStatus) -> Option<Said> {
        let said = self.words(status)?;
        self.is_connected = status.state == State::Connected;
        self.was_connected |= self.is_connected;
        if self.last.as_ref() == Some(&said) {
            return None;
        }
        self.last = Some(said.clone());
        Some(said)
    }

    /// The problems of a connected session that were not said yet, each with its remedy.
    pub(crate) fn problems(&mut self, status: &SessionStatus) -> Vec<String> {
        // Why a session did not come about, or ended, is said by its failure.
        if status.state != State::Connected {
            return Vec::new();
        }
        let is_new = |problem: &&Problem| !self.problems.contains(problem);
        let said = status
            .problems
            .iter()
            .filter(is_new)
            .map(|Problem { cause, remedy, .. }| format!("Note: {cause}\n  {remedy}"))
            .collect();
        self.problems.clone_from(&status.problems);
        said
    }

    fn words(&self, status: &SessionStatus) -> Option<Said> {
        match status.state {
            State::Connected if self.is_connected => None,
            State::Connected if self.was_connected => Some(Said::Line("Connected again.".to_owned())),
            State::Connected => Some(Said::Line(format!(
                "Connected to {}. Try: curl -k https://kubernetes.default.svc/healthz",
                place(status)
            ))),
            State::Preparing | State::Placing | State::Connecting | State::Reconnecting => {
                let step = status.step.as_deref()?;
                Some(if self.was_connected {
                    Said::Line(format!("Reconnecting. {}.", without_percentage(step)))
                } else {
                    Said::Step(step.to_owned())
                })
            }
            State::Ending => Some(Said::Line("Disconnecting.".to_owned())),
            // Why, if not because it was asked to, is said by the failure.
            State::Ended => None,
        }
    }
}

/// Where a session is: `CONTEXT / NAMESPACE`.
pub(crate) fn place(status: &SessionStatus) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "?".to_owned());
    format!("{} / {}", part(&status.context), part(&status.namespace))
}

/// A step without how far it is, so that it is the same text from beginning to end.
fn without_percentage(step: &str) -> &str {
    match step.rsplit_once(" (") {
        Some((text, rest)) if rest.ends_with("%)") => text,
        Some(_) | None => step,
    }
}

/// Where narration is written when there is no terminal for a moving line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Lines on standard output: standard error stays free for what went wrong, which programs that start us read.
    Stdout,
    /// Nothing: both outputs belong to somebody else.
    Silence,
}

/// Writes what a [`Narrator`] says. Clears its moving line when dropped.
pub(crate) struct Teller {
    narrator: Narrator,
    way: Sink,
}

enum Sink {
    Spinner(ProgressBar),
    /// Lines on a terminal that a log is written to as well.
    Stderr,
    Stdout,
    Silence,
}

impl Teller {
    /// A teller on standard error if that is a terminal. With a log on it there is no moving line.
    pub(crate) fn new(verbose: u8, otherwise: Otherwise) -> Teller {
        let way = match (io::stderr().is_terminal(), otherwise) {
            (true, _) if verbose == 0 => Sink::Spinner(spinner()),
            (true, _) => Sink::Stderr,
            (false, Otherwise::Stdout) => Sink::Stdout,
            (false, Otherwise::Silence) => Sink::Silence,
        };
        Teller {
            narrator: Narrator::default(),
            way,
        }
    }

    /// Says what is new.
    pub(crate) fn tell(&mut self, status: &SessionStatus) {
        let status = match self.way {
            Sink::Spinner(_) => status.clone(),
            Sink::Stderr | Sink::Stdout | Sink::Silence => SessionStatus {
                step: status
                    .step
                    .as_deref()
                    .map(|step| without_percentage(step).to_owned()),
                ..status.clone()
            },
        };
        match self.narrator.tell(&status) {
            Some(Said::Step(step)) => match &self.way {
                Sink::Spinner(spinner) => spinner.set_message(plain_line(&step).into_owned()),
                Sink::Stderr | Sink::Stdout | Sink::Silence => self.line(&step),
            },
            Some(Said::Line(line)) => self.line(&line),
            None => {}
        }
        for problem in self.narrator.problems(&status) {
            self.line(&problem);
        }
    }

    /// Writes a line of a log to standard error, where the moving line may be.
    pub(crate) fn log(&self, line: &str) {
        match &self.way {
            Sink::Spinner(spinner) => spinner.suspend(|| output::note(line)),
            Sink::Stderr | Sink::Stdout | Sink::Silence => output::note(line),
        }
    }

    /// Writes a line that is not about a change.
    pub(crate) fn line(&self, text: &str) {
        match &self.way {
            Sink::Spinner(spinner) => {
                // What is said now stays; a moving line below it would say that something is still being done.
                spinner.finish_and_clear();
                output::note(text);
            }
            Sink::Stderr => output::note(text),
            Sink::Stdout => drop(output::print(&format!("{text}\n"))),
            Sink::Silence => {}
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Sink::Spinner(spinner) = &self.way {
            spinner.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        spinner.set_style(style);
    }
    spinner.set_message("Connecting");
    spinner.enable_steady_tick(TICK);
    spinner
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_profile::Method;

    use super::*;

    fn status(state: State, step: Option<&str>) -> SessionStatus {
        let mut status =
            status_of_this_process("staging-a1".parse().unwrap(), Some("shop".into()), Method::VpnTcp);
        status.context = Some("staging".into());
        status.namespace = Some("shop".into());
        status.state = state;
        status.step = step.map(str::to_owned);
        status
    }

    #[test]
    fn each_state_is_reported_once() {
        let mut narrator = Narrator::default();
        let told: Vec<Said> = [
            status(State::Preparing, None),
            status(State::Preparing, Some("Reading the kubeconfig")),
            status(State::Placing, Some("Sending the agent (4 %)")),
            status(State::Placing, Some("Sending the agent (9 %)")),
            status(State::Connected, None),
            status(State::Connected, None),
            status(State::Reconnecting, None),
            status(
                State::Reconnecting,
                Some("Waiting for the network. Open connections are kept"),
            ),
            status(State::Connected, None),
            status(State::Placing, Some("Sending the agent (1 %)")),
            status(State::Placing, Some("Sending the agent (99 %)")),
            status(State::Connected, None),
            status(State::Ending, None),
            status(State::Ended, None),
        ]
        .iter()
        .filter_map(|status| narrator.tell(status))
        .collect();
        insta::assert_debug_snapshot!(told, @r#"
        [
            Step(
                "Reading the kubeconfig",
            ),
            Step(
                "Sending the agent (4 %)",
            ),
            Step(
                "Sending the agent (9 %)",
            ),
            Line(
                "Connected to staging / shop. Try: curl -k https://kubernetes.default.svc/healthz",
            ),
            Line(
                "Reconnecting. Waiting for the network. Open connections are kept.",
            ),
            Line(
                "Connected again.",
            ),
            Line(
                "Reconnecting. Sending the agent.",
            ),
            Line(
                "Connected again.",
            ),
            Line(
                "Disconnecting.",
            ),
        ]
        "#);
    }

    #[test]
    fn a_step_cannot_steer_the_moving_line() {
        let spinner = ProgressBar::hidden();
        let mut teller = Teller {
            narrator: Narrator::default(),
            way: Sink::Spinner(spinner.clone()),
        };
        teller.tell(&status(State::Placing, Some("Waiting (\u{1b}[2J\n)")));
        assert_eq!(spinner.message(), r"Waiting (\u{1b}[2J\u{a})");
    }

    #[test]
    fn only_a_percentage_is_taken_from_a_step() {
        assert_eq!(
            without_percentage("Sending the agent (45 %)"),
            "Sending the agent"
        );
        let waiting = "Waiting for the agent's pod (Scheduling)";
        assert_eq!(without_percentage(waiting), waiting);
    }

    #[test]
    fn every_problem_is_said_once_while_connected() {
        let range = Problem::new("range-not-routed", "10.96.0.0/16 is in use.", "Names still work.");
        let host = Problem::new("also-proxy-unknown", "`db` is unknown.", "Correct it.");
        let mut narrator = Narrator::default();
        let mut now = status(State::Connecting, Some("Connecting the laptop"));
        now.problems = vec![range.clone()];
        assert_eq!(narrator.problems(&now), [""; 0]);
        now.state = State::Connected;
        assert_eq!(
            narrator.problems(&now),
            ["Note: 10.96.0.0/16 is in use.\n  Names still work."]
        );
        now.problems = vec![range, host.clone()];
        assert_eq!(narrator.problems(&now), ["Note: `db` is unknown.\n  Correct it."]);
        assert_eq!(narrator.problems(&now), [""; 0]);
        now.state = State::Ended;
        now.failure = Some(host);
        assert_eq!(narrator.problems(&now), [""; 0], "its failure says it");
    }

    #[test]
    fn a_problem_that_returns_is_said_again() {
        let away = Problem::new("helper-away", "The helper ended.", "Start it.");
        let mut narrator = Narrator::default();
        let mut now = status(State::Connected, None);
        for problems in [vec![away.clone()], Vec::new(), vec![away]] {
            now.problems = problems;
            assert_eq!(narrator.problems(&now).len(), now.problems.len());
        }
    }
}
