//! A test bed on one machine: a real Kubernetes, and laptops that can reach nothing of it but its API server.
//!
//! Everything lives in network and mount namespaces of its own, joined by veth pairs that never touch the
//! machine's: what a tool fails to catch on a laptop cannot leave by the machine's uplink, and cannot reach a
//! pod by itself and let a test pass for the wrong reason.
//!
//! ```text
//!   laptop plain ────┐
//!   laptop resolved ─┤ bridge   node: API server (TLS), name server; behind them the cluster:
//!   laptop firewall ─┘          etcd, controllers, scheduler, kubelet, kube-proxy, CoreDNS, pods
//! ```
//!
//! [`Bed::up`] builds what is missing ([`programs`], [`packages`], [`images`]), makes the machines
//! ([`machine`]), starts the cluster ([`node`]), applies the workloads and makes the [`Laptop`]s. Each machine
//! sees the host's files under an overlay of its own, so that packages which may not be installed on the host
//! look installed, and a test may install, replace and delete what it likes.
//!
//! The bed knows nothing of Slipway: it imports none of its crates.

mod addresses;
mod again;
mod bed;
mod cache;
mod existing;
mod images;
mod laptop;
mod laptop_kind;
mod machine;
mod namespace;
mod network;
mod node;
mod packages;
mod pki;
mod processes;
mod programs;
mod report;
mod resolved;

pub use addresses::Addresses;
pub use again::Again;
pub use bed::{Bed, BedName, Status};
pub use existing::Existing;
pub use laptop::{Laptop, LaptopLock};
pub use laptop_kind::LaptopKind;
pub use packages::Unpacked;
pub use report::{Report, Silent};
