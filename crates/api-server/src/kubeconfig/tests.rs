//! Tests of kubeconfig.

use std::path::Path;

use slipway_problem::Fault;

use super::*;
use crate::login::PLUGIN_PATIENCE;
use crate::request::{ApiError, CertificateProblem};

const TWO: &str = "
apiVersion: v1
kind: Config
current-context: staging
clusters:
- {name: one, cluster: {server: 'https://10.0.0.1:6443'}}
- {name: two, cluster: {server: 'http://127.0.0.1:1'}}
users:
- {name: dev, user: {token: sesame}}
contexts:
- {name: staging, context: {cluster: one, user: dev, namespace: shop}}
- {name: production, context: {cluster: two, user: dev}}
- {name: lost, context: {cluster: gone, user: dev}}
";

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn chosen(text: &str, choice: &Choice) -> Result<Target, KubeconfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "config", text);
    choose(
        &Sources {
            file: Some(file),
            ..Sources::default()
        },
        choice,
    )
}

fn context(name: &str) -> Choice {
    Choice {
        context: Some(name.to_owned()),
        ..Choice::default()
    }
}

#[test]
fn the_current_context_and_its_namespace_are_the_default() {
    let target = chosen(TWO, &Choice::default()).unwrap();
    assert_eq!(
        (&*target.context, &*target.cluster, &*target.namespace),
        ("staging", "one", "shop")
    );
    assert_eq!(target.server, "https://10.0.0.1:6443/");
}

#[test]
fn the_users_context_and_namespace_win() {
    let choice = Choice {
        namespace: Some("blog".to_owned()),
        ..context("production")
    };
    let target = chosen(TWO, &choice).unwrap();
    assert_eq!(
        (&*target.context, &*target.namespace, &*target.server),
        ("production", "blog", "http://127.0.0.1:1/")
    );
    let target = chosen(TWO, &context("production")).unwrap();
    assert_eq!(target.namespace, "default");
}

#[test]
fn an_unknown_context_lists_the_existing_ones() {
    let error = chosen(TWO, &context("Prodution")).unwrap_err();
    assert_eq!(error.code(), "context-unknown");
    assert_eq!(
        error.remedy(),
        "Did you mean \"production\"? The contexts are: staging, production, lost."
    );
    let error = chosen(TWO, &context("xyz")).unwrap_err();
    assert_eq!(
        error.remedy(),
        "Choose a context with `--context`: staging, production, lost."
    );
}

#[test]
fn a_context_whose_cluster_is_not_described_says_so() {
    let error = chosen(TWO, &context("lost")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "context \"lost\" names the cluster \"gone\", which the kubeconfig does not describe"
    );
}

#[test]
fn without_a_current_context_the_choice_is_listed() {
    let error = chosen(&TWO.replace("current-context: staging", ""), &Choice::default()).unwrap_err();
    assert_eq!(error.code(), "context-not-chosen");
    assert!(error.remedy().contains("staging, production"));
}

