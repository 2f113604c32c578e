//! Tests of the contents of a kubeconfig.

use super::*;

fn parsed(text: &str) -> Kubeconfig {
    Kubeconfig::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn user(fields: &str) -> User {
    parsed(&format!("users: [{{name: dev, user: {fields}}}]")).user(Some("dev"))
}

fn exec(fields: &str) -> Exec {
    user(&format!("{{exec: {fields}}}")).exec.unwrap()
}

#[test]
fn every_field_may_be_null() {
    let of_entries = [
        "server",
        "tls-server-name",
        "insecure-skip-tls-verify",
        "certificate-authority",
        "certificate-authority-data",
        "proxy-url",
        "disable-compression",
        "extensions",
    ]
    .map(|field| format!("clusters: [{{name: one, cluster: {{{field}: null}}}}]"))
    .into_iter()
    .chain(
        [
            "client-certificate",
            "client-certificate-data",
            "client-key",
            "client-key-data",
            "token",
            "tokenFile",
            "as",
            "as-uid",
            "as-groups",
            "as-user-extra",
            "username",
            "password",
            "auth-provider",
            "exec",
            "extensions",
        ]
        .map(|field| format!("users: [{{name: one, user: {{{field}: null}}}}]")),
    )
    .chain(
        ["cluster", "user", "namespace", "extensions"]
            .map(|field| format!("contexts: [{{name: one, context: {{{field}: null}}}}]")),
    )
    .chain(
        [
            "command",
            "args",
            "env",
            "apiVersion",
            "installHint",
            "provideClusterInfo",
            "interactiveMode",
        ]
        .map(|field| format!("users: [{{name: one, user: {{exec: {{{field}: null}}}}}}]")),
    )
    .chain(
        ["name", "config"]
            .map(|field| format!("users: [{{name: one, user: {{auth-provider: {{{field}: null}}}}}}]")),
    )
    .chain(
        ["name", "extension"]
            .map(|field| format!("clusters: [{{name: one, cluster: {{extensions: [{{{field}: null}}]}}}}]")),
    );
    let of_file = [
        "apiVersion",
        "kind",
        "preferences",
        "clusters",
        "users",
        "contexts",
        "current-context",
        "extensions",
    ]
    .map(|field| format!("{field}: null"));
    let entries = ["clusters", "users", "contexts"].map(|list| format!("{list}: [null, {{name: null}}]"));
    for text in of_entries.chain(of_file).chain(entries) {
        parsed(&text);
    }
}

#[test]
fn null_in_lists_and_maps_is_an_empty_text() {
    let plugin = exec("{args: [a, null], env: [{name: A, value: null}, {name: B}, {name: C, value: }]}");
    assert_eq!(plugin.args, ["a", ""]);
    let variables = plugin.env.iter().map(|one| (&*one.name, &*one.value));
    assert_eq!(variables.collect::<Vec<_>>(), [("A", ""), ("B", ""), ("C", "")]);
    let provider = user("{auth-provider: {name: oidc, config: {id-token: null, client-id: x}}}");
    let config = provider.auth_provider.unwrap().config;
    assert_eq!((&*config["id-token"], &*config["client-id"]), ("", "x"));
    let user = user("{as-groups: [a, null], as-user-extra: {scopes: null, team: [b, null]}}");
    assert_eq!(user.impersonate_groups, ["a", ""]);
    assert_eq!(user.impersonate_extra["scopes"], [""; 0]);
    assert_eq!(user.impersonate_extra["team"], ["b", ""]);
}

#[test]
fn an_empty_mode_is_an_absent_one() {
    for empty in ["{}", "{interactiveMode: }", "{interactiveMode: ''}"] {
        assert_eq!(exec(empty), Exec::default(), "{empty}");
    }
    let never = exec("{interactiveMode: Never}").interactive_mode;
    assert_eq!(never, Some(InteractiveMode::Never));
    let other = exec("{interactiveMode: sometimes}").interactive_mode;
    assert_eq!(other, Some(InteractiveMode::Unknown("sometimes".to_owned())));
}
