//! Scripted API server for unit tests: it answers requests by rules, and records them.

#![expect(clippy::unwrap_used, reason = "tests use it")]

mod silent;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

pub use silent::silent_after;

/// Answers for one path.
struct Rule {
    method: Method,
    path: String,
    watch: bool,
    answers: Vec<Answer>,
    used: usize,
}

#[derive(Clone)]
enum Answer {
    Json(u16, Value),
    /// Sends these lines, then falls silent.
    Watch(Vec<Value>),
    Never,
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its query, without the question mark; empty if there is none.
    pub query: String,
    /// Its body; null if that is no JSON.
    pub body: Value,
}

/// Rules and recorded requests.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

impl Script {
    /// Returns a server without rules, which answers every request with 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `method path` with this status and body. If it is set twice, the second answer is for the second request and
    /// all later ones.
    pub fn on(self, method: &str, path: &str, status: u16, body: Value) -> Self {
        self.answer(method, path, false, Answer::Json(status, body))
    }

    /// Answers a watch of `path` with these events and then keeps it open.
    pub fn on_watch(self, path: &str, events: &[Value]) -> Self {
        self.answer("GET", path, true, Answer::Watch(events.to_vec()))
    }

    /// Never answers `method path`.
    pub fn on_never(self, method: &str, path: &str) -> Self {
        self.answer(method, path, false, Answer::Never)
    }

    /// Returns a client of this server.
    pub fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move { Ok::<_, Infallible>(script.serve(request).await) }
        });
        Client::new(service, "default")
    }

    /// Returns the requests of this method and path.
    pub fn seen(&self, method: &str, path: &str) -> Vec<Seen> {
        let state = self.0.lock().unwrap();
        state
            .seen
            .iter()
            .filter(|seen| seen.method == method && seen.path == path)
            .cloned()
            .collect()
    }

    /// Returns every request that would change something.
    pub fn changes(&self) -> Vec<Seen> {
        let state = self.0.lock().unwrap();
        state
            .seen
            .iter()
            .filter(|seen| seen.method != Method::GET)
            .cloned()
            .collect()
    }

    fn answer(self, method: &str, path: &str, watch: bool, answer: Answer) -> Self {
        {
            let rules = &mut self.0.lock().unwrap().rules;
            let method: Method = method.parse().unwrap();
            let same = |rule: &&mut Rule| rule.method == method && rule.path == path && rule.watch == watch;
            match rules.iter_mut().find(same) {
                Some(rule) => rule.answers.push(answer),
                None => rules.push(Rule {
                    method,
                    path: path.to_owned(),
                    watch,
                    answers: vec![answer],
                    used: 0,
                }),
            }
        }
        self
    }

    async fn serve(&self, request: Request<Body>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let path = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let watch = query.contains("watch=true");
        let answer = {
            let mut state = self.0.lock().unwrap();
            state.seen.push(Seen {
                method: parts.method.clone(),
                path: path.clone(),
                query,
                body,
            });
            let fits =
                |rule: &&mut Rule| rule.method == parts.method && rule.path == path && rule.watch == watch;
            state.rules.iter_mut().find(fits).map(|rule| {
                let answer = rule.answers[rule.used.min(rule.answers.len() - 1)].clone();
                rule.used += 1;
                answer
            })
        };
        match answer {
            Some(Answer::Json(status, body)) => reply(status, &body),
            Some(Answer::Watch(events)) => hold_open(&events),
            Some(Answer::Never) => std::future::pending().await,
            None if watch => hold_open(&[]),
            None => reply(
                404,
                &failure(404, "NotFound", &format!("no rule for {} {path}", parts.method)),
            ),
        }
    }
}

/// Returns the body of a failed request.
pub fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

/// Returns the answer of RBAC.
pub fn rbac(verb: &str, resource: &str, group: &str, namespace: &str) -> Value {
    let message = format!(
        "{resource} is forbidden: User \"dev\" cannot {verb} resource \"{resource}\" in API group \"{group}\" in the \
         namespace \"{namespace}\""
    );
    failure(403, "Forbidden", &message)
}

/// Returns a list of objects.
pub fn list(kind: &str, version: &str, items: &[Value]) -> Value {
    json!({ "kind": kind, "apiVersion": version, "metadata": { "resourceVersion": "7" }, "items": items })
}

/// Returns one line of a watch.
pub fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

fn reply(status: u16, body: &Value) -> Reply {
    let mut response = Response::new(Full::from(serde_json::to_vec(body).unwrap()).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn hold_open(events: &[Value]) -> Reply {
    let lines: Vec<_> = events
        .iter()
        .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))))
        .collect();
    let body = StreamBody::new(stream::iter(lines).chain(stream::pending()));
    Response::new(body.boxed_unsync())
}