#[test]
fn broken_yaml_names_file_and_place_and_keeps_secrets() {
    let text = "apiVersion: v1\nusers:\n- name: dev\n  user: \"token-sesame\"\n";
    let error = chosen(text, &Choice::default()).unwrap_err();
    let KubeconfigError::Broken { path, line, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(path.ends_with("config"));
    assert_eq!(*line, Some(4), "{error}");
    assert!(!error.to_string().contains("sesame"), "{error}");
}

#[test]
fn a_missing_kubeconfig_lists_the_places() {
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources {
        home: Some(folder.path().to_owned()),
        ..Sources::default()
    };
    let error = contexts(&sources).unwrap_err();
    assert_eq!(error.code(), "kubeconfig-missing");
    assert!(error.to_string().ends_with(".kube/config"), "{error}");
    assert!(
        contexts(&Sources::default())
            .unwrap_err()
            .to_string()
            .contains("neither KUBECONFIG nor HOME")
    );
}

#[test]
fn files_of_the_variable_are_merged_if_they_exist() {
    let folder = tempfile::tempdir().unwrap();
    let one = write(folder.path(), "one", TWO);
    let two = write(
        folder.path(),
        "two",
        "current-context: other\nclusters: []\ncontexts:\n- {name: other, context: {cluster: one, user: dev}}\n",
    );
    let variable = std::env::join_paths([folder.path().join("absent"), one, two]).unwrap();
    let sources = Sources {
        variable: Some(variable),
        ..Sources::default()
    };
    let found = contexts(&sources).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|context| (&*context.name, context.current))
        .collect();
    assert_eq!(
        names,
        [
            ("staging", true),
            ("production", false),
            ("lost", false),
            ("other", false)
        ]
    );
    assert_eq!(found[3].server.as_deref(), Some("https://10.0.0.1:6443"));
    assert_eq!(found[2].server, None);
}

#[test]
fn a_named_file_hides_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let variable = Some(write(folder.path(), "one", TWO).into_os_string());
    let file = Some(folder.path().join("absent"));
    let error = contexts(&Sources {
        file,
        variable,
        home: None,
        server: None,
    })
    .unwrap_err();
    assert_eq!(error.code(), "kubeconfig-missing");
}

fn with_plugin(plugin: &str) -> String {
    TWO.replace(
        "{token: sesame}",
        &format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, {plugin}}}}}"),
    )
}

async fn plugin_error(plugin: &str) -> ConnectError {
    let target = chosen(&with_plugin(plugin), &Choice::default()).unwrap();
    target.client().await.err().expect("a client without credentials")
}

