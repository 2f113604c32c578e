//! Text of a profile: TOML.

use serde::{Deserialize, Serialize};

use crate::agent_settings::AgentSettings;
use crate::also_proxy::AlsoProxy;
use crate::error::{Error, FilePosition};
use crate::id::ProfileId;
use crate::name::ProfileName;
use crate::schema::{Cluster, Color, Dns, Method, Profile};

/// Version of the file format: the only one that is written and read.
pub const FORMAT_VERSION: u32 = 1;

impl Profile {
    /// Parses a profile's text. `name` becomes the profile's name, which the text does not have.
    ///
    /// # Errors
    /// [`Error::Version`] for another version of the format, [`Error::Invalid`] with the position of broken TOML, an
    /// unknown key or an invalid value.
    pub fn from_toml(name: ProfileName, text: &str) -> Result<Self, Error> {
        let source_name = format!("{name}.toml");
        read(&source_name, text).map(|file| file.into_profile(name))
    }

    /// Returns the profile's text, from which [`Profile::from_toml`] makes an equal profile.
    ///
    /// # Errors
    /// No known case: every value can be written in TOML, but the serializer's signature has an error.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(&File::from_profile(self)).map_err(|error| Error::Invalid {
            source_name: format!("{}.toml", self.name),
            place: FilePosition { line: 1, column: 1 },
            message: error.to_string(),
        })
    }
}

/// Form of the file: a profile without its name, with the version of the format.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<ProfileId>,
    #[serde(default)]
    method: Method,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    color: Option<Color>,
    #[serde(default, skip_serializing_if = "is_false")]
    protected: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_proxy: Vec<AlsoProxy>,
    #[serde(default, skip_serializing_if = "is_default")]
    cluster: Cluster,
    #[serde(default, skip_serializing_if = "is_default")]
    agent: AgentSettings,
    #[serde(default, skip_serializing_if = "is_default")]
    dns: Dns,
}

impl File {
    fn from_profile(profile: &Profile) -> Self {
        let Profile {
            name: _,
            id,
            color,
            protected,
            method,
            also_proxy,
            cluster,
            agent,
            dns,
        } = profile.clone();
        Self {
            version: FORMAT_VERSION,
            id,
            method,
            color,
            protected,
            also_proxy,
            cluster,
            agent,
            dns,
        }
    }

    fn into_profile(self, name: ProfileName) -> Profile {
        let Self {
            version: _,
            id,
            method,
            color,
            protected,
            also_proxy,
            cluster,
            agent,
            dns,
        } = self;
        Profile {
            name,
            id,
            color,
            protected,
            method,
            also_proxy,
            cluster,
            agent,
            dns,
        }
    }
}

/// Only the version. It is read first, because a newer format may have keys that would be reported as unknown.
#[derive(Deserialize)]
struct Versioned {
    version: i64,
}

