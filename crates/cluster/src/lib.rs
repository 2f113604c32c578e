//! Kubernetes as Slipway needs it: choosing a cluster, checking permissions, and one agent pod.
//!
//! Every module takes a [`kube::Client`], which `slipway-api-server` makes. [`placement`] starts an agent in a namespace,
//! finds it again and removes it. [`keys`] stores on the laptop the keys of agents that a later session may use.
//! [`permissions`] finds missing permissions beforehand. [`ranges`] learns which addresses belong to the cluster. [`list`]
//! returns what a user chooses from, [`namespace`] whether a namespace exists, and [`backing`] what stands behind a name.
//! [`obstacles`] looks for what keeps an agent from the cluster's services.
//!
//! This crate must not know the tunnel, the carriers, capture, names or the helper: to this crate an agent is a running
//! pod, and its binary is a slice of bytes.
//!
//! Every request has a time limit. Every error is a closed enum with a `code()` that does not change, a message that
//! names the cause, and a `remedy()` that tells the user what to do. The crate creates nothing in the cluster only to
//! learn something from it.

pub mod backing;
pub mod keys;
pub mod list;
pub mod namespace;
pub mod obstacles;
pub mod permissions;
pub mod placement;
pub mod ranges;

mod watch;
