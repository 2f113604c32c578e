//! Kubeconfigs without a usable cluster, and users whom the cluster does not accept.

use serde_json::json;
use slipway_cluster_tests::{Desk, LaptopFile, on_the_plain_laptop};

use crate::support::{AT_ONCE, Attempt};

on_the_plain_laptop!(
    a_missing_kubeconfig_is_reported_with_all_paths,
    broken_yaml_is_reported_without_its_secrets,
    an_unknown_context_is_reported_with_a_similar_one,
    an_expired_certificate_asks_for_a_new_login,
    a_refused_token_asks_for_a_new_login,
    an_expired_token_says_since_when,
    a_missing_credential_plugin_is_named,
    the_install_hint_of_a_missing_plugin_is_the_remedy,
    a_failing_credential_plugin_is_reported_with_its_text,
    a_detached_session_reports_the_same_problem_as_json,
);

/// Checks a failure to connect with a kubeconfig; `slipway doctor` must find the same.
fn fails(desk: &Desk<'_>, file: &str, check: &str, code: &str, cause: &[&str], remedy: &[&str]) {
    let failure = Attempt::connect(desk, &["--kubeconfig", file]).fails(AT_ONCE);
    failure.is(code, cause, remedy);
    let findings = Attempt::new(desk, &["doctor", "--json", "--kubeconfig", file]).findings(true);
    let found = findings.one(check, "fail", code);
    assert_eq!(found["detail"], failure.cause.as_str());
}

fn a_missing_kubeconfig_is_reported_with_all_paths(desk: &Desk<'_>) {
    fails(
        desk,
        "/home/dev/none",
        "kubeconfig",
        "kubeconfig-missing",
        &["/home/dev/none"],
        &["~/.kube/config"],
    );
    let listed = Attempt::connect(desk, &[])
        .with("KUBECONFIG", "/nowhere/a:/nowhere/b")
        .fails(AT_ONCE);
    listed.is("kubeconfig-missing", &["/nowhere/a", "/nowhere/b"], &[]);
    Attempt::new(desk, &["list", "contexts", "--json"])
        .with("KUBECONFIG", "/nowhere/a")
        .fails(AT_ONCE)
        .is("kubeconfig-missing", &["/nowhere/a"], &[]);
}

fn broken_yaml_is_reported_without_its_secrets(desk: &Desk<'_>) {
    let text = "apiVersion: v1\nkind: Config\nusers:\n- name: dev\n  user: {token: \"sesame\", x: [}\n";
    let file = LaptopFile::new(desk, "broken", text);
    let place = format!("{}:5:", file.path);
    let failure = Attempt::connect(desk, &["--kubeconfig", &file.path]).fails(AT_ONCE);
    failure.is("kubeconfig-broken", &[&place], &[&file.path]);
    assert!(!format!("{failure:?}").contains("sesame"), "{failure:?}");
    fails(
        desk,
        &file.path,
        "kubeconfig",
        "kubeconfig-broken",
        &[&place],
        &[],
    );
}

fn an_unknown_context_is_reported_with_a_similar_one(desk: &Desk<'_>) {
    let file = LaptopFile::kubeconfig(desk, |config| config["contexts"][0]["name"] = json!("staging"));
    let file = file.path.as_str();
    for command in [&["connect", "--detach"][..], &["list", "namespaces"]] {
        let near = [command, &["--kubeconfig", file, "--context", "stagin"]].concat();
        let near = Attempt::new(desk, &near).fails(AT_ONCE);
        near.is("context-unknown", &["stagin"], &["Did you mean \"staging\"?"]);
    }
    let far = Attempt::connect(desk, &["--kubeconfig", file, "--context", "elsewhere"]).fails(AT_ONCE);
    far.is(
        "context-unknown",
        &["elsewhere"],
        &["Choose a context with `--context`: staging."],
    );
    fails(
        desk,
        file,
        "kubeconfig",
        "context-unknown",
        &[desk.bed.name().to_string().as_str()],
        &["staging"],
    );
}

fn an_expired_certificate_asks_for_a_new_login(desk: &Desk<'_>) {
    let file = LaptopFile::kubeconfig_of(desk, "expired", |_| ());
    fails(
        desk,
        &file.path,
        "api-server",
        "credentials-refused",
        &["context", "the login to the API server failed"],
        &["Log in"],
    );
}

