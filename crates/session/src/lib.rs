//! One session, from connect to clean-up.
//!
//! A session is a state machine with one file for each state, and every state is a function
//! that ends in the next one or in an error:
//!
//! ```text
//! preparing ─► placing ─► connecting ─► connected ◄─► reconnecting
//!     │           │  ▲         │            │ └─────────► placing (the agent was lost)
//!     └───────────┴──│─────────┴────────────┴──────► ending ─► over
//! ```
//!
//! It puts the rooms below it together: the cluster to choose and place, carriers and the tunnel to reach the
//! agent, a method to catch programs. What happens is told to a [`slipway_control::Publisher`], what people ask
//! comes in by [`Desk`]. It must not know how it is shown, or who started it.

mod addresses;
mod also_proxy;
mod carriers;
mod connected;
mod connecting;
mod context;
mod desk;
mod ending;
mod error;
mod holdings;
mod namespaces;
mod options;
mod placing;
mod preparing;
mod problems;
mod reconnecting;
mod run;

pub use desk::Desk;
pub use options::Options;
pub use run::run;
