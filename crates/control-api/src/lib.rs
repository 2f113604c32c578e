//! The words between Slipway's programs: everything that a session, `list`, `doctor` and `explain` say and accept.
//!
//! ```text
//! session ── SessionStatus, NameEvent, Reply ──► control socket ──► tray, `status`, `logs`
//!         ◄── Request ───────────────────────────
//! `connect --json`, `run --json-status` ── Progress ──► whoever started it
//! `doctor`, `explain`, `list` --json ── Finding, Explained, list::* ──► desktop, scripts
//! ```
//!
//! These are plain types with one meaning on both sides. The crate does no I/O, reads no clock and must not know how a
//! session works, what a socket is or how any of this is shown. Fields and variants are added, never renamed. A reader
//! skips fields and actions that it does not know; where a newer program may add a variant, the type has an `Unknown` one.
//!
//! With the feature `schema` the types describe themselves as JSON Schema (`docs/schema/`).

mod capture;
mod explanation;
mod finding;
pub mod list;
mod message;
mod name;
mod progress;
mod session_id;
mod state;
mod status;

pub use capture::{BackEnd, CaptureStatus, VpnTcpStatus};
pub use explanation::{
    AddressFacts, AddressRoute, Explained, Explanation, Found, NameFacts, NameOutcome, NameRule, NameVerdict,
    Said,
};
pub use finding::{Check, Finding, Verdict};
pub use message::{Greeting, PROTOCOL_VERSION, Reply, Request, Subscription, WatchedNames};
pub use name::{Answerer, NameEvent};
pub use progress::Progress;
pub use session_id::{InvalidSessionId, SessionId};
pub use slipway_problem::{Action, Problem};
pub use state::{State, Word};
pub use status::{AgentInfo, Health, SessionStatus};
