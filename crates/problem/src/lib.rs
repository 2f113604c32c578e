//! Problems: what is wrong, in a form that people, scripts and windows can all use.
//!
//! Every error of Slipway that reaches a user is a [`Fault`]: beside its text it has a code, a remedy and, where a
//! program could carry the remedy out, [`Action`]s. [`Fault::problem`] turns it into a [`Problem`], which is plain data:
//!
//! ```text
//! error in any crate ── Fault::problem ──► Problem ──► status --json, connect --json, control socket
//!                                                 └──► "slipway: CAUSE / REMEDY / (CODE)" on a terminal
//! ```
//!
//! The crate is below all others, so that each of them can implement [`Fault`]. It must not know any of their errors, nor
//! where a problem is shown.

mod action;
mod fault;
mod problem;

pub use action::{Action, known_actions};
pub use fault::Fault;
pub use problem::Problem;
