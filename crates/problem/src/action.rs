//! Actions: remedies that a program can offer as buttons.

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

/// A remedy that a program can carry out, or prepare, for the user.
///
/// New versions may add actions. A reader ignores those that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Action {
    /// Add an entry to the profile's `also-proxy`.
    AddAlsoProxy {
        /// The entry: a host name or an address.
        host: String,
    },
    /// Remove an entry from the profile's `also-proxy`.
    RemoveAlsoProxy {
        /// The entry, as the profile spells it.
        host: String,
    },
    /// Look up names without dots in another namespace too.
    AddNamespace {
        /// The namespace.
        namespace: String,
    },
    /// Use another namespace: connect to it, or set it in the profile.
    UseNamespace {
        /// The namespace.
        namespace: String,
    },
    /// Start the privileged helper, as `slipway helper start` does, or install it.
    StartHelper,
    /// Send this Role to the cluster's administrator.
    AskForRole {
        /// A complete Kubernetes manifest.
        yaml: String,
    },
    /// Open a saved profile in an editor.
    EditProfile {
        /// The profile's name.
        profile: String,
    },
    /// Run a command line.
    Run {
        /// The command line for a shell.
        command: String,
    },
}

/// Deserializes actions and ignores unknown ones, for serde's `deserialize_with`. An unknown action must not make an
/// older program lose the whole problem.
///
/// # Errors
/// The deserializer's error if the value is not a list.
pub fn known_actions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Action>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum MaybeKnown {
        Known(Action),
        Unknown(IgnoredAny),
    }
    let actions = Vec::<MaybeKnown>::deserialize(deserializer)?;
    Ok(actions
        .into_iter()
        .filter_map(|action| match action {
            MaybeKnown::Known(action) => Some(action),
            MaybeKnown::Unknown(IgnoredAny) => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_keep_their_form() {
        let text = |action: &Action| serde_json::to_string(action).unwrap();
        assert_eq!(
            text(&Action::RemoveAlsoProxy { host: "db".into() }),
            r#"{"do":"remove-also-proxy","host":"db"}"#
        );
        assert_eq!(
            text(&Action::Run {
                command: "slipway doctor".into()
            }),
            r#"{"do":"run","command":"slipway doctor"}"#
        );
    }
}
