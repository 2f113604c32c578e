//! Arguments for the agent's pod, of every command that can place an agent or save how one is placed.

use std::fmt::Display;
use std::str::FromStr;

use clap::Args;
use slipway_profile::{
    AgentSettings, AnnotationValue, Grace, Image, LabelValue, MetadataKey, ObjectName, Toleration,
};

use crate::repeated::add_missing;

/// Settings of the agent's pod; they override the profile, or add to its lists.
#[derive(Debug, Default, Args)]
pub(crate) struct AgentArguments {
    /// Image of the agent's pod; it needs a shell with head, mkfifo and timeout
    #[arg(long = "agent-image", value_name = "IMAGE")]
    image: Option<Image>,
    /// Seconds that the agent waits for a client that went away
    #[arg(long = "agent-grace", value_name = "SECONDS", value_parser = grace)]
    grace: Option<Grace>,
    /// Label of the agent's Job and pod; may be given several times
    #[arg(long = "agent-label", value_name = "KEY=VALUE", value_parser = pair::<LabelValue>)]
    labels: Vec<(MetadataKey, LabelValue)>,
    /// Annotation of the agent's Job and pod; may be given several times
    #[arg(long = "agent-annotation", value_name = "KEY=VALUE", value_parser = pair::<AnnotationValue>)]
    annotations: Vec<(MetadataKey, AnnotationValue)>,
    /// Taint of a node that the agent's pod tolerates; may be given several times
    #[arg(long = "agent-toleration", value_name = "KEY[=VALUE][:EFFECT]")]
    tolerations: Vec<Toleration>,
    /// Label that the agent's node must have; may be given several times
    #[arg(long = "agent-node-selector", value_name = "KEY=VALUE", value_parser = pair::<LabelValue>)]
    node_selector: Vec<(MetadataKey, LabelValue)>,
    /// Secret with which the node fetches the agent's image; may be given several times
    #[arg(long = "agent-pull-secret", value_name = "NAME")]
    pull_secrets: Vec<ObjectName>,
    /// Service account of the agent's pod, which gets no token for it
    #[arg(long = "agent-service-account", value_name = "NAME")]
    service_account: Option<ObjectName>,
}

impl AgentArguments {
    /// Writes the arguments into a profile's settings, over values of the same name, and adds to its lists.
    pub(crate) fn onto(self, settings: &mut AgentSettings) {
        let Self {
            image,
            grace,
            labels,
            annotations,
            tolerations,
            node_selector,
            pull_secrets,
            service_account,
        } = self;
        settings.image = image.or(settings.image.take());
        settings.grace = grace.or(settings.grace.take());
        settings.service_account = service_account.or(settings.service_account.take());
        settings.labels.extend(labels);
        settings.annotations.extend(annotations);
        settings.node_selector.extend(node_selector);
        add_missing(&mut settings.tolerations, tolerations);
        add_missing(&mut settings.pull_secrets, pull_secrets);
    }
}

/// Reads a grace time in seconds.
fn grace(text: &str) -> Result<Grace, String> {
    let seconds: u32 = text
        .parse()
        .map_err(|error| format!("expected a number of seconds: {error}"))?;
    Grace::try_from(seconds).map_err(|error| error.to_string())
}

/// Reads `KEY=VALUE`.
fn pair<V>(text: &str) -> Result<(MetadataKey, V), String>
where
    V: FromStr,
    V::Err: Display,
{
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((
        key.parse().map_err(|error| format!("{error}"))?,
        value.parse().map_err(|error| format!("{error}"))?,
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use slipway_profile::Profile;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        agent: AgentArguments,
    }

    fn settings(arguments: &[&str], mut settings: AgentSettings) -> AgentSettings {
        let parsed = Only::try_parse_from([&["slipway"], arguments].concat()).unwrap();
        parsed.agent.onto(&mut settings);
        settings
    }

    fn profile(text: &str) -> AgentSettings {
        let text = format!("version = 1\n[agent]\n{text}");
        Profile::from_toml("shop".parse().unwrap(), &text).unwrap().agent
    }

    #[test]
    fn each_field_of_the_profile_has_an_option() {
        let arguments = [
            "--agent-image=r.example/a:1",
            "--agent-grace=60",
            "--agent-label=team=shop",
            "--agent-annotation=linkerd.io/inject=disabled",
            "--agent-toleration=dedicated=ci:NoSchedule",
            "--agent-node-selector=pool=ci",
            "--agent-pull-secret=regcred",
            "--agent-service-account=tunnel",
        ];
        let expected = profile(
            r#"
            image = "r.example/a:1"
            grace-seconds = 60
            labels = { team = "shop" }
            annotations = { "linkerd.io/inject" = "disabled" }
            tolerations = ["dedicated=ci:NoSchedule"]
            node-selector = { pool = "ci" }
            pull-secrets = ["regcred"]
            service-account = "tunnel"
            "#,
        );
        assert_eq!(settings(&arguments, AgentSettings::default()), expected);
    }

    #[test]
    fn options_override_the_profile_and_add_to_its_lists() {
        let saved = profile(
            r#"
            grace-seconds = 60
            labels = { team = "shop", tier = "dev" }
            pull-secrets = ["regcred"]
            "#,
        );
        let arguments = ["--agent-label", "team=blog", "--agent-pull-secret", "other"];
        let expected = profile(
            r#"
            grace-seconds = 60
            labels = { team = "blog", tier = "dev" }
            pull-secrets = ["regcred", "other"]
            "#,
        );
        assert_eq!(settings(&arguments, saved), expected);
    }

    #[test]
    fn labels_that_slipway_sets_itself_are_refused() {
        for bad in [
            "app.kubernetes.io/name=x",
            "slipway.dev/session=x",
            "team",
            "a b=c",
        ] {
            let parsed = Only::try_parse_from(["slipway", "--agent-label", bad]);
            assert!(parsed.is_err(), "{bad} was taken");
        }
    }
}
