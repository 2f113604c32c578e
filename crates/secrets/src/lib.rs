//! Secrets of profiles, such as the token of a cluster.
//!
//! A profile never has a secret; it has a [`SecretReference`](slipway_profile::SecretReference), which says where the secret
//! is. [`read()`] reads it there:
//!
//! ```text
//! keyring ── Secret Service, over the user's session bus ──┐
//! env:NAME ── environment of this process ─────────────────┤
//! file:PATH ── file that only its owner may read ──────────┼──► SecretString
//! exec:PROGRAM ── standard output of the program ──────────┘
//! ```
//!
//! [`keyring`] also stores, removes and lists the secrets of Slipway in the keyring. Every call has a limit and blocks no
//! thread of the runtime.
//!
//! # The keyring
//! The crate speaks the Secret Service (<https://specifications.freedesktop.org/secret-service-spec>) itself, with the small
//! part of D-Bus that it needs: a library for all of D-Bus makes the program `slipway` some megabytes larger. Secrets
//! cross the session bus with the algorithm `plain`. Nobody reads along there: its socket belongs to the user, the bus
//! delivers a message to its addressee only, and a process that may watch the bus runs as the user and could request the
//! secret itself. Libsecret does the same where encryption is not available.
//!
//! A secret is a [`SecretString`](secrecy::SecretString): its memory is overwritten when it is dropped, and it cannot be
//! printed. Nothing here writes a secret anywhere but into the keyring.

mod blocking;
mod bus;
mod error;
mod file;
pub mod keyring;
mod owner;
mod program;
mod purpose;
mod read;

pub use error::SecretError;
pub use owner::Owner;
pub use purpose::{Purpose, UnknownPurpose};
pub use read::read;

/// Largest secret that is read or stored, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;
