//! The method for the whole laptop: every program reaches the cluster by name and address.
//!
//! The privileged helper makes a TUN whose routes are the cluster's ranges and points the laptop's names at us; its
//! descriptor comes here and nobody keeps a copy. Packets go to [`slipway_capture`], names to [`slipway_names`],
//! and both to the agent by [`slipway_tunnel`].
//!
//! ```text
//! helper ── lease: TUN, routes, sockets to the laptop's name servers ──► lease
//! program ─► TUN ─► capture ─┬─► far end ─► tunnel
//!                            └─► resolver ─► names ─► tunnel, or the laptop's name servers
//! redirected DNS ─► listener ────► resolver
//! ```
//!
//! A [`VpnTcp`] is one connection's worth of that. Dropping it takes everything away again. It must not know
//! Kubernetes or how the tunnel stays alive.

mod asks;
mod cluster_domain;
mod domains;
mod error;
mod far_end;
mod laptop_names;
mod lease;
mod listener;
mod method;
mod plan;
mod resolver;
mod self_test;
mod withheld;

pub use cluster_domain::{DomainSaidBy, Doubt};
pub use error::{Ended, VpnTcpError};
pub use lease::{HELPER_RETURNS_WITHIN, Reach};
pub use method::{Explainer, VpnTcp, Wanted};
pub use plan::Warning;
pub use slipway_capture::BackEnd;
pub use withheld::{Withheld, WithheldAddress};
