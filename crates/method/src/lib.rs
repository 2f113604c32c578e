//! Methods of capturing programs: their trait, and the parts that all of them share.
//!
//! A session uses its [`Method`] only through the trait. A method takes connections, packets and DNS questions of
//! programs to the agent. This crate has the parts that do not depend on how a method captures programs:
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
//! * [`NamePlan`] turns a profile and known facts of the cluster into the rules about names.
//! * [`Additions`] are what the user sends to the cluster in addition, which a [`Changer`] replaces while the method runs.
//! * [`Upstreams`] sends the resolver's questions to the cluster or the laptop; a method brings its [`LaptopSide`].
//! * [`Explainer`] explains names of a running method.
//! * `TunnelFarEnd` and `CaptureResolver`, with the feature `capture`, connect the tunnel and the resolver to
//!   slipway-capture, for methods that capture packets.
//!
//! The crate must not know any single method, the helper, Kubernetes, or how the tunnel stays alive.

mod additions;
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

pub use additions::{Additions, BadName};
#[cfg(feature = "capture")]
pub use capture_resolver::CaptureResolver;
pub use cluster_domain::{DomainSource, Doubt, Trust};
pub use connection::{Connection, Networks};
pub use explainer::Explainer;
#[cfg(feature = "capture")]
pub use far_end::TunnelFarEnd;
pub use laptop_names::laptop_names;
pub use method::{Changer, Method, Probe, Probed, Report, RunningMethod};
pub use name_plan::{ClusterNames, NamePlan};
pub use upstreams::{Elders, LaptopSide, Upstreams};
