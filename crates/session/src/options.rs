//! Options of a session.

use std::path::PathBuf;

use slipway_profile::Profile;

/// Options of a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cluster, namespace, method and extra hosts: a saved profile, or one made from the command line.
    pub profile: Profile,
    /// Whether the profile is saved. If so, its agent and key are stored under its name.
    pub saved: bool,
    /// Whether a credential plugin may ask at the terminal.
    pub terminal: bool,
    /// Home folder, for paths that begin with `~`.
    pub home: PathBuf,
}
