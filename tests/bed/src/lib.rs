//! Test bed on one machine: a real Kubernetes, and laptops that can reach only its API server.
//!
//! Everything runs in separate network and mount namespaces, connected by veth pairs that never touch the machine's own
//! network. So a packet that Slipway fails to capture on a laptop can neither leave by the machine's uplink nor reach a
//! pod, which would let a test pass wrongly.
//!
//! ```text
//!   laptop plain ────┐
//!   laptop resolved ─┤ bridge   node: API server (TLS), name server; behind them the cluster:
//!   laptop firewall ─┘          etcd, controllers, scheduler, kubelet, kube-proxy, CoreDNS, pods
//! ```
//!
//! [`Bed::up`] builds what is missing ([`programs`], [`packages`], [`images`]), makes the machines
//! ([`machine`]), starts the cluster ([`node`]), applies the workloads and makes the [`Laptop`]s. Each machine sees the
//! host's files under its own overlay, so that packages look installed without being on the host, and a test may
//! install, replace and delete any file.
//!
//! The bed does not use Slipway's crates.

mod addresses;
pub mod again;
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
pub use bed::{Bed, BedName, Status};
pub use existing::Existing;
pub use laptop::{Laptop, LaptopLock};
pub use laptop_kind::LaptopKind;
pub use packages::Unpacked;
pub use report::{Report, Silent};
