//! Owner of secrets: a profile.

use slipway_profile::{Profile, ProfileId, ProfileName};

/// The profile to which a secret belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its identity, under which the keyring has its secrets, so that a new name changes nothing.
    pub id: ProfileId,
    /// Its name, for users.
    pub name: ProfileName,
}

impl Owner {
    /// Returns the owner of a profile's secrets.
    pub fn of(profile: &Profile) -> Self {
        Self {
            id: profile.identity(),
            name: profile.name.clone(),
        }
    }
}