#[tokio::test]
async fn a_failing_plugin_is_named_with_its_message() {
    let error = plugin_error("command: sh, args: ['-c', 'echo token has expired >&2; exit 3']").await;
    assert_eq!(error.code(), "credential-plugin");
    let text = error.to_string();
    for part in [
        "https://10.0.0.1:6443/",
        "staging",
        "plugin sh failed",
        "token has expired",
        "exit status: 3",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(error.remedy().contains("plugin sh in a terminal"));
}

#[tokio::test]
async fn a_plugin_that_hangs_is_given_up_and_named() {
    let asked = tokio::spawn(plugin_error("command: sleep, args: ['600']"));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    tokio::time::pause();
    tokio::time::advance(PLUGIN_PATIENCE).await;
    let error = asked.await.unwrap();
    assert_eq!(error.code(), "credential-plugin");
    let text = error.to_string();
    assert!(
        text.contains("plugin sleep failed: it did not finish within 300 s"),
        "{text}"
    );
}

#[tokio::test]
async fn a_missing_plugin_says_where_it_was_searched() {
    let error =
        plugin_error("command: aws-iam-authenticator-not-here, installHint: 'Install it with brew.'").await;
    assert_eq!(error.code(), "credential-plugin");
    let text = error.to_string();
    assert!(
        text.contains("plugin aws-iam-authenticator-not-here failed: it is not in PATH, which is /"),
        "{text}"
    );
    assert_eq!(error.remedy(), "Install it with brew.");
}

#[test]
fn a_plugin_that_needs_a_terminal_is_not_run() {
    let text = with_plugin("command: kubelogin, interactiveMode: Always");
    let error = chosen(&text, &Choice::default()).unwrap_err();
    assert_eq!(error.code(), "credential-plugin-terminal");
    let with_terminal = Choice {
        terminal: true,
        ..Choice::default()
    };
    assert!(chosen(&text, &with_terminal).is_ok());
}

#[test]
fn an_unknown_mode_concerns_only_its_own_user() {
    let text = with_plugin("command: kubelogin, interactiveMode: sometimes");
    let error = chosen(&text, &Choice::default()).unwrap_err();
    assert_eq!(error.code(), "context-unusable");
    assert!(
        error.to_string().contains("interactiveMode is \"sometimes\""),
        "{error}"
    );
    let other = text.replace("user: dev, namespace", "user: other, namespace");
    assert!(chosen(&other, &Choice::default()).is_ok());
}

#[tokio::test]
async fn an_unreachable_server_is_named_with_its_address() {
    let target = chosen(TWO, &context("production")).unwrap();
    let client = target.client().await.unwrap();
    let error = target.probe(&client).await.unwrap_err();
    assert_eq!(error.code(), "api-unreachable");
    assert!(
        error
            .to_string()
            .starts_with("http://127.0.0.1:1/ (context \"production\")"),
        "{error}"
    );
}

#[test]
fn a_missing_certificate_file_is_named() {
    let text = TWO.replace(
        "server: 'https://10.0.0.1:6443'",
        "server: 'https://10.0.0.1:6443', certificate-authority: /nowhere/ca.crt",
    );
    let error = chosen(&text, &Choice::default()).unwrap_err();
    assert_eq!(error.code(), "context-unusable");
    assert!(error.to_string().contains("/nowhere/ca.crt"), "{error}");
}

fn named(server: NamedServer) -> Result<Target, KubeconfigError> {
    let sources = Sources {
        file: Some("/nowhere/config".into()),
        server: Some(server),
        ..Sources::default()
    };
    choose(&sources, &Choice::default())
}

fn server() -> NamedServer {
    NamedServer {
        name: "10.0.0.1:6443".to_owned(),
        url: "https://10.0.0.1:6443".to_owned(),
        certificate_authority: None,
        certificate_authority_data: None,
        tls_server_name: None,
        token: None,
    }
}

#[test]
fn a_server_without_a_kubeconfig_is_a_context() {
    let target = named(server()).unwrap();
    assert_eq!(
        (&*target.context, &*target.namespace, &*target.server),
        ("10.0.0.1:6443", "default", "https://10.0.0.1:6443/")
    );
    let listed = contexts(&Sources {
        server: Some(server()),
        ..Sources::default()
    });
    assert_eq!(listed.unwrap()[0].name, "10.0.0.1:6443");
}

#[test]
fn a_named_servers_certificates_count_as_a_kubeconfigs() {
    let authority = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap();
    let inline = NamedServer {
        certificate_authority_data: Some(authority.cert.pem()),
        tls_server_name: Some("kubernetes".to_owned()),
        ..server()
    };
    let target = named(inline).unwrap();
    let anchors = crate::trust::Trust::Anchors(vec![authority.cert.der().clone()]);
    assert_eq!(target.api.trust, anchors);
    assert_eq!(target.api.tls_server_name, Some("kubernetes".try_into().unwrap()));
    let missing = NamedServer {
        certificate_authority: Some("/nowhere/ca.crt".into()),
        ..server()
    };
    let error = named(missing).unwrap_err();
    assert_eq!(error.code(), "server-unusable");
    assert!(error.to_string().contains("/nowhere/ca.crt"), "{error}");
    assert!(error.remedy().contains("[cluster]"), "{}", error.remedy());
}

#[tokio::test]
async fn an_error_of_a_named_server_blames_no_kubeconfig() {
    let target = named(server()).unwrap();
    let problem = || CertificateProblem::UnknownIssuer;
    for cause in [
        ApiError::Resolve {
            detail: String::new(),
        },
        ApiError::Tls {
            detail: String::new(),
        },
        ApiError::Proxy {
            detail: String::new(),
        },
        ApiError::Certificate {
            problem: problem(),
            detail: String::new(),
        },
        ApiError::Credentials {
            detail: String::new(),
            plugin: None,
        },
    ] {
        let error = target.failed(cause);
        let said = format!("{error} {}", error.remedy());
        assert!(
            !said.contains("kubeconfig") && !said.contains("context"),
            "{said}"
        );
    }
}
