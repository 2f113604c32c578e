//! Problems: errors as data, for terminals, scripts and windows.
//!
//! Every error of Slipway that reaches a user is a [`Fault`]: it has a text, a code, a remedy and, if a program can
//! carry out the remedy, [`Action`]s. [`Fault::problem`] turns it into a [`Problem`], which is plain data:
//!
//! ```text
//! error in any crate ── Fault::problem ──► Problem ──► status --json, connect --json, control socket
//!                                                 └──► "slipway: CAUSE / REMEDY / (CODE)" on a terminal
//! ```
//!
//! All other crates depend on this one, so that each can implement [`Fault`]. It knows neither their errors nor where
//! problems are shown.

mod action;
mod fault;
mod problem;

pub use action::{Action, known_actions};
pub use fault::Fault;
pub use problem::Problem;
