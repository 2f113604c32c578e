//! The API server as kubectl reaches it.
//!
//! What kubectl accepts from a kubeconfig, the environment and a login program, this crate accepts in the same sense; the
//! source of most rules is `k8s.io/client-go`. [`kubeconfig::choose`] turns the user's choice into a [`Target`]: server,
//! proxy, trust anchors, login and namespace. [`Target::client`] logs in and returns a [`kube::Client`] whose connections
//! suit carriers. All clients of a target share one [`Login`](login::Login), so that a credential plugin runs once.
//!
//! ```text
//! KUBECONFIG, --kubeconfig ──► kubeconfig ──► Target ──► client: LoggedIn ──► [proxy] ──► TLS (trust) ──► API server
//! HTTPS_PROXY, NO_PROXY ─────► proxy ──────────┤            ▲
//! credential plugin, token file ──► login ─────┴────────────┘  401: asked again
//! ```
//!
//! This crate must not know agents, tunnels, carriers or sessions. Its callers own what they request; [`request`] gives
//! each request a time limit and each failure a code, a cause and a remedy.

pub mod client;
pub mod kubeconfig;
pub mod login;
pub mod proxy;
pub mod request;
pub mod similar;
pub mod target;

mod file;
mod host;
mod token_source;
mod trust;

pub use target::Target;
pub use token_source::TokenSource;
