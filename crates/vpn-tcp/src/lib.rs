//! The method for the whole laptop: every program reaches the cluster by name and address.
//!
//! The privileged helper makes a TUN whose routes are the cluster's ranges and sends the laptop's questions about names
//! here; the TUN's descriptor comes to this process and the helper keeps no copy. Packets go to [`slipway_capture`],
//! questions to [`slipway_names`], and both to the agent through the tunnel.
//!
//! ```text
//! helper ── lease: TUN, routes, sockets to the laptop's name servers ──► keeper
//! program ─► TUN ─► capture ─┬─► TunnelFarEnd ─► tunnel
//!                            └─► resolver ─► tunnel, or the laptop's name servers
//! redirected DNS ─► listener ────► resolver ── needs: routes to addresses, sockets, domains ──► keeper
//! keeper ── Reach: routes, what could not be had, whether the helper is there ──► report
//! ```
//!
//! [`VpnTcp`] implements [`slipway_method::Method`]. It must not know Kubernetes or how the tunnel stays alive.

mod admission;
mod domains;
mod error;
mod keeper;
mod lease;
mod lease_side;
mod listener;
mod method;
mod name_servers;
mod need;
mod plan;
mod reach;
mod report;
mod running;
mod self_test;
mod start;
mod withheld;

pub use error::HELPER_RETURNS_WITHIN;
pub use method::VpnTcp;
