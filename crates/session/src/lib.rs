//! One session, from connect to clean-up.
//!
//! A session is a state machine. Each state is a type that owns what belongs to it; it runs until an event, and one
//! function (`states::next`) decides which state follows:
//!
//! ```text
//! preparing ─► placing ─► connecting ─► connected ◄─► reconnecting
//!     │           │  ▲         │            │ └─────────► placing (the agent was lost)
//!     └───────────┴──│─────────┴────────────┴──────► ending
//!                    ├── the agent that was found does not answer
//!                    └── pausing ◄── the lost agent could not be replaced
//! ```
//!
//! It joins the crates below it: `cluster` chooses a cluster and places an agent, `carrier` and `tunnel` reach the agent,
//! and a [`Method`](slipway_method::Method), of which the session knows only the trait, captures programs. A
//! [`slipway_control::Publisher`] publishes state and progress; [`ControlHandler`] takes the requests of users. The crate
//! must not know any method, the helper, how a status is shown, or which program started it.

mod agent_watch;
mod askers;
mod awake;
mod captured;
mod carriers;
mod changes;
mod chosen;
mod cluster;
mod connected;
mod connecting;
mod context;
mod control_handler;
mod elders;
mod ending;
mod error;
mod exit;
mod extra_hosts;
mod failures;
mod laptop_probe;
mod link;
mod login;
mod losses;
mod name_events;
mod needed_hosts;
mod no_room;
mod options;
mod pausing;
mod placing;
mod preparing;
mod retried;
mod run;
mod self_check;
mod states;
#[cfg(test)]
mod tests;
mod time_limit;
mod trouble;

pub use chosen::chosen;
pub use control_handler::ControlHandler;
pub use options::Options;
pub use run::run;
