//! Tests with an API server that accepts a connection and then falls silent, at each step of opening a carrier.

use std::time::Duration;

use slipway_api_server::client::CONNECT_TIMEOUT;
use slipway_scripted_api::silent_after;
use tokio::time::Instant;

use crate::error::Wait;
use crate::test_client::client_of;
use crate::upgrade::REFUSAL_TIMEOUT;
use crate::{CarrierError, CarrierKind, Endpoint, UPGRADE_TIMEOUT, open};

async fn given_up(url: &str, kind: CarrierKind, wait: Wait, limit: Duration) {
    let client = client_of(url).await;
    let endpoint = Endpoint::new("shop", "web-0", 7000)
        .unwrap()
        .with_command("agent", ["agent", "stdio"]);
    let began = Instant::now();
    let error = open(&client, &endpoint, kind)
        .await
        .expect_err("the server does not answer");
    let waited = began.elapsed();
    assert_eq!(error, CarrierError::TimedOut { wait }, "{kind:?}");
    // The clock stands still while any task runs.
    assert!(
        waited >= limit && waited < limit + Duration::from_millis(100),
        "{kind:?}: {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_handshake_is_given_up() {
    let (address, _server) = silent_after("").await;
    for kind in [CarrierKind::Spdy, CarrierKind::WebSocket] {
        given_up(
            &format!("https://{address}"),
            kind,
            Wait::Connect,
            CONNECT_TIMEOUT,
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_is_swallowed_is_given_up() {
    let (address, _server) = silent_after("").await;
    for kind in CarrierKind::ALL {
        given_up(&format!("http://{address}"), kind, Wait::Upgrade, UPGRADE_TIMEOUT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_its_reason_is_given_up() {
    let (address, _server) = silent_after("HTTP/1.1 400 Bad\r\ncontent-length: 10\r\n\r\n").await;
    for kind in [CarrierKind::Spdy, CarrierKind::WebSocket] {
        given_up(&format!("http://{address}"), kind, Wait::Refusal, REFUSAL_TIMEOUT).await;
    }
}
