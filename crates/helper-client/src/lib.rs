//! Client of Slipway's privileged helper, with the texts for users.
//!
//! Sessions and the doctor talk to the helper through this crate. The helper does not contain it, which keeps texts for
//! users out of the privileged program. This crate must not know how the helper works, nor what a session does with a
//! lease.
//!
//! # How data flows
//! [`Client`] exchanges Hello over the helper's socket. [`Client::up`] turns a [`Plan`] into requests that fit a
//! frame, and returns a [`Handover`]: the [`Lease`], the TUN, and sockets to the laptop's own name servers.
//! [`Lease::update`] sends the difference between two plans. Refusals are types of `slipway-helper-api`;
//! [`refusal_remedy`] and [`ClientError`] have the remedies.
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
//! drop(up.tun); // the helper is gone, so remove the device
//! # Ok(())
//! # }
//! ```

mod client;
mod connection;
mod error;
mod plan;
mod remedy;
mod started;

pub use client::{Client, Handover, Lease, UpError, Upstream};
pub use error::ClientError;
pub use plan::Plan;
pub use remedy::{range_remedy, refusal_remedy};
pub use started::Started;
