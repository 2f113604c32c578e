//! The user's keyring, by the Secret Service.
//!
//! Slipway's entries have the attributes `service` (`slipway`) and `username` (`profile/ID/PURPOSE`), so that a profile
//! keeps its secrets under another name. A person finds them by their label, and `secret-tool search service slipway` lists
//! them.

mod service;

use secrecy::{ExposeSecret, SecretString};
use slipway_profile::ProfileId;
use uuid::Uuid;

use self::service::{Person, SecretService};
use crate::blocking::blocking;
use crate::error::SecretError;
use crate::owner::Owner;
use crate::purpose::Purpose;

/// Value of the attribute `service` of all entries.
const SERVICE: &str = "slipway";

/// Largest number of entries that are listed.
const MOST: usize = 1000;

/// An entry of the keyring that a profile owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Identity of the profile; it may be gone.
    pub profile: ProfileId,
    /// Purpose of the secret. An entry of a newer version may have one that [`Purpose`] lacks.
    pub purpose: String,
}

/// Reads a secret. A locked keyring asks the user to unlock it.
///
/// # Errors
/// [`SecretError`], such as [`SecretError::NotStored`].
pub async fn get(owner: &Owner, purpose: Purpose) -> Result<SecretString, SecretError> {
    let owner = owner.clone();
    blocking(move || {
        let mut service = SecretService::connect()?;
        let username = username(owner.id, purpose.as_str());
        let found = service.search(&attributes(&username))?;
        let Some(item) = found.first() else {
            return Err(SecretError::NotStored {
                profile: owner.name,
                purpose,
            });
        };
        service.unlock(item, Person::Asked)?;
        let secret = service.secret(item)?;
        match str::from_utf8(&secret) {
            Ok(text) if !text.is_empty() => Ok(text.into()),
            Ok(_) | Err(_) => Err(SecretError::Unusable {
                place: "the keyring".to_owned(),
                detail: "it is empty or no text",
            }),
        }
    })
    .await
}

/// Stores a secret, in place of the last one. A locked keyring asks the user to unlock it.
///
/// # Errors
/// [`SecretError`] if the keyring does not take it.
pub async fn set(owner: &Owner, purpose: Purpose, secret: SecretString) -> Result<(), SecretError> {
    let owner = owner.clone();
    blocking(move || {
        let mut service = SecretService::connect()?;
        let label = format!("Slipway: {purpose} of the profile {}", owner.name);
        let username = username(owner.id, purpose.as_str());
        let secret = secret.expose_secret().as_bytes();
        service.store(&label, &attributes(&username), secret, Person::Asked)
    })
    .await
}

/// Removes a secret, and returns whether there was one. A locked keyring asks the user to unlock it.
///
/// # Errors
/// [`SecretError`] if the keyring does not remove it.
pub async fn clear(owner: ProfileId, purpose: &str) -> Result<bool, SecretError> {
    let username = username(owner, purpose);
    blocking(move || {
        let mut service = SecretService::connect()?;
        remove(&mut service, &username)
    })
    .await
}

/// Removes all secrets of a profile, and returns how many there were.
///
/// # Errors
/// [`SecretError`] if the keyring does not remove them.
pub async fn clear_all(owner: ProfileId) -> Result<usize, SecretError> {
    let mut removed = 0;
    for stored in list().await? {
        if stored.profile == owner && clear(owner, &stored.purpose).await? {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Lists the entries of all profiles, also those of a locked keyring. Asks nobody.
///
/// # Errors
/// [`SecretError`] if there is no keyring.
pub async fn list() -> Result<Vec<Stored>, SecretError> {
    blocking(|| {
        let mut service = SecretService::connect()?;
        let mut listed = Vec::new();
        for item in service.search(&[("service", SERVICE)])?.iter().take(MOST) {
            let attributes = service.attributes(item)?;
            let username = attributes.iter().find(|(key, _)| key == "username");
            listed.extend(username.and_then(|(_, username)| stored(username)));
        }
        Ok(listed)
    })
    .await
}

/// Stores an entry, reads it and removes it: some keyrings answer questions, but take nothing. Asks nobody.
///
/// # Errors
/// [`SecretError`] with what is missing.
pub async fn try_out() -> Result<(), SecretError> {
    blocking(|| {
        let mut service = SecretService::connect()?;
        let username = format!("trial/{}", Uuid::new_v4());
        let attributes = attributes(&username);
        service.store("Slipway: trial", &attributes, b"trial", Person::LeftAlone)?;
        let read = service.search(&attributes)?;
        let read = read.first().map(|item| service.secret(item)).transpose();
        remove(&mut service, &username)?;
        match read? {
            Some(secret) if **secret == *b"trial" => Ok(()),
            Some(_) | None => Err(SecretError::Refused {
                detail: "it does not return what was stored".to_owned(),
            }),
        }
    })
    .await
}

fn remove(service: &mut SecretService, username: &str) -> Result<bool, SecretError> {
    let found = service.search(&attributes(username))?;
    for item in &found {
        service.unlock(item, Person::Asked)?;
        service.delete(item, Person::Asked)?;
    }
    Ok(!found.is_empty())
}

fn username(owner: ProfileId, purpose: &str) -> String {
    format!("profile/{owner}/{purpose}")
}

fn attributes(username: &str) -> [(&str, &str); 2] {
    [("service", SERVICE), ("username", username)]
}

/// Returns the entry with this attribute; `None` for a trial or what is not Slipway's.
fn stored(username: &str) -> Option<Stored> {
    let (id, purpose) = username.strip_prefix("profile/")?.split_once('/')?;
    Some(Stored {
        profile: id.parse().ok()?,
        purpose: purpose.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_its_profile_and_purpose() {
        let id = ProfileId::random();
        let expected = Stored {
            profile: id,
            purpose: "token".to_owned(),
        };
        assert_eq!(stored(&username(id, "token")), Some(expected));
        for other in ["trial/x", "profile/x/token", "profile/", "token"] {
            assert_eq!(stored(other), None, "{other}");
        }
    }
}
