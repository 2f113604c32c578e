//! Capture of programs while a session waits for something else.

use slipway_control_api::State;

use crate::context::SessionContext;
use crate::error::SessionError;
use crate::exit::Exit;
use crate::states::{Captured, Laptop};

impl Laptop {
    /// Waits for `work`. A request to stop ends the wait at once, and so does the end of a running method, whose reports
    /// are published meanwhile.
    pub(crate) async fn meanwhile<T>(
        &mut self,
        context: &SessionContext,
        work: impl Future<Output = Result<T, SessionError>>,
    ) -> Result<T, Exit> {
        match self {
            Laptop::Idle { .. } => context.unless_stopped(work).await,
            Laptop::Captured(captured) => captured.meanwhile(context, work).await,
        }
    }
}

impl Captured {
    /// Waits for `work` as [`Laptop::meanwhile`] does.
    pub(crate) async fn meanwhile<T>(
        &mut self,
        context: &SessionContext,
        work: impl Future<Output = Result<T, SessionError>>,
    ) -> Result<T, Exit> {
        let mut work = std::pin::pin!(work);
        let mut ended = self.method.ended();
        loop {
            tokio::select! {
                biased;
                exit = context.has_to_end() => return Err(exit),
                problem = &mut ended => return Err(SessionError::Method(problem).into()),
                Ok(()) = self.report.changed() => self.publish(context, None),
                done = &mut work => return done.map_err(Exit::from),
            }
        }
    }

    /// Publishes the report of the method, together with the new state if there is one.
    pub(crate) fn publish(&mut self, context: &SessionContext, enter: Option<State>) {
        let report = self.report.borrow_and_update().clone();
        self.problems.set(report.problems);
        context.publisher.update(|status| {
            status.capture = Some(report.capture);
            if let Some(state) = enter {
                status.state = state;
                status.step = None;
            }
        });
    }
}
