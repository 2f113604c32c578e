//! Client of Slipway's privileged helper, and the texts for its user.
//!
//! A session and the doctor speak with the helper through this crate; the helper itself does not contain it, so what is
//! said to users is not part of a privileged program. This crate must not know how the helper does its work, nor what a
//! session does with a lease.
//!
//! # How data flows
//! [`Client`] exchanges Hello over the helper's socket. [`Client::up`] turns a [`Plan`] into requests that are small enough
//! for a frame and gives back a [`Handover`]: the [`Lease`], the TUN, and sockets to the laptop's own name servers.
//! [`Lease::update`] sends the difference between two plans. A refusal is data of `slipway-helper-api`; [`refusal_remedy`]
//! and [`ClientError`] say what the user can do about it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use slipway_helper_api::{DEFAULT_SOCKET, Route, RouteOrigin};
//! use slipway_helper_client::{Client, Plan};
//!
//! let client = Client::connect(DEFAULT_SOCKET).await?;
//! let services = Route::new("10.96.0.0/16".parse()?, RouteOrigin::Declared);
//! let plan = Plan::new([services], None)?;
//! let up = client.up(&plan, None).await?;
//! up.lease.closed().await;
//! drop(up.tun); // the helper is gone: so must the device be
//! # Ok(())
//! # }
//! ```

mod client;
mod connection;
mod error;
mod plan;
mod remedy;

pub use client::{Client, Handover, Lease, UpError, Upstream};
pub use error::ClientError;
pub use plan::Plan;
pub use remedy::{range_remedy, refusal_remedy};
