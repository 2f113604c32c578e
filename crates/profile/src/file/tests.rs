//! Tests of file.

use proptest::prelude::*;

use super::*;
use crate::disconnect_after::DisconnectAfter;
use crate::metadata::MetadataKey;
use crate::position::FilePosition;
use crate::value::Grace;

fn name() -> ProfileName {
    "shop".parse().unwrap()
}

fn mistakes(text: &str) -> Vec<Mistake> {
    Profile::from_toml(name(), text).unwrap_err().mistakes()
}

fn refused(text: &str) -> (FilePosition, String) {
    match &mistakes(text)[..] {
        [
            Mistake {
                place: Some(place),
                message,
                ..
            },
        ] => (*place, message.clone()),
        other => panic!("expected one mistake, got {other:?}"),
    }
}

/// The mistakes, each as line, column, field and code.
fn found(text: &str) -> Vec<(usize, usize, String, MistakeCode)> {
    let of = |mistake: Mistake| {
        let place = mistake.place.unwrap_or(FilePosition { line: 0, column: 0 });
        let field = mistake.field.unwrap_or_default();
        (place.line, place.column, field, mistake.code)
    };
    mistakes(text).into_iter().map(of).collect()
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
        disconnect-after = "90m"
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
    assert_eq!(profile.disconnect_after.unwrap().to_string(), "1h30m");
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
    assert!(message.contains("color"), "{message}");
    let (place, message) = refused("version = 1\n[cluster]\nnamespce = \"shop\"\n");
    assert_eq!(place, FilePosition { line: 3, column: 1 });
    assert!(message.contains("namespace"), "{message}");
}

#[test]
fn an_invalid_value_is_refused_with_its_position() {
    let (place, message) = refused("version = 1\nalso-proxy = [\"ok.example\", \"10.1.2.3/8\"]\n");
    assert_eq!(place.line, 2);
    assert!(message.contains("10.0.0.0/8"), "{message}");
    let (place, _) = refused("version = 1\n[cluster]\nnamespace = \"Shop\"\n");
    assert_eq!(place, FilePosition { line: 3, column: 13 });
    let (place, message) = refused("version = 1\n[agent.labels]\n\"app.kubernetes.io/name\" = \"mine\"\n");
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
    let newer = (1, 11, "version".to_owned(), MistakeCode::Version);
    assert_eq!(found("version = 2\nwormhole = true\n"), [newer]);
    let missing = (0, 0, "version".to_owned(), MistakeCode::MissingField);
    assert_eq!(found("method = \"vpn-tcp\"\n"), [missing]);
}

#[test]
fn every_mistake_is_told_with_its_field() {
    let text = r#"
colr = "blue"
method = "vpn"
protected = "yes"
also-proxy = ["ok.example", "a..b", 7, "10.1.2.3/8"]
[cluster]
namespace = "Shop"
also-namespaces = "shop"
[agent]
grace-seconds = 1
image = 5
labels = { "slipway.dev/x" = "y", "example.com/team" = "a b" }
node-selector = []
[dns]
suffixes = [{ a = 1 }]
"#;
    use MistakeCode::{InvalidValue, MissingField, UnknownField, WrongType};
    let expected = [
        (0, 0, "version", MissingField),
        (2, 1, "colr", UnknownField),
        (3, 10, "method", InvalidValue),
        (4, 13, "protected", WrongType),
        (5, 29, "also-proxy[1]", InvalidValue),
        (5, 37, "also-proxy[2]", WrongType),
        (5, 40, "also-proxy[3]", InvalidValue),
        (7, 13, "cluster.namespace", InvalidValue),
        (8, 19, "cluster.also-namespaces", WrongType),
        (10, 17, "agent.grace-seconds", InvalidValue),
        (11, 9, "agent.image", WrongType),
        (12, 12, "agent.labels.\"slipway.dev/x\"", InvalidValue),
        (12, 56, "agent.labels.\"example.com/team\"", InvalidValue),
        (13, 17, "agent.node-selector", WrongType),
        (15, 13, "dns.suffixes[0]", WrongType),
    ];
    let expected = expected.map(|(line, column, field, code)| (line, column, field.to_owned(), code));
    assert_eq!(found(text), expected);
}

#[test]
fn broken_toml_hides_no_mistake_elsewhere() {
    let text = "version = 1\nmethod = \n[cluster\nnamespace = \"Shop\"\n[dns]\nsufixes = []\n";
    let found = found(text);
    let lines: Vec<_> = found.iter().map(|(line, _, _, code)| (*line, *code)).collect();
    assert!(lines.contains(&(2, MistakeCode::Syntax)), "{found:?}");
    assert!(lines.contains(&(3, MistakeCode::Syntax)), "{found:?}");
    assert!(lines.contains(&(6, MistakeCode::UnknownField)), "{found:?}");
}

#[test]
fn a_table_is_not_written_as_a_list() {
    let expected = (2, 11, "cluster".to_owned(), MistakeCode::WrongType);
    assert_eq!(found("version = 1\ncluster = []\n"), [expected]);
}

