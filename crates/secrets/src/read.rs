//! Reading of a secret where a profile says it is.

use std::path::Path;

use secrecy::SecretString;
use slipway_profile::SecretReference;

use crate::blocking::blocking;
use crate::error::SecretError;
use crate::owner::Owner;
use crate::purpose::Purpose;
use crate::{MAX_SECRET, file, keyring, program};

/// Reads a secret, within a limited time. Line ends after it do not count. `home` is the folder for paths that begin with
/// `~`. A keyring that is locked asks the user to unlock it.
///
/// # Errors
/// [`SecretError`] with the place and what the user can do.
pub async fn read(
    reference: &SecretReference,
    owner: &Owner,
    purpose: Purpose,
    home: &Path,
) -> Result<SecretString, SecretError> {
    let bytes = match reference {
        SecretReference::Keyring => return keyring::get(owner, purpose).await,
        SecretReference::Environment(name) => {
            return match std::env::var(name.as_str()) {
                Ok(text) => secret(text.as_bytes(), reference),
                Err(_) => Err(SecretError::NoVariable {
                    name: name.as_str().to_owned(),
                }),
            };
        }
        SecretReference::File(path) => {
            let path = path.resolve(home);
            blocking(move || file::read(&path)).await?
        }
        SecretReference::Program(line) => program::read(line).await?,
    };
    secret(&bytes, reference)
}

/// Returns the secret in a text.
fn secret(bytes: &[u8], reference: &SecretReference) -> Result<SecretString, SecretError> {
    let place = || reference.to_string();
    let unusable = |detail| {
        Err(SecretError::Unusable {
            place: place(),
            detail,
        })
    };
    if bytes.len() > MAX_SECRET {
        return unusable("it is longer than 64 KiB");
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return unusable("it is not UTF-8");
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(SecretError::Empty { place: place() });
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use slipway_problem::Fault;
    use slipway_profile::Profile;

    use super::*;

    async fn read_at(reference: &str, home: &Path) -> Result<String, String> {
        let owner = Owner::of(&Profile::new("shop".parse().unwrap()));
        let secret = read(&reference.parse().unwrap(), &owner, Purpose::Token, home).await;
        let text = secret.map(|secret| secret.expose_secret().to_owned());
        text.map_err(|error| error.code().to_owned())
    }

    #[tokio::test]
    async fn a_secret_is_read_where_the_reference_says() {
        use std::os::unix::fs::PermissionsExt;

        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        std::fs::write(&path, "sesame\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_at("file:~/token", home.path()).await.unwrap(), "sesame");
        assert_eq!(read_at("exec:echo sesame", home.path()).await.unwrap(), "sesame");
        let path = std::env::var("PATH").unwrap();
        assert_eq!(read_at("env:PATH", home.path()).await.unwrap(), path);
    }

    #[tokio::test]
    async fn a_place_without_a_secret_is_an_error() {
        let home = Path::new("/nonexistent");
        for (reference, code) in [
            ("env:SLIPWAY_TEST_NOT_SET", "secret-missing"),
            ("file:~/token", "secret-file"),
            ("exec:true", "secret-unusable"),
            ("exec:printf '\\377'", "secret-unusable"),
            ("exec:head -c 70000 /dev/zero", "secret-unusable"),
            ("exec:false", "secret-program"),
        ] {
            assert_eq!(
                read_at(reference, home).await,
                Err(code.to_owned()),
                "{reference}"
            );
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let reference = SecretReference::Keyring;
        let secret = secret(b"sesame", &reference).unwrap();
        assert!(!format!("{secret:?}").contains("sesame"));
    }
}
