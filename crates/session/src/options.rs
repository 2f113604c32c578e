//! What a session is asked to do.

use std::path::PathBuf;

use slipway_profile::Profile;

/// What a session is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which cluster, namespace, method and extra hosts: a saved profile, or one made of the command line.
    pub profile: Profile,
    /// Whether the profile is a saved one; then its agent and key are kept under its name.
    pub saved: bool,
    /// Whether a credential plugin may ask at the terminal.
    pub terminal: bool,
    /// The home folder, for paths that begin with `~`.
    pub home: PathBuf,
}
