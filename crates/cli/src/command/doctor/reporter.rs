//! Reporter of the steps of a check: what begins, what it finds, and what is left out.

use slipway_control_api::{Check, CheckEvent, Finding, Layout, Step, StepState};
use slipway_profile::Method;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::plan::Plan;

/// Sends the events of steps that the plan has.
pub(super) struct Reporter<'a> {
    plan: &'a Plan,
    events: mpsc::Sender<CheckEvent>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(plan: &'a Plan, events: mpsc::Sender<CheckEvent>) -> Self {
        Self { plan, events }
    }

    /// Returns the methods that are checked.
    pub(super) fn methods(&self) -> &[Method] {
        self.plan.methods()
    }

    /// Runs a step, if the plan has it, and returns what the work gives besides findings. A finding that names no methods
    /// concerns all that need the step.
    pub(super) async fn step<T>(
        &self,
        check: Check,
        work: impl Future<Output = (Vec<Finding>, T)>,
    ) -> Option<T> {
        if !self.plan.has(check) {
            return None;
        }
        self.change(check, StepState::Begun, None).await;
        let begun = Instant::now();
        let (findings, rest) = work.await;
        let took = milliseconds_since(begun);
        for mut finding in findings {
            if finding.methods.is_empty() {
                finding.methods = self.plan.methods_of(check);
            }
            self.send(CheckEvent::Finding(finding)).await;
        }
        self.change(check, StepState::Ended, Some(took)).await;
        Some(rest)
    }

    /// Runs a step that gives only findings.
    pub(super) async fn findings(&self, check: Check, work: impl Future<Output = Vec<Finding>>) {
        self.step(check, async { (work.await, ()) }).await;
    }

    /// Leaves out steps of the plan.
    pub(super) async fn leave_out(&self, checks: &[Check]) {
        for check in checks.iter().filter(|check| self.plan.has(**check)) {
            self.change(*check, StepState::LeftOut, None).await;
        }
    }

    pub(super) async fn layout(&self, layout: Layout) {
        self.send(CheckEvent::Layout(layout)).await;
    }

    async fn change(&self, check: Check, state: StepState, took_ms: Option<u64>) {
        self.send(CheckEvent::Step(Step {
            check,
            state,
            took_ms,
        }))
        .await;
    }

    async fn send(&self, event: CheckEvent) {
        // Without a receiver the whole check is about to be dropped.
        let _ = self.events.send(event).await;
    }
}

/// Returns the whole milliseconds since a moment.
pub(super) fn milliseconds_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
