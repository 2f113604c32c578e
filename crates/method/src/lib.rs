//! Methods of capturing programs: their trait, and what all of them need.
//!
//! A session holds one [`Method`] and knows no more of it than the trait says. A method takes the programs' connections,
//! packets and questions about names, wherever it gets them from, to the agent. The parts that do not depend on where
//! they come from are here:
//!
//! ```text
//! session ── Connection: tunnel, replies, names, networks ──► Method::start ──► RunningMethod
//!         ◄── Report: status and problems, as they change ──
//!
//! program ─► the method's own capture ─┬─► TunnelFarEnd ────────────► tunnel    (connections, datagrams, pings)
//!                                      │   TunnelFarEnd::return_packets ◄── tunnel
//!                                      └─► resolver ─► Upstreams ─┬─► tunnel    (cluster names)
//!                                                                 └─► LaptopSide (the laptop's name servers)
//! ```
//!
//! * [`NamePlan`] turns a profile, and what is known of the cluster, into the rules about names.
//! * [`Upstreams`] is the resolver's way out; a method brings its [`LaptopSide`].
//! * [`Explainer`] explains names of a running method.
//! * `TunnelFarEnd` and `CaptureResolver`, with the feature `capture`, join the tunnel and the resolver to slipway-capture,
//!   for methods that capture packets.
//!
//! The crate must not know any single method, the helper, Kubernetes, or how the tunnel stays alive.

mod cluster_domain;
mod connection;
mod explainer;
mod laptop_names;
mod method;
mod name_plan;
mod upstreams;

#[cfg(feature = "capture")]
mod capture_resolver;
#[cfg(feature = "capture")]
mod far_end;

#[cfg(feature = "capture")]
pub use capture_resolver::CaptureResolver;
pub use cluster_domain::{DomainSource, Doubt, Trust};
pub use connection::{Connection, Networks};
pub use explainer::Explainer;
#[cfg(feature = "capture")]
pub use far_end::TunnelFarEnd;
pub use laptop_names::laptop_names;
pub use method::{Method, Report, RunningMethod};
pub use name_plan::{BadName, ClusterNames, NamePlan};
pub use upstreams::{Elders, LaptopSide, Upstreams};
