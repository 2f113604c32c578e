//! Text of findings as they come, in the order of their steps.

use std::collections::VecDeque;

use slipway_control_api::{Check, CheckEvent, Finding, Step, StepState};

use super::text::in_words;

/// Findings that cannot be shown yet, because a step before theirs still runs.
#[derive(Debug)]
pub(super) struct InOrder {
    /// The steps that are not shown yet.
    steps: VecDeque<Check>,
    /// Those of them that are over.
    over: Vec<Check>,
    findings: Vec<Finding>,
}

impl InOrder {
    pub(super) fn new(steps: impl IntoIterator<Item = Check>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            over: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Returns the text that can be shown after this event; often none.
    pub(super) fn text_after(&mut self, event: &CheckEvent) -> String {
        match event {
            CheckEvent::Finding(finding) => self.findings.push(finding.clone()),
            CheckEvent::Step(Step {
                check,
                state: StepState::Ended | StepState::LeftOut,
                ..
            }) => self.over.push(*check),
            CheckEvent::Step(_)
            | CheckEvent::Steps(_)
            | CheckEvent::Layout(_)
            | CheckEvent::Summary(_)
            | CheckEvent::Failed(_) => {}
        }
        let mut text = String::new();
        while let Some(step) = self.steps.pop_front_if(|step| self.over.contains(step)) {
            let (of_step, others) = std::mem::take(&mut self.findings)
                .into_iter()
                .partition(|finding| finding.check == step);
            self.findings = others;
            text.push_str(&in_words(&of_step));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(check: Check, state: StepState) -> CheckEvent {
        CheckEvent::Step(Step {
            check,
            state,
            took_ms: None,
        })
    }

    fn found(check: Check, detail: &str) -> CheckEvent {
        CheckEvent::Finding(Finding::ok(check, detail))
    }

    #[test]
    fn a_finding_is_shown_when_all_before_it_are_known() {
        let mut shown = InOrder::new([Check::Kernel, Check::Helper, Check::ApiServer]);
        let events = [
            over(Check::Helper, StepState::Begun),
            found(Check::Helper, "It runs."),
            over(Check::Helper, StepState::Ended),
            found(Check::Kernel, "It is there."),
            over(Check::Kernel, StepState::Ended),
            over(Check::ApiServer, StepState::LeftOut),
        ];
        let texts: Vec<String> = events.iter().map(|event| shown.text_after(event)).collect();
        assert_eq!(texts[..4], ["", "", "", ""]);
        assert_eq!(
            texts[4],
            "ok    kernel      It is there.\nok    helper      It runs.\n"
        );
        assert_eq!(texts[5], "");
        assert!(shown.steps.is_empty() && shown.findings.is_empty());
    }
}
