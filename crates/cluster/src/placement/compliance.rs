//! Fields of a profile by which the agent's pod can comply with a rule.

/// A field of the profile's table `[agent]`, and the option of the same meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Labels,
    Annotations,
    Tolerations,
    NodeSelector,
    PullSecrets,
    ServiceAccount,
    Image,
}

impl Field {
    const ALL: [Self; 7] = [
        Self::Labels,
        Self::Annotations,
        Self::Tolerations,
        Self::NodeSelector,
        Self::PullSecrets,
        Self::ServiceAccount,
        Self::Image,
    ];

    /// Words of rules and messages that are about the field, in lower case.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Labels => &["label"],
            Self::Annotations => &["annotation"],
            Self::Tolerations => &["toleration", "taint"],
            Self::NodeSelector => &["nodeselector", "node selector"],
            Self::PullSecrets => &["pullsecret", "pull secret"],
            Self::ServiceAccount => &["serviceaccount", "service account"],
            Self::Image => &["image", "registry"],
        }
    }

    /// Returns the option and the field's name, as words of a remedy.
    pub(super) fn named(self) -> &'static str {
        match self {
            Self::Labels => "a label: `--agent-label KEY=VALUE`, or `labels` of `[agent]` in the profile",
            Self::Annotations => {
                "an annotation: `--agent-annotation KEY=VALUE`, or `annotations` of `[agent]` in the profile"
            }
            Self::Tolerations => {
                "a toleration: `--agent-toleration KEY=VALUE:EFFECT`, or `tolerations` of `[agent]` in the profile"
            }
            Self::NodeSelector => {
                "a node selector: `--agent-node-selector KEY=VALUE`, or `node-selector` of `[agent]` in the profile"
            }
            Self::PullSecrets => {
                "a pull secret: `--agent-pull-secret NAME`, or `pull-secrets` of `[agent]` in the profile"
            }
            Self::ServiceAccount => {
                "a service account: `--agent-service-account NAME`, or `service-account` of `[agent]` in the profile"
            }
            Self::Image => "another image: `--agent-image IMAGE`, or `image` of `[agent]` in the profile",
        }
    }

    /// Returns the fields that a message is about.
    pub(super) fn of_message(message: &str) -> impl Iterator<Item = Self> {
        let message = message.to_lowercase();
        Self::ALL
            .into_iter()
            .filter(move |field| field.words().iter().any(|word| message.contains(word)))
    }
}

/// Returns the sentence of a remedy that names the fields that a message is about; empty if it is about none.
pub(super) fn sentence(message: &str) -> String {
    let named: Vec<&str> = Field::of_message(message).map(Field::named).collect();
    if named.is_empty() {
        return String::new();
    }
    format!("Give the agent {}. ", named.join("; or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_a_message_is_about_is_named() {
        for (message, option) in [
            (
                "failed expression: object.metadata.?labels.?team.hasValue()",
                "--agent-label",
            ),
            ("images from registry.corp.example only", "--agent-image"),
            ("you must provide annotations: {\"owner\"}", "--agent-annotation"),
            ("1 node(s) had untolerated taint(s)", "--agent-toleration"),
            ("pods must set nodeSelector", "--agent-node-selector"),
            ("spec.imagePullSecrets is required", "--agent-pull-secret"),
            (
                "the default service account is not allowed",
                "--agent-service-account",
            ),
        ] {
            let said = sentence(message);
            assert!(said.contains(option), "{message}: {said}");
        }
        assert_eq!(sentence("no tunnels in this house"), "");
    }
}
