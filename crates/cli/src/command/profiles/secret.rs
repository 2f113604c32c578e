//! `slipway profiles secret`: the secrets of profiles in the keyring.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use slipway_control_api::Problem;
use slipway_problem::Fault;
use slipway_profile::{Profile, ProfileId, ProfileName, SecretReference, Store};
use slipway_secrets::keyring::{self, Stored};
use slipway_secrets::{MAX_SECRET, Owner, Purpose, SecretError};

use crate::failure::{Failure, Uncoded};
use crate::output;

/// Arguments of `slipway profiles secret`.
#[derive(Debug, clap::Args)]
pub(super) struct Secret {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Store a secret in the keyring: standard input, or the answer to a question at a terminal
    Set {
        /// The profile
        name: ProfileName,
        /// Which secret: token
        #[arg(value_name = "SECRET")]
        purpose: Purpose,
    },
    /// Remove a secret from the keyring
    Clear {
        /// The profile
        #[arg(required_unless_present = "orphaned")]
        name: Option<ProfileName>,
        /// Which secret: token
        #[arg(value_name = "SECRET", required_unless_present = "orphaned")]
        purpose: Option<Purpose>,
        /// Remove the secrets of profiles that no longer exist
        #[arg(long, conflicts_with_all = ["name", "purpose"])]
        orphaned: bool,
    },
}

/// Runs a subcommand of `slipway profiles secret`.
pub(super) async fn run(store: &Store, arguments: Secret) -> Result<ExitCode, Failure> {
    match arguments.what {
        What::Set { name, purpose } => {
            let profile = store.load(&name)?;
            let secret = entered(&name, purpose)?;
            keyring::set(&Owner::of(&profile), purpose, secret).await?;
            output::print(&format!("Stored the {purpose} of {name} in the keyring.\n"))?;
            if let Some(note) = unused(&profile, purpose) {
                output::note(&note);
            }
        }
        What::Clear {
            name: Some(name),
            purpose: Some(purpose),
            ..
        } => {
            let id = store.identity(&name)?;
            let done = match keyring::clear(id, purpose.as_str()).await? {
                true => "Removed the",
                false => "The keyring has no",
            };
            output::print(&format!("{done} {purpose} of {name}.\n"))?;
        }
        What::Clear { .. } => {
            let orphaned = orphaned(store, keyring::list().await?)?;
            for Stored { profile, purpose } in &orphaned {
                keyring::clear(*profile, purpose).await?;
            }
            output::print(&format!(
                "Removed {} from the keyring.\n",
                secrets(orphaned.len())
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes the secrets of a profile that was deleted. A keyring that cannot do it only costs a note.
pub(super) async fn forget(id: ProfileId, name: &ProfileName) -> Result<(), Failure> {
    match keyring::clear_all(id).await {
        Ok(0) | Err(SecretError::NoKeyring { .. }) => Ok(()),
        Ok(count) => output::print(&format!(
            "Removed {} of {name} from the keyring.\n",
            secrets(count)
        )),
        Err(error) => {
            let Problem { cause, .. } = error.problem();
            output::note(&format!(
                "Note: it is not known whether the keyring has secrets of {name}. {cause}\n  `slipway doctor` lists them; \
                 `slipway profiles secret clear --orphaned` removes them."
            ));
            Ok(())
        }
    }
}

/// Returns the entries of profiles that no longer exist; none if the file of an existing one hides its identity.
pub(crate) fn orphaned(store: &Store, stored: Vec<Stored>) -> Result<Vec<Stored>, slipway_profile::Error> {
    let Some(known) = store.identities()? else {
        return Ok(Vec::new());
    };
    let is_orphaned = |stored: &Stored| !known.contains(&stored.profile);
    Ok(stored.into_iter().filter(is_orphaned).collect())
}

fn secrets(count: usize) -> String {
    match count {
        1 => "1 secret".to_owned(),
        count => format!("{count} secrets"),
    }
}

/// Returns a note if the profile does not use the keyring for this secret.
fn unused(profile: &Profile, purpose: Purpose) -> Option<String> {
    let Purpose::Token = purpose;
    let cluster = &profile.cluster;
    if cluster.token == Some(SecretReference::Keyring) {
        return None;
    }
    let name = &profile.name;
    Some(format!(
        "Note: the profile does not use it. Write `token = \"keyring\"` beside `server` in the table `[cluster]`; to change \
         the profile, run `slipway profiles edit {name}`."
    ))
}

/// Reads the secret from standard input; at a terminal, asks for it without showing it.
fn entered(name: &ProfileName, purpose: Purpose) -> Result<SecretString, Failure> {
    let text = if io::stdin().is_terminal() {
        output::tell(&format!("The {purpose} of {name} (it is not shown): "));
        let text = console::Term::stderr().read_secure_line();
        Zeroizing::new(text.uncoded("Failed to read the answer")?)
    } else {
        // With its whole capacity, because a text that grows leaves copies.
        let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET + 1));
        let limit = u64::try_from(MAX_SECRET + 1).unwrap_or(u64::MAX);
        io::stdin()
            .lock()
            .take(limit)
            .read_to_string(&mut text)
            .uncoded("Failed to read standard input")?;
        text
    };
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.len() > MAX_SECRET {
        return Err(Problem::new(
            "secret-unusable",
            "the secret is empty or longer than 64 KiB",
            "Write the secret alone to standard input.",
        )
        .into());
    }
    Ok(secret.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_without_a_profile_is_orphaned() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let shop = store.create(&Profile::new("shop".parse().unwrap())).unwrap();
        let stored = |profile| Stored {
            profile,
            purpose: "token".to_owned(),
        };
        let both = vec![stored(shop.identity()), stored(ProfileId::random())];
        let found = orphaned(&store, both.clone()).unwrap();
        assert_eq!(found, both[1..]);
        // The broken file may be the one with this identity.
        std::fs::write(folder.path().join("broken.toml"), "id = [\n").unwrap();
        assert_eq!(orphaned(&store, both).unwrap(), []);
    }

    #[test]
    fn a_stored_secret_that_nobody_uses_is_noted() {
        let text = "version = 1\n[cluster]\nserver = \"https://10.0.0.1\"\ntoken = \"keyring\"\n";
        let profile = Profile::from_toml("shop".parse().unwrap(), text).unwrap();
        assert_eq!(unused(&profile, Purpose::Token), None);
        assert!(unused(&Profile::new("shop".parse().unwrap()), Purpose::Token).is_some());
    }
}