#[test]
fn a_cluster_may_be_named_without_a_kubeconfig() {
    let text = "version = 1\n[cluster]\nserver = \"https://10.0.0.1:6443\"\ntoken = \"env:TOKEN\"\n";
    let cluster = Profile::from_toml(name(), text).unwrap().cluster;
    assert_eq!(cluster.server.unwrap().authority(), "10.0.0.1:6443");
    assert_eq!(cluster.token.unwrap().to_string(), "env:TOKEN");
}

#[test]
fn fields_that_do_not_go_together_are_both_named() {
    let text = r#"
version = 1
[cluster]
kubeconfig = "~/.kube/x"
context = "staging"
server = "https://10.0.0.1:6443"
certificate-authority = "~/ca.crt"
certificate-authority-data = "-----BEGIN CERTIFICATE-----"
"#;
    let fields = ["kubeconfig", "context", "certificate-authority-data"];
    let of = |field: &str| format!("cluster.{field}");
    let named: Vec<_> = mistakes(text)
        .into_iter()
        .inspect(|mistake| assert_eq!(mistake.code, MistakeCode::Conflict))
        .map(|mistake| (mistake.field.unwrap(), mistake.message))
        .collect();
    assert_eq!(named.len(), fields.len(), "{named:?}");
    for ((field, message), expected) in named.iter().zip(fields) {
        assert_eq!(*field, of(expected));
        assert!(message.contains(&of(expected)), "{message}");
    }
    let text = "version = 1\n[cluster]\ntoken = \"keyring\"\n";
    let needs = (3, 9, of("token"), MistakeCode::Conflict);
    assert_eq!(found(text), [needs]);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for line in [
        "token = \"eyJhbGciOi\"",
        "token = { eyJhbGciOi = \"eyJhbGciOi\" }",
        "token = [\"eyJhbGciOi\"]",
    ] {
        let text = format!("version = 1\n[cluster]\nserver = \"https://10.0.0.1\"\n{line}\n");
        let error = Profile::from_toml(name(), &text).unwrap_err();
        assert_eq!(error.mistakes().len(), 1, "{error}");
        assert!(!error.to_string().contains("eyJ"), "{error}");
    }
}

#[test]
fn several_mistakes_are_listed_line_by_line() {
    let error = Profile::from_toml(name(), "version = 1\nprotected = 1\ncolor = 2\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "shop.toml has 2 mistakes:\n  line 2, column 13: protected: expected true or false, found a number\n  \
         line 3, column 9: color: expected text in quotes, found a number"
    );
}

#[test]
fn a_file_full_of_mistakes_is_read_in_a_moment() {
    let text: String = (0..20_000).map(|number| format!("x{number} = 1\n")).collect();
    let began = std::time::Instant::now();
    assert_eq!(mistakes(&text).len(), 100);
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

fn also_proxy() -> impl Strategy<Value = AlsoProxy> {
    prop_oneof![
        "[a-z][a-z0-9_]{0,20}(\\.[a-z][a-z0-9-]{0,10}[a-z0-9]){0,4}".prop_map(|text| text.parse().unwrap()),
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

fn cluster_texts() -> impl Strategy<Value = Cluster> {
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let authority = prop_oneof![
        Just(String::new()),
        Just("certificate-authority = \"~/ca.crt\"\n".to_owned()),
        Just(format!("certificate-authority-data = {certificate:?}\n")),
    ];
    let token = prop_oneof![
        Just(""),
        Just("token = \"keyring\"\n"),
        Just("token = \"env:TOKEN\"\n"),
        Just("token = \"file:/run/token\"\n"),
        Just("token = 'exec:pass show \"a b\"'\n"),
    ];
    let server = (authority, token).prop_map(|(authority, token)| {
        format!("server = \"https://10.0.0.1:6443\"\ntls-server-name = \"kubernetes\"\n{authority}{token}")
    });
    let context = prop_oneof![
        Just(String::new()),
        Just("context = \"a b\"\nkubeconfig = \"~/.kube/x\"\n".to_owned())
    ];
    prop_oneof![server, context].prop_map(|text| {
        let text =
            format!("version = 1\n[cluster]\nnamespace = \"shop\"\nalso-namespaces = [\"dev\"]\n{text}");
        Profile::from_toml(name(), &text).unwrap().cluster
    })
}

prop_compose! {
    fn profiles()(
        name in "[a-z0-9][a-z0-9-]{0,62}",
        has_id: bool,
        color in proptest::option::of(proptest::sample::select(&Color::ALL)),
        protected: bool,
        disconnect_after in proptest::option::of(DisconnectAfter::MIN_MINUTES..=DisconnectAfter::MAX_MINUTES),
        method in proptest::sample::select(&Method::ALL),
        also_proxy in proptest::collection::vec(also_proxy(), 0..6),
        cluster in cluster_texts(),
        agent in agents(),
        suffixes in proptest::collection::vec("[a-z]{1,10}(\\.[a-z]{1,10}){0,3}", 0..4),
        cluster_domain in proptest::option::of("[a-z]{1,10}(\\.[a-z]{1,10}){0,3}"),
    ) -> Profile {
        Profile {
            name: name.parse().unwrap(),
            id: has_id.then(ProfileId::random),
            color,
            protected,
            disconnect_after: disconnect_after.map(|minutes| format!("{minutes}m").parse().unwrap()),
            method,
            also_proxy,
            cluster,
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
