//! Messages for the user of a session: progress while connecting, then each change of state.
//!
//! [`Narrator`] makes the messages from one status to the next. [`Teller`] writes them: as a spinner on a terminal, as
//! lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use slipway_control::plain_line;
use slipway_control_api::{LOGIN_WAITS, Problem, SessionStatus, State};

use crate::output;

/// Interval of the spinner.
const TICK: Duration = Duration::from_millis(120);

/// A message about a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The current step; the next message replaces it.
    Step(String),
    /// A line that stays.
    Line(String),
}

/// Makes messages from changes of a session's status.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    was_connected: bool,
    /// Whether the last message said that the session is connected.
    is_connected: bool,
    last: Option<Said>,
    /// Problems that were reported and still exist.
    problems: Vec<Problem>,
}

impl Narrator {
    /// Returns the message for this status; `None` if it says nothing new.
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

    /// Returns the new problems of a session that goes on, each with its remedy.
    pub(crate) fn problems(&mut self, status: &SessionStatus) -> Vec<String> {
        // The failure of the command reports why a session failed to connect, or ended. What a credential plugin says
        // cannot wait.
        let is_told = |problem: &&Problem| match status.state {
            State::Connected => true,
            State::Preparing | State::Placing | State::Connecting | State::Reconnecting => {
                self.was_connected || problem.code == LOGIN_WAITS
            }
            State::Ending | State::Ended => false,
        };
        let told: Vec<Problem> = status.problems.iter().filter(is_told).cloned().collect();
        let is_new = |problem: &&Problem| !self.problems.contains(problem);
        let said = told
            .iter()
            .filter(is_new)
            .map(|Problem { cause, remedy, .. }| format!("Note: {cause}\n  {remedy}"))
            .collect();
        self.problems = told;
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
            // The failure of the command reports the reason.
            State::Ended => None,
        }
    }
}

/// Returns the place of a session: `CONTEXT / NAMESPACE`.
pub(crate) fn place(status: &SessionStatus) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "?".to_owned());
    format!("{} / {}", part(&status.context), part(&status.namespace))
}

/// Removes the percentage from a step, so that its text stays the same from beginning to end.
fn without_percentage(step: &str) -> &str {
    match step.rsplit_once(" (") {
        Some((text, rest)) if rest.ends_with("%)") => text,
        Some(_) | None => step,
    }
}

/// Where messages go when standard error is no terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Lines on standard output. Standard error has only failures, for programs that read them.
    Stdout,
    /// Only notes about problems, as lines on standard error: both outputs belong to the command that runs in the session.
    Notes,
    /// Nowhere: a program reads the progress as data.
    Silence,
}

/// Writes the messages of a [`Narrator`]. Clears its spinner when dropped.
pub(crate) struct Teller {
    narrator: Narrator,
    sink: Sink,
}

enum Sink {
    Spinner(ProgressBar),
    /// Lines on a terminal that also shows a log.
    Stderr,
    Stdout,
    /// Only notes, on standard error.
    Notes,
    Silence,
}

impl Teller {
    /// A teller on standard error if that is a terminal. With `-v` there is no spinner.
    pub(crate) fn new(verbose: u8, otherwise: Otherwise) -> Teller {
        let sink = match (io::stderr().is_terminal(), otherwise) {
            (true, _) if verbose == 0 => Sink::Spinner(spinner()),
            (true, _) => Sink::Stderr,
            (false, Otherwise::Stdout) => Sink::Stdout,
            (false, Otherwise::Notes) => Sink::Notes,
            (false, Otherwise::Silence) => Sink::Silence,
        };
        Teller {
            narrator: Narrator::default(),
            sink,
        }
    }

    /// Writes the messages for this status.
    pub(crate) fn tell(&mut self, status: &SessionStatus) {
        let status = match self.sink {
            Sink::Spinner(_) => status.clone(),
            Sink::Stderr | Sink::Stdout | Sink::Notes | Sink::Silence => SessionStatus {
                step: status
                    .step
                    .as_deref()
                    .map(|step| without_percentage(step).to_owned()),
                ..status.clone()
            },
        };
        match self.narrator.tell(&status) {
            Some(Said::Step(step)) => match &self.sink {
                Sink::Spinner(spinner) => spinner.set_message(plain_line(&step).into_owned()),
                Sink::Stderr | Sink::Stdout | Sink::Notes | Sink::Silence => self.line(&step),
            },
            Some(Said::Line(line)) => self.line(&line),
            None => {}
        }
        for problem in self.narrator.problems(&status) {
            match &self.sink {
                // The step goes on.
                Sink::Spinner(spinner) if status.state != State::Connected => {
                    spinner.suspend(|| output::note(&problem));
                }
                Sink::Notes => output::note(&problem),
                Sink::Spinner(_) | Sink::Stderr | Sink::Stdout | Sink::Silence => self.line(&problem),
            }
        }
    }

    /// Writes a line of a log to standard error, above the spinner if there is one.
    pub(crate) fn log(&self, line: &str) {
        match &self.sink {
            Sink::Spinner(spinner) => spinner.suspend(|| output::note(line)),
            Sink::Stderr | Sink::Stdout | Sink::Notes | Sink::Silence => output::note(line),
        }
    }

    /// Writes a line, and ends the spinner.
    pub(crate) fn line(&self, text: &str) {
        match &self.sink {
            Sink::Spinner(spinner) => {
                // A spinner below the line would look as if a step still ran.
                spinner.finish_and_clear();
                output::note(text);
            }
            Sink::Stderr => output::note(text),
            Sink::Stdout => drop(output::print(&format!("{text}\n"))),
            Sink::Notes | Sink::Silence => {}
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Sink::Spinner(spinner) = &self.sink {
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
        let messages: Vec<Said> = [
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
        insta::assert_debug_snapshot!(messages, @r#"
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
    fn a_step_cannot_control_the_terminal() {
        let spinner = ProgressBar::hidden();
        let mut teller = Teller {
            narrator: Narrator::default(),
            sink: Sink::Spinner(spinner.clone()),
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
    fn every_problem_is_said_once() {
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
    fn a_problem_of_a_replacement_is_said_with_its_remedy() {
        let full = Problem::new("agent-unschedulable", "No node accepts it.", "Check the nodes.");
        let mut narrator = Narrator::default();
        let mut now = status(State::Placing, Some("Starting the agent"));
        now.problems = vec![full];
        narrator.tell(&now);
        assert_eq!(
            narrator.problems(&now),
            [""; 0],
            "the session never was connected"
        );
        narrator.tell(&status(State::Connected, None));
        narrator.tell(&now);
        assert_eq!(
            narrator.problems(&now),
            ["Note: No node accepts it.\n  Check the nodes."]
        );
        assert_eq!(narrator.problems(&now), [""; 0]);
    }

    #[test]
    fn what_a_plugin_says_is_said_at_once() {
        let mut narrator = Narrator::default();
        let mut now = status(State::Preparing, None);
        now.problems = vec![Problem::new(
            LOGIN_WAITS,
            "The credential plugin aws says: enter ABCD.",
            "Do it.",
        )];
        assert_eq!(
            narrator.problems(&now),
            ["Note: The credential plugin aws says: enter ABCD.\n  Do it."]
        );
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