fn read(source_name: &str, text: &str) -> Result<File, Error> {
    let invalid = |error: toml::de::Error| Error::Invalid {
        source_name: source_name.to_owned(),
        place: FilePosition::of(text, error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    };
    let Versioned { version: found } = toml::from_str(text).map_err(invalid)?;
    if found != i64::from(FORMAT_VERSION) {
        return Err(Error::Version {
            source_name: source_name.to_owned(),
            found,
            supported: FORMAT_VERSION,
        });
    }
    toml::from_str(text).map_err(invalid)
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::MetadataKey;
    use crate::value::Grace;

    fn name() -> ProfileName {
        "shop".parse().unwrap()
    }

    fn refused(text: &str) -> (FilePosition, String) {
        match Profile::from_toml(name(), text) {
            Err(Error::Invalid { place, message, .. }) => (place, message),
            other => panic!("expected Invalid, got {other:?}"),
        }
    }

    #[test]
    fn a_version_alone_is_a_profile() {
        assert_eq!(
            Profile::from_toml(name(), "version = 1\n").unwrap(),
            Profile::new(name())
        );
        assert_eq!(
            Profile::new(name()).to_toml().unwrap(),
            "version = 1\nmethod = \"vpn-tcp\"\n"
        );
    }

    #[test]
    fn every_value_is_read() {
        let text = r#"
            version = 1
            method = "container"
            color = "vermilion"
            protected = true
            also-proxy = ["DB.corp", "10.1.2.3", "fd00::/8"]
            [cluster]
            kubeconfig = "~/.kube/x"
            context = "staging"
            namespace = "shop"
            [agent]
            image = "r.example/a:1"
            grace-seconds = 60
            service-account = "tunnel"
            pull-secrets = ["regcred"]
            tolerations = ["dedicated=ci:NoSchedule"]
            [agent.node-selector]
            pool = "ci"
            [agent.labels]
            team = "shop"
            [agent.annotations]
            "linkerd.io/inject" = "disabled"
            [dns]
            suffixes = ["corp.internal"]
        "#;
        let profile = Profile::from_toml(name(), text).unwrap();
        assert_eq!(profile.method, Method::Container);
        assert_eq!(profile.color, Some(Color::Vermilion));
        assert!(profile.protected);
        let also: Vec<_> = profile.also_proxy.iter().map(ToString::to_string).collect();
        assert_eq!(also, ["db.corp", "10.1.2.3", "fd00::/8"]);
        assert_eq!(profile.cluster.kubeconfig.as_ref().unwrap().as_str(), "~/.kube/x");
        assert_eq!(profile.cluster.context.as_ref().unwrap().as_str(), "staging");
        assert_eq!(profile.cluster.namespace.as_ref().unwrap().as_str(), "shop");
        assert_eq!(profile.agent.image.as_ref().unwrap().as_str(), "r.example/a:1");
        assert_eq!(profile.agent.grace.unwrap().seconds(), 60);
        assert_eq!(profile.agent.service_account.as_ref().unwrap().as_str(), "tunnel");
        assert_eq!(profile.agent.pull_secrets[0].as_str(), "regcred");
        assert_eq!(
            profile.agent.tolerations[0].to_string(),
            "dedicated=ci:NoSchedule"
        );
        let key = |text: &str| text.parse::<MetadataKey>().unwrap();
        assert_eq!(profile.agent.node_selector[&key("pool")].as_str(), "ci");
        assert_eq!(profile.agent.labels[&key("team")].as_str(), "shop");
        assert_eq!(
            profile.agent.annotations[&key("linkerd.io/inject")].as_str(),
            "disabled"
        );
        assert_eq!(profile.dns.suffixes.first().unwrap().as_str(), "corp.internal");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_position() {
        let (place, message) = refused("version = 1\nmethod = \"vpn-tcp\"\n  colr = \"blue\"\n");
        assert_eq!(place, FilePosition { line: 3, column: 3 });
        assert!(message.contains("colr"), "{message}");
        let (place, message) = refused("version = 1\n[cluster]\nnamespce = \"shop\"\n");
        assert_eq!(place, FilePosition { line: 3, column: 1 });
        assert!(message.contains("namespce"), "{message}");
    }

    #[test]
    fn an_invalid_value_is_refused_with_its_position() {
        let (place, message) = refused("version = 1\nalso-proxy = [\"ok.example\", \"10.1.2.3/8\"]\n");
        assert_eq!(place.line, 2);
        assert!(message.contains("10.0.0.0/8"), "{message}");
        let (place, _) = refused("version = 1\n[cluster]\nnamespace = \"Shop\"\n");
        assert_eq!(place, FilePosition { line: 3, column: 13 });
        let (place, message) =
            refused("version = 1\n[agent.labels]\n\"app.kubernetes.io/name\" = \"mine\"\n");
        assert_eq!(place.line, 3);
        assert!(message.contains("Slipway sets it itself"), "{message}");
        let (place, _) = refused("version = 1\ncolor = \"mauve\"\n");
        assert_eq!(place, FilePosition { line: 2, column: 9 });
    }

    #[test]
    fn another_version_is_reported_before_unknown_keys() {
        let error = Profile::from_toml(name(), "version = 2\nwormhole = true\n").unwrap_err();
        assert!(
            matches!(
                error,
                Error::Version {
                    found: 2,
                    supported: 1,
                    ..
                }
            ),
            "{error:?}"
        );
        let (_, message) = refused("method = \"vpn-tcp\"\n");
        assert!(message.contains("version"), "{message}");
    }

    fn also_proxy() -> impl Strategy<Value = AlsoProxy> {
        prop_oneof![
            "[a-z][a-z0-9_]{0,20}(\\.[a-z][a-z0-9-]{0,10}[a-z0-9]){0,4}"
                .prop_map(|text| text.parse().unwrap()),
            any::<std::net::IpAddr>().prop_map(AlsoProxy::Ip),
            (any::<std::net::IpAddr>(), 1u8..=32).prop_map(|(address, prefix)| {
                AlsoProxy::Cidr(ipnet::IpNet::new(address, prefix).unwrap().trunc())
            }),
        ]
    }

    prop_compose! {
        fn agents()(
            image in proptest::option::of("[a-z0-9./:@]{1,40}"),
            grace in proptest::option::of(Grace::MIN_SECONDS..=Grace::MAX_SECONDS),
            service_account in proptest::option::of("[a-z0-9]{1,10}(\\.[a-z0-9]{1,10}){0,2}"),
            pull_secrets in proptest::collection::vec("[a-z0-9]{1,10}", 0..3),
            tolerations in proptest::collection::vec("[a-z]{1,9}(=[a-z]{0,9})?(:NoSchedule|:NoExecute)?", 0..3),
            node_selector in proptest::collection::btree_map("[a-z]{1,9}", "[a-z0-9]{0,9}", 0..3),
            labels in proptest::collection::btree_map("([a-z]{1,9}\\.x/)?[A-Za-z0-9]{1,9}", "[A-Za-z0-9]{0,9}", 0..3),
            annotations in proptest::collection::btree_map("[a-z]{1,9}", "[\\PC\n]{0,40}", 0..3),
        ) -> AgentSettings {
            let parsed = |pairs: std::collections::BTreeMap<String, String>| {
                pairs.into_iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
            };
            AgentSettings {
                image: image.map(|text| text.parse().unwrap()),
                grace: grace.map(|seconds| seconds.try_into().unwrap()),
                service_account: service_account.map(|text| text.parse().unwrap()),
                pull_secrets: pull_secrets.iter().map(|text| text.parse().unwrap()).collect(),
                tolerations: tolerations.iter().map(|text| text.parse().unwrap()).collect(),
                node_selector: parsed(node_selector),
                labels: parsed(labels),
                annotations: annotations
                    .into_iter()
                    .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()))
                    .collect(),
            }
        }
    }

    prop_compose! {
        fn profiles()(
            name in "[a-z0-9][a-z0-9-]{0,62}",
            has_id: bool,
            color in proptest::option::of(proptest::sample::select(&Color::ALL)),
            protected: bool,
            method in proptest::sample::select(&Method::ALL),
            also_proxy in proptest::collection::vec(also_proxy(), 0..6),
            kubeconfig in proptest::option::of("(~/|/)\\PC{0,40}"),
            context in proptest::option::of("[^-\\pC]\\PC{0,40}"),
            namespace in proptest::option::of("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
            agent in agents(),
            suffixes in proptest::collection::vec("[a-z]{1,10}(\\.[a-z]{1,10}){0,3}", 0..4),
            cluster_domain in proptest::option::of("[a-z]{1,10}(\\.[a-z]{1,10}){0,3}"),
        ) -> Profile {
            Profile {
                name: name.parse().unwrap(),
                id: has_id.then(ProfileId::random),
                color,
                protected,
                method,
                also_proxy,
                cluster: Cluster {
                    kubeconfig: kubeconfig.map(|text| text.parse().unwrap()),
                    context: context.map(|text| text.parse().unwrap()),
                    namespace: namespace.map(|text| text.parse().unwrap()),
                    also_namespaces: vec!["shop-test".parse().unwrap()],
                },
                agent,
                dns: Dns {
                    suffixes: suffixes.into_iter().map(|text| text.parse().unwrap()).collect(),
                    cluster_domain: cluster_domain.map(|text| text.parse().unwrap()),
                },
            }
        }
    }

    proptest! {
        #[test]
        fn a_written_profile_is_read_back_equal(profile in profiles()) {
            let text = profile.to_toml().unwrap();
            prop_assert_eq!(Profile::from_toml(profile.name.clone(), &text).unwrap(), profile);
        }

        #[test]
        fn a_written_destination_is_read_back_equal(entry in also_proxy()) {
            prop_assert_eq!(entry.to_string().parse::<AlsoProxy>().unwrap(), entry);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = Profile::from_toml(name(), &text);
            let _ = Profile::from_toml(name(), &format!("version = 1\n{text}"));
        }
    }
}
