//! Identity of a profile, which stays when the profile gets another name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::invalid_value::InvalidValue;
use crate::name::ProfileName;

/// Names a profile for as long as it exists: a UUID.
///
/// What is kept for a profile elsewhere, as the key of its agent, is kept under this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ProfileId(#[cfg_attr(feature = "schema", schemars(with = "String"))] Uuid);

impl ProfileId {
    /// An identity that no other profile has.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The identity of a profile whose file gives none, as one that was written by hand.
    pub fn of_name(name: &ProfileName) -> Self {
        let digest: [u8; 32] = Sha256::digest(name.as_str()).into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        // Version 8: made in a way of the maker's own (RFC 9562 section 5.8).
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ProfileId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let id = text.parse().map(Self);
        id.map_err(|_| InvalidValue::new("profile id", text, "it must be a UUID"))
    }
}

impl TryFrom<String> for ProfileId {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<ProfileId> for String {
    fn from(id: ProfileId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_identity_and_another_name_another() {
        let of = |name: &str| ProfileId::of_name(&name.parse().unwrap());
        assert_eq!(of("shop"), of("shop"));
        assert_ne!(of("shop"), of("blog"));
        assert_eq!(of("shop").to_string().parse(), Ok(of("shop")));
    }
}
