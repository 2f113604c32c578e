//! Check of the keyring: secrets of profiles that no longer exist.

use slipway_control_api::{Action, Check, Finding};
use slipway_profile::Store;
use slipway_secrets::keyring::{self, Stored};

use crate::command::profiles::orphaned;

/// Returns a warning about secrets of profiles that no longer exist; nothing without a keyring or a store.
pub(super) async fn check() -> Vec<Finding> {
    // Only a session that needs a secret needs a keyring, and tells what is wrong with it.
    let Ok(stored) = keyring::list().await else {
        return Vec::new();
    };
    let found = Store::of_user().and_then(|store| orphaned(&store, stored));
    found
        .ok()
        .and_then(|found| of_orphaned(&found))
        .into_iter()
        .collect()
}

fn of_orphaned(orphaned: &[Stored]) -> Option<Finding> {
    if orphaned.is_empty() {
        return None;
    }
    let secrets: Vec<String> = orphaned
        .iter()
        .map(|Stored { profile, purpose }| format!("{purpose} of {profile}"))
        .collect();
    let command = "slipway profiles secret clear --orphaned".to_owned();
    let detail = format!(
        "The keyring has secrets of profiles that no longer exist: {}.",
        secrets.join(", ")
    );
    let finding = Finding::warn(Check::Secret, detail, format!("To remove them, run `{command}`."));
    Some(Finding {
        actions: vec![Action::Run { command }],
        ..finding.coded("secret-orphaned")
    })
}

#[cfg(test)]
mod tests {
    use slipway_profile::ProfileId;

    use super::*;

    #[test]
    fn orphaned_secrets_are_a_warning() {
        assert_eq!(of_orphaned(&[]), None);
        let stored = Stored {
            profile: ProfileId::of_name(&"gone".parse().unwrap()),
            purpose: "token".to_owned(),
        };
        let finding = of_orphaned(&[stored]).unwrap();
        assert_eq!(finding.code.as_deref(), Some("secret-orphaned"));
        assert!(finding.detail.contains("token of "), "{finding:?}");
    }
}
