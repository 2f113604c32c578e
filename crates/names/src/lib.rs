//! The session's DNS resolver: whose a name is, expansion, cache, explanations.
//!
//! The laptop's programs send their questions to this resolver, because the session puts it in front of the laptop's
//! name servers. It expands cluster names to full names and asks the cluster's DNS for them. It passes all other
//! questions, byte for byte, to the laptop's own name servers, each to the one that the program asked. Names are
//! expanded here and not by search lists, so that glibc, musl, Go and systemd-resolved, which all search differently,
//! see the same names.
//!
//! ```text
//! bytes ─► Query ─► Scope::classify ─► Decision ─► cluster (candidates, one flight per question, cache) ─┐
//!            │                             └─────► laptop (the same bytes) ──────────────────────────────┤
//!            └─ try_answer: cache hit, patched in place                        Order says whose counts ◄─┘
//!                                                                                     └─► bytes, Event
//! ```
//!
//! * [`Scope`] holds the rules: no I/O, no clock.
//! * [`Resolver`] asks, waits and caches. It always answers, and within a bounded time.
//! * [`Asks`] is the interface through which it asks all servers; [`upstream`] asks the laptop's name servers.
//! * [`Event`] and [`Explanation`] say what happened to a name and why; `slipway-control-api` has their form as data and
//!   their texts for users.
//!
//! This crate must not know the tunnel, packets, Kubernetes clients or the helper.

pub mod upstream;

mod asks;
mod cache;
mod event;
mod explain;
mod flight;
mod limits;
mod message;
mod name;
mod question;
mod race;
mod resolver;
mod scope;
mod search;
mod serve;

pub use asks::{Addressee, Admission, AskError, Asks, NamedBy};
pub use event::{Answerer, Event, Observer, channel};
pub use explain::{EXPLAIN_WITHIN, Explanation, Finding, Searched};
pub use limits::{
    ADDRESSED_WITHIN, CLUSTER_WITHIN, HEDGE, LAPTOP_WITHIN, NEIGHBORS_WITHIN, NOBODY_WITHIN, PATIENCE,
    ROUTES_WITHIN, STALE_AFTER,
};
pub use name::{Label, MAX_LABEL, MAX_NAME, Name, NameError};
pub use question::{Question, RecordType};
pub use resolver::{Resolver, Transport};
pub use scope::{CHECK_ADDRESS, Decision, Namespaces, Order, Own, RefusedQuestion, Rule, Ruling, Scope};
pub use search::SearchList;