fn a_refused_token_asks_for_a_new_login(desk: &Desk<'_>) {
    let file = LaptopFile::kubeconfig(desk, |config| {
        config["users"][0]["user"] = json!({"token": "sesame"});
    });
    fails(
        desk,
        &file.path,
        "api-server",
        "credentials-refused",
        &["context", "the login to the API server failed"],
        &["Log in"],
    );
}

const VERSION: &str = "client.authentication.k8s.io/v1";

/// Returns what kubectl says about a kubeconfig that it cannot use either.
fn kubectl_says(desk: &Desk<'_>, file: &str) -> String {
    let output = desk.output("kubectl", &["--kubeconfig", file, "auth", "whoami"]);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The cluster's answer does not say it, but the token does.
fn an_expired_token_says_since_when(desk: &Desk<'_>) {
    let encode = "import base64, json, time\n\
                  claims = json.dumps({'exp': int(time.time()) - 3 * 3600}).encode()\n\
                  print('e30.' + base64.urlsafe_b64encode(claims).decode().rstrip('=') + '.c2ln')";
    let token = desk.text("python3", &["-c", encode]);
    let status = json!({"token": token.trim()});
    let answer = json!({"apiVersion": VERSION, "kind": "ExecCredential", "status": status});
    let file = plugin(
        desk,
        json!({
            "apiVersion": VERSION, "command": "echo", "args": [answer.to_string()], "interactiveMode": "Never",
        }),
    );
    let said = kubectl_says(desk, &file.path);
    assert!(said.contains("must be logged in"), "{said}");
    fails(
        desk,
        &file.path,
        "api-server",
        "credentials-refused",
        &["the token expired 3 h ago"],
        &["again with echo"],
    );
}

fn plugin<'a>(desk: &'a Desk<'a>, plugin: serde_json::Value) -> LaptopFile<'a> {
    LaptopFile::kubeconfig(desk, |config| {
        config["users"][0]["user"] = json!({"exec": plugin})
    })
}

fn a_missing_credential_plugin_is_named(desk: &Desk<'_>) {
    let file = plugin(
        desk,
        json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "cloud-login",
            "interactiveMode": "IfAvailable",
        }),
    );
    fails(
        desk,
        &file.path,
        "api-server",
        "credential-plugin",
        &["cloud-login", "it is not in PATH, which is /"],
        &["cloud-login", "not be installed"],
    );
}

fn the_install_hint_of_a_missing_plugin_is_the_remedy(desk: &Desk<'_>) {
    let hint = "Install it with `brew install cloud-login`.";
    let file = plugin(
        desk,
        json!({
            "apiVersion": VERSION, "command": "cloud-login", "interactiveMode": "IfAvailable", "installHint": hint,
        }),
    );
    let said = kubectl_says(desk, &file.path);
    assert!(said.contains(hint), "{said}");
    fails(
        desk,
        &file.path,
        "api-server",
        "credential-plugin",
        &["cloud-login", "it is not in PATH"],
        &[hint],
    );
}

fn a_failing_credential_plugin_is_reported_with_its_text(desk: &Desk<'_>) {
    let file = plugin(
        desk,
        json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", "echo your session is over >&2; exit 3"],
            "interactiveMode": "Never",
        }),
    );
    let failure = Attempt::connect(desk, &["--kubeconfig", &file.path]).fails(AT_ONCE);
    failure.is(
        "credential-plugin",
        &["plugin sh failed", "your session is over", "exit status: 3"],
        &["Run the credential plugin sh in a terminal"],
    );
}

fn a_detached_session_reports_the_same_problem_as_json(desk: &Desk<'_>) {
    let file = LaptopFile::kubeconfig(desk, |config| {
        config["users"][0]["user"] = json!({"token": "sesame"});
    });
    let arguments = ["--kubeconfig", file.path.as_str()];
    let front = Attempt::connect(desk, &arguments).fails(AT_ONCE);
    let detached = [&["--detach"][..], &arguments].concat();
    let detached = Attempt::connect(desk, &detached).fails(AT_ONCE);
    assert_eq!(
        (front.code, front.cause, front.remedy),
        (detached.code, detached.cause, detached.remedy)
    );
}
