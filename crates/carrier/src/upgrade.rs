//! HTTP request that upgrades a connection to the API server to a carrier.

use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::core::Status;
use slipway_api_server::client::Silent;
use slipway_api_server::login::LoginError;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::Endpoint;
use crate::error::{CarrierError, Wait};

/// Limit from the request to the API server's 101, including connecting and login. It is longer than
/// [`CONNECT_TIMEOUT`](slipway_api_server::client::CONNECT_TIMEOUT), so that an API server that cannot be reached is distinguished from one
/// that does not answer.
pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(15);

/// Limit for the rest of an answer that refuses the upgrade.
pub(crate) const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest part of a refusal that is read, in bytes; proxies send whole pages.
const MAX_REFUSAL: usize = 64 * 1024;

/// Largest part of a refusal without a Status that is shown, in characters.
const MAX_SHOWN: usize = 300;

const PORT_FORWARD_V1: &str = "portforward.k8s.io";
const SPDY: &str = "SPDY/3.1";
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// Upgraded connection: bytes to and from the node.
pub(crate) type Upgrade = TokioIo<Upgraded>;

/// Upgrades to plain SPDY/3.1, as kubectl did before 1.31.
pub(crate) async fn spdy(client: &kube::Client, endpoint: &Endpoint) -> Result<Upgrade, CarrierError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path(endpoint))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, SPDY)
        .header(STREAM_PROTOCOL, PORT_FORWARD_V1);
    upgrade(client, request, |headers| {
        if !has(headers, header::UPGRADE.as_str(), SPDY) {
            return Err("the API server switched to a protocol other than SPDY/3.1");
        }
        if !has(headers, STREAM_PROTOCOL, PORT_FORWARD_V1) {
            return Err("the node speaks another port-forward protocol");
        }
        Ok(())
    })
    .await
}

/// Upgrades to SPDY/3.1 inside a WebSocket, which passes proxies that do not know SPDY (KEP-4006; on by default since
/// Kubernetes 1.31).
pub(crate) async fn websocket(client: &kube::Client, endpoint: &Endpoint) -> Result<Upgrade, CarrierError> {
    let key = generate_key();
    let request = Request::builder()
        .method(Method::GET)
        .uri(path(endpoint))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, TUNNELLED);
    let accept = derive_accept_key(key.as_bytes());
    upgrade(client, request, |headers| {
        if !has(headers, header::UPGRADE.as_str(), "websocket") {
            return Err("the API server switched to a protocol other than WebSocket");
        }
        if headers
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_none_or(|value| value != &accept)
        {
            return Err("the WebSocket handshake was answered with a wrong key");
        }
        if !has(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str(), TUNNELLED) {
            return Err("the API server does not tunnel port-forwards through a WebSocket");
        }
        Ok(())
    })
    .await
}

async fn upgrade(
    client: &kube::Client,
    request: http::request::Builder,
    check: impl FnOnce(&HeaderMap) -> Result<(), &'static str>,
) -> Result<Upgrade, CarrierError> {
    let request = request.body(Body::empty()).map_err(|_| CarrierError::Protocol {
        what: "an impossible request",
    })?;
    let switch = async {
        let response = client.send(request).await.map_err(|error| from_send(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(refusal(status, response.into_body()).await);
        }
        check(response.headers()).map_err(|what| CarrierError::Protocol { what })?;
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|error| CarrierError::Lost {
                cause: with_causes(&error),
            })?;
        Ok(TokioIo::new(upgraded))
    };
    timeout(UPGRADE_TIMEOUT, switch)
        .await
        .unwrap_or(Err(CarrierError::TimedOut { wait: Wait::Upgrade }))
}

fn path(endpoint: &Endpoint) -> String {
    let Endpoint {
        namespace, pod, port, ..
    } = endpoint;
    format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}")
}

fn has(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers
        .get(name)
        .is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

async fn refusal(status: StatusCode, body: Body) -> CarrierError {
    let body = match timeout(REFUSAL_TIMEOUT, Limited::new(body, MAX_REFUSAL).collect()).await {
        Err(_) => return CarrierError::TimedOut { wait: Wait::Refusal },
        // The body is too long or incomplete: report the status alone.
        Ok(Err(_)) => Vec::new(),
        Ok(Ok(body)) => body.to_bytes().to_vec(),
    };
    from_answer(status, &body, "pods/portforward")
}

/// Returns the error for an answer that refuses the upgrade.
fn from_answer(status: StatusCode, body: &[u8], resource: &'static str) -> CarrierError {
    match serde_json::from_slice::<Status>(body) {
        Ok(answer) if !answer.message.is_empty() => from_status(status, answer.message, resource, true),
        Ok(_) | Err(_) => {
            let text = String::from_utf8_lossy(body);
            let shown: String = text.trim().chars().take(MAX_SHOWN).collect();
            from_status(status, shown, resource, false)
        }
    }
}

/// Returns the error for a status. `by_api_server` is whether the message was in a Status: a proxy's 404 does not mean
/// that the pod is missing.
pub(crate) fn from_status(
    status: StatusCode,
    message: String,
    resource: &'static str,
    by_api_server: bool,
) -> CarrierError {
    match status {
        StatusCode::FORBIDDEN if by_api_server => CarrierError::Forbidden { message, resource },
        StatusCode::NOT_FOUND if by_api_server => CarrierError::PodNotFound { message },
        status => CarrierError::UpgradeRefused { status, message },
    }
}

/// Returns the error for a request without an answer.
pub(crate) fn from_send(error: &kube::Error) -> CarrierError {
    let cause = with_causes(error);
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(silent) = error.downcast_ref::<Silent>() {
            let wait = match silent {
                Silent::Proxy => Wait::Proxy,
                Silent::Server => Wait::Connect,
            };
            return CarrierError::TimedOut { wait };
        }
        if let Some(error) = error.downcast_ref::<LoginError>() {
            return CarrierError::Login(error.clone());
        }
        if let Some(error) = error.downcast_ref::<legacy::Error>()
            && !error.is_connect()
        {
            // The connection was cut after it was established: some proxies do that with an upgrade that they do not know.
            return CarrierError::Lost { cause };
        }
        source = error.source();
    }
    CarrierError::Unreachable { cause }
}

/// Formats an error and its causes as one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors include their cause in their text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
