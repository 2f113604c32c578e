//! Tests of the state ending.

use slipway_control_api::State::{Connected, Ending};
use tokio::time::Instant;

use super::bed::begin;
use super::cluster::{Answer, Script};
use super::method::Record;

#[tokio::test(start_paused = true)]
async fn a_method_that_does_not_stop_is_dropped() {
    let method = Record {
        stopped: Answer::Never,
        ..Record::default()
    };
    let bed = begin(Script::default(), method);
    bed.until_state(Connected).await;
    let began = Instant::now();
    bed.ask_to_stop();
    bed.until_state(Ending).await;
    assert_eq!(bed.end().await.failure, None);
    assert_eq!(began.elapsed().as_secs(), 5);
}
