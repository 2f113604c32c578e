//! Kubernetes as Slipway needs it: which cluster, what may be done there, and one agent pod in it.
//!
//! [`kubeconfig`] turns what the user wrote into a [`Target`](kubeconfig::Target). Every other module takes a
//! ready [`kube::Client`], so that whoever builds it decides about sockets and proxies. [`placement`] puts an agent
//! into a namespace, finds it again and removes it; [`keys`] keeps, on the laptop, the keys of agents that a later
//! session may go on with; [`permissions`] says beforehand which verb is missing; [`ranges`] learns which addresses are the
//! cluster's; [`list`] is what a person chooses from.
//!
//! It must not know the tunnel, the carriers, capture, names or the helper: an agent is to this crate a pod that
//! runs, and its binary a slice of bytes.
//!
//! Every request is bounded in time, every error is a closed enum with a `code()` that does not change, a message
//! that names the cause, and a `remedy()` that says what the user can do. Nothing in the cluster is created just to
//! learn something from it.

pub mod api;
pub mod keys;
pub mod kubeconfig;
pub mod list;
pub mod permissions;
pub mod placement;
pub mod ranges;

mod watch;
