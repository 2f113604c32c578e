//! Handler of requests that reach a running session through its control socket.

use std::sync::{Arc, Mutex, PoisonError};

use slipway_control::Handler;
use slipway_control_api::{Answerer, Explanation, Found};
use slipway_method::Explainer;
use slipway_names::Name;
use tokio_util::sync::CancellationToken;

/// Handler of control requests. Clones share their state.
#[derive(Clone, Default)]
pub struct ControlHandler {
    stop: CancellationToken,
    explainer: Arc<Mutex<Option<Arc<dyn Explainer>>>>,
}

impl ControlHandler {
    /// Returns the token that is cancelled when the session is asked to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn explainer(&self) -> Option<Arc<dyn Explainer>> {
        let explainer = self.explainer.lock().unwrap_or_else(PoisonError::into_inner);
        explainer.clone()
    }

    pub(crate) fn set_explainer(&self, explainer: Option<Arc<dyn Explainer>>) {
        *self.explainer.lock().unwrap_or_else(PoisonError::into_inner) = explainer;
    }
}

impl Handler for ControlHandler {
    fn disconnect(&self) {
        self.stop.cancel();
    }

    async fn answer(&self, query: Vec<u8>) -> Option<Vec<u8>> {
        let answer = self.explainer()?.answer_neighbor(query.into()).await;
        answer.map(Vec::from)
    }

    async fn explain(&self, name: &str) -> Explanation {
        let unanswered = |found| Explanation {
            name: name.to_owned(),
            answered_by: Answerer::Nobody,
            answer: Vec::new(),
            programs: None,
            found,
        };
        let Ok(parsed) = name.parse::<Name>() else {
            return unanswered(Found::NotAName);
        };
        let Some(explainer) = self.explainer() else {
            return unanswered(Found::NotConnected);
        };
        // A trailing dot disables search domains (resolv.conf(5)).
        let explanation = if name.ends_with('.') {
            explainer.explain_whole(&parsed).await
        } else {
            explainer.explain(&parsed).await
        };
        explanation.data(name)
    }
}
