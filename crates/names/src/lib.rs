//! DNS on the laptop: which names are ours, expansion, cache, why a name failed.
//!
//! A program's resolver sends its questions here, because the session has put this resolver in front of the laptop's
//! own. Cluster names are written in full and asked of the cluster; everything else goes to the name servers that the
//! laptop had before, byte for byte. Expansion happens here and not in search lists, so that glibc, musl, Go and
//! systemd-resolved, which all search differently, see the same names.
//!
//! ```text
//! bytes ─► Query ─► Scope::classify ─► Decision ─► cluster (candidates, one flight per question, cache) ─┐
//!            │                             └─────► laptop (the same bytes) ──────────────────────────────┤
//!            └─ try_answer: cache hit, patched in place                        Order says whose counts ◄─┘
//!                                                                                     └─► bytes, Event
//! ```
//!
//! * [`Scope`] holds the rules: no I/O, no clock.
//! * [`Resolver`] asks, waits, remembers. It always answers, and within a bounded time.
//! * [`Asks`] is its only way out; [`upstream`] is a ready way to the laptop's own name servers.
//! * [`Event`] and [`Explanation`] say what happened to a name and why; `slipway-control-api` has the form, and the words,
//!   in which others see them.
//!
//! It must not know the tunnel, packets, Kubernetes clients or the helper.

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

pub use asks::{Admission, AskError, Asks, NamedBy};
pub use event::{Answerer, Event, Observer, channel};
pub use explain::{EXPLAIN_WITHIN, Explanation, Finding, Searched};
pub use limits::{
    CLUSTER_WITHIN, HEDGE, LAPTOP_WITHIN, NEIGHBORS_WITHIN, NOBODY_WITHIN, PATIENCE, ROUTES_WITHIN,
    STALE_AFTER,
};
pub use name::{Label, MAX_LABEL, MAX_NAME, Name, NameError};
pub use question::{Question, RecordType};
pub use resolver::{Resolver, Transport};
pub use scope::{CHECK_ADDRESS, Decision, Namespaces, Order, Own, RefusedQuestion, Rule, Ruling, Scope};
pub use search::SearchList;
