//! Data types between Slipway's programs: the messages of sessions, and the JSON of `list`, `doctor` and `explain`.
//!
//! ```text
//! session ── SessionStatus, NameEvent, Reply ──► control socket ──► tray, `status`, `logs`
//!         ◄── Request ───────────────────────────
//! `connect --json`, `run --json-status` ── Progress ──► the program that started it
//! `doctor`, `explain`, `list` --json ── Finding, Explained, list::* ──► desktop, scripts
//! `doctor --json-lines` ── CheckEvent ──► desktop
//! ```
//!
//! The crate does no I/O, reads no clock, and knows neither how a session works nor how its data is shown. Fields and
//! variants are added, never renamed. A reader skips fields and actions that it does not know; if a newer program may
//! add a variant, the type has the variant `Unknown`.
//!
//! With the feature `schema` the types describe themselves as JSON Schema (`docs/schema/`).

mod backing;
mod capture;
mod changed;
mod check_event;
mod explanation;
mod finding;
mod helper_status;
mod history;
pub mod list;
mod message;
mod name;
mod progress;
mod range;
mod session_id;
mod state;
mod status;

pub use backing::{Backing, BackingVerdict, Endpoints, Replicas, Unread};
pub use capture::{BackEnd, CaptureStatus, VpnTcpStatus};
pub use changed::{Changed, HostAddresses};
pub use check_event::{CheckEvent, CheckSummary, MethodSummary, Step, StepState, Steps};
pub use explanation::{
    AddressFacts, AddressRoute, Explained, Explanation, Found, NameFacts, NameOutcome, NameRule, NameVerdict,
    Said,
};
pub use finding::{Check, Finding, FindingData, Verdict};
pub use helper_status::{HelperStart, HelperStarted, HelperStatus};
pub use history::{Happening, History, HistoryEvent, Minute, Second, SessionHistory};
pub use message::{Greeting, PROTOCOL_VERSION, Reply, Request, Subscription, WatchedNames};
pub use name::{Answerer, Asker, NameEvent};
pub use progress::Progress;
pub use range::{LaptopRoute, Layout, NetworkHolder, Overlap, RangeFacts, RangeOrigin, RangeWinner};
pub use session_id::{InvalidSessionId, SessionId};
pub use slipway_problem::{Action, Problem};
pub use state::{State, Word};
pub use status::{AgentEnd, AgentInfo, AgentLoss, Health, LOGIN_WAITS, SessionStatus};
