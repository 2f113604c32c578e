//! Identity of a profile, which a new name does not change.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::invalid_value::InvalidValue;
use crate::name::ProfileName;

/// Identity of a profile for as long as it exists: a UUID.
///
/// Data of a profile in other places, such as the key of its agent, is stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("format" = "uuid")))]
#[serde(try_from = "String", into = "String")]
pub struct ProfileId(#[cfg_attr(feature = "schema", schemars(with = "String"))] Uuid);

impl ProfileId {
    /// Creates a new, unique identity.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Derives the identity of a profile whose file has none, such as one that was written by hand.
    pub fn of_name(name: &ProfileName) -> Self {
        let digest: [u8; 32] = Sha256::digest(name.as_str()).into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        // Version 8: custom contents (RFC 9562 section 5.8).
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
    fn different_names_have_different_identities() {
        let of = |name: &str| ProfileId::of_name(&name.parse().unwrap());
        assert_eq!(of("shop"), of("shop"));
        assert_ne!(of("shop"), of("blog"));
        assert_eq!(of("shop").to_string().parse(), Ok(of("shop")));
    }
}
