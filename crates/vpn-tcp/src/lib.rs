//! Method vpn-tcp: every program on the laptop reaches the cluster by name and address.
//!
//! The privileged helper makes a TUN, routes the cluster's ranges into it, and directs the laptop's DNS to this
//! process. It hands the TUN's descriptor over and keeps no copy. [`slipway_capture`] reads the packets and
//! [`slipway_names`] answers the DNS questions; both reach the agent through the tunnel.
//!
//! ```text
//! helper ── lease: TUN, routes, sockets to the laptop's name servers ──► keeper
//! program ─► TUN ─► capture ─┬─► TunnelFarEnd ─► tunnel
//!                            └─► resolver ─► tunnel, or the laptop's name servers
//! redirected DNS ─► listeners ───► resolver ── needs: routes to addresses, sockets, domains ──► keeper
//! resolv.conf ─► LaptopFiles ── needs: the laptop's new name servers and search domains ──────► keeper
//! changer ── needs: the user's networks, and domains ───────────────────────────────────────────► keeper
//! keeper ── Reach: routes, warnings, whether the helper is there ──► report
//! kernel: changes of routes and rules ──► overridden ─┬─ needs: another check of the lease ──► keeper
//!                                                     └─ Reach: routes that others override ──► report
//! ```
//!
//! [`VpnTcp`] implements [`slipway_method::Method`]. It must not know Kubernetes or how the tunnel stays alive.

mod admission;
mod changer;
mod domains;
mod error;
mod keeper;
mod laptop_files;
mod lease;
mod lease_side;
mod left_out;
mod listener;
mod method;
mod name_servers;
mod need;
mod overridden;
mod plan;
mod probe;
mod reach;
mod report;
mod running;
mod self_test;
mod start;
mod withheld;

pub use error::HELPER_RETURNS_WITHIN;
pub use method::VpnTcp;
