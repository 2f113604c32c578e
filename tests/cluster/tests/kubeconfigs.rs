//! Kubeconfigs, proxies and certificates that kubectl accepts: Slipway accepts them as well. Each test runs kubectl with
//! the same input first.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::process::Command;

use serde_json::{Value, json};
use slipway_cluster_tests::{
    CONNECTING, Desk, LaptopFile, Relay, TokenUser, on_the_plain_laptop, path_text, program, until_within,
};

on_the_plain_laptop!(
    empty_fields_of_a_kubeconfig_mean_absent_ones,
    empty_fields_of_a_login_mean_absent_ones,
    base64_may_be_wrapped,
    the_first_current_context_with_a_name_counts,
    a_client_certificate_of_version_1_logs_in,
    the_servers_own_certificate_may_be_the_anchor,
    a_server_that_signed_its_own_certificate_is_trusted,
    no_proxy_excepts_the_api_server,
    proxy_url_counts_whatever_no_proxy_says,
    odd_proxy_variables_are_taken,
    a_session_works_through_a_proxy,
);

/// Environment of a command.
type Variables<'v> = &'v [(&'v str, &'v str)];

/// Runs a command that lists namespaces, and returns its error text if it fails.
fn listed(mut command: Command, variables: Variables<'_>) -> Result<(), String> {
    let output = command.envs(variables.iter().copied()).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn kubectl(desk: &Desk<'_>, variables: Variables<'_>) -> Result<(), String> {
    let limited = ["20", "kubectl", "auth", "whoami"];
    listed(desk.command("timeout", &limited), variables)
}

fn slipway(desk: &Desk<'_>, variables: Variables<'_>) -> Result<(), String> {
    let slipway = program("slipway");
    let limited = [
        "20",
        path_text(&slipway),
        "list",
        "services",
        "--namespace",
        "shop",
    ];
    listed(desk.command("timeout", &limited), variables)
}

/// Both programs work with these variables.
fn both_work(desk: &Desk<'_>, what: &str, variables: Variables<'_>) {
    kubectl(desk, variables).unwrap_or_else(|said| panic!("{what}: kubectl: {said}"));
    slipway(desk, variables).unwrap_or_else(|said| panic!("{what}: {said}"));
}

/// Both programs fail with these variables. kubectl says the first word, Slipway the second.
fn both_fail(desk: &Desk<'_>, what: &str, variables: Variables<'_>, words: [&str; 2]) {
    for (name, result, word) in [
        ("kubectl", kubectl(desk, variables), words[0]),
        ("slipway", slipway(desk, variables), words[1]),
    ] {
        let said = result.expect_err(what);
        assert!(said.contains(word), "{what}: {name}: {said}");
    }
}

fn with_kubeconfig(desk: &Desk<'_>, what: &str, change: impl FnOnce(&mut Value)) {
    let file = LaptopFile::kubeconfig(desk, change);
    both_work(desk, what, &[("KUBECONFIG", &file.path)]);
}

/// Wraps base64 at 76 characters, as `base64` does.
fn wrapped(base64: &str) -> String {
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    lines.join("\n")
}

/// Writes what a field has in base64 to a file of the laptop.
fn in_file<'a>(desk: &'a Desk<'a>, name: &str, base64: &Value) -> LaptopFile<'a> {
    let encoded = LaptopFile::new(desk, &format!("{name}.base64"), base64.as_str().unwrap());
    let plain = desk.text("base64", &["--decode", &encoded.path]);
    LaptopFile::new(desk, name, &plain)
}

fn developer(desk: &Desk<'_>) -> Value {
    serde_json::from_str(&std::fs::read_to_string(desk.bed.kubeconfig("developer")).unwrap()).unwrap()
}

fn empty_fields_of_a_kubeconfig_mean_absent_ones(desk: &Desk<'_>) {
    let developer_with_token = TokenUser::new(desk, "empty-fields");
    let token = developer_with_token.token();
    let plain = developer(desk);
    let (cluster, user) = (&plain["clusters"][0]["cluster"], &plain["users"][0]["user"]);
    let authority = in_file(desk, "ca.crt", &cluster["certificate-authority-data"]);
    let certificate = in_file(desk, "dev.crt", &user["client-certificate-data"]);
    let key = in_file(desk, "dev.key", &user["client-key-data"]);
    let server = cluster["server"].clone();
    with_kubeconfig(desk, "namespace", |config| {
        config["contexts"][0]["context"]["namespace"] = json!("")
    });
    with_kubeconfig(desk, "authority's file beside empty data", |config| {
        config["clusters"][0]["cluster"] = json!({"server": server, "certificate-authority": authority.path, "certificate-authority-data": ""});
    });
    let file = LaptopFile::kubeconfig(desk, |config| {
        config["clusters"][0]["cluster"] = json!({"server": server, "certificate-authority-data": ""});
    });
    let variables = [("KUBECONFIG", &*file.path), ("SSL_CERT_FILE", &*authority.path)];
    both_work(desk, "authorities of the system", &variables);
    both_fail(desk, "no authority", &variables[..1], ["certificate"; 2]);
    with_kubeconfig(desk, "tls-server-name", |config| {
        config["clusters"][0]["cluster"]["tls-server-name"] = json!("");
    });
    for (what, user) in [
        (
            "token beside empty data",
            json!({"token": token, "client-certificate-data": "", "client-key-data": ""}),
        ),
        (
            "token beside empty files",
            json!({"token": token, "client-certificate": "", "client-key": ""}),
        ),
        (
            "token beside empty password",
            json!({"token": token, "username": "", "password": ""}),
        ),
        (
            "files beside empty data",
            json!({"client-certificate": certificate.path, "client-key": key.path, "client-key-data": ""}),
        ),
    ] {
        with_kubeconfig(desk, what, |config| config["users"][0]["user"] = user);
    }
}

fn empty_fields_of_a_login_mean_absent_ones(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "empty-login");
    // kubectl wants a mode with version v1, but not with this one.
    let version = "client.authentication.k8s.io/v1beta1";
    let answer = json!({"apiVersion": version, "kind": "ExecCredential", "status": {"token": user.token()}});
    let plugin = |more: Value| {
        let mut exec = json!({"apiVersion": version, "command": "echo", "args": [answer.to_string()]});
        exec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"exec": exec})
    };
    for (what, user) in [
        ("mode", plugin(json!({"interactiveMode": ""}))),
        (
            "variable",
            plugin(json!({"env": [{"name": "EMPTY", "value": null}, {"name": "ABSENT"}]})),
        ),
        (
            "null",
            plugin(json!({
                "env": null, "installHint": null, "interactiveMode": null, "provideClusterInfo": null,
            })),
        ),
        (
            "token beside null",
            json!({"token": user.token(), "exec": null, "auth-provider": null, "as-groups": null, "as-user-extra": null}),
        ),
    ] {
        with_kubeconfig(desk, what, |config| config["users"][0]["user"] = user);
    }
    let plugin = plugin(json!({}));
    with_kubeconfig(desk, "fields of others", |config| {
        config["users"][0]["user"] = plugin;
        let users = config["users"].as_array_mut().unwrap();
        users.push(json!({"name": "mode", "user": {"exec": {"interactiveMode": "sometimes"}}}));
        users.push(json!({"name": "provider", "user": {"auth-provider": {"name": null, "config": {"id-token": null}}}}));
        config["clusters"][0]["cluster"]["extensions"] = json!([{"name": "x", "extension": null}]);
    });
}

fn base64_may_be_wrapped(desk: &Desk<'_>) {
    let wrap = |value: &mut Value| *value = json!(wrapped(value.as_str().unwrap()));
    with_kubeconfig(desk, "authority", |config| {
        wrap(&mut config["clusters"][0]["cluster"]["certificate-authority-data"]);
    });
    for field in ["client-certificate-data", "client-key-data"] {
        with_kubeconfig(desk, field, |config| wrap(&mut config["users"][0]["user"][field]));
    }
}

fn the_first_current_context_with_a_name_counts(desk: &Desk<'_>) {
    let first = LaptopFile::new(desk, "first", "current-context: \"\"\n");
    let second = LaptopFile::kubeconfig(desk, |_| ());
    let both = format!("{}:{}", first.path, second.path);
    both_work(desk, "two files", &[("KUBECONFIG", &both)]);
}

/// Runs openssl on the host, and returns its text.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn a_client_certificate_of_version_1_logs_in(desk: &Desk<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, request, certificate) = (path("key"), path("request"), path("certificate"));
    let subject = "/O=system:masters/CN=someone";
    openssl(&[
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request, "-subj", subject,
    ]);
    let (authority, authority_key) = desk.bed.authority();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-days",
        "3",
        "-out",
        &certificate,
        "-CA",
        path_text(&authority),
        "-CAkey",
        path_text(&authority_key),
        "-CAserial",
        &path("serial"),
        "-CAcreateserial",
    ]);
    let text = openssl(&["x509", "-in", &certificate, "-noout", "-text"]);
    assert!(text.contains("Version: 1 (0x0)"), "{text}");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let certificate = LaptopFile::new(desk, "v1.crt", &read(&certificate));
    let key = LaptopFile::new(desk, "v1.key", &read(&key));
    with_kubeconfig(desk, "version 1", |config| {
        config["users"][0]["user"] = json!({"client-certificate": certificate.path, "client-key": key.path});
    });
}

fn the_servers_own_certificate_may_be_the_anchor(desk: &Desk<'_>) {
    let server = developer(desk)["clusters"][0]["cluster"]["server"].clone();
    let address = server.as_str().unwrap().trim_start_matches("https://").to_owned();
    let shown = desk.text("openssl", &["s_client", "-connect", &address, "-showcerts"]);
    let begin = shown.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = shown.find("-----END CERTIFICATE-----").unwrap();
    let leaf = LaptopFile::new(
        desk,
        "leaf",
        &format!("{}-----END CERTIFICATE-----\n", &shown[begin..end]),
    );
    with_kubeconfig(desk, "leaf", |config| {
        config["clusters"][0]["cluster"] = json!({"server": server, "certificate-authority": leaf.path});
    });
}

/// A certificate that is marked as an authority, without and with uses of its key.
fn a_server_that_signed_its_own_certificate_is_trusted(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "own-authority");
    let token = user.token();
    let folder = tempfile::tempdir().unwrap();
    let [key, certificate] = ["key", "certificate"].map(|name| folder.path().join(name));
    let marked = [
        "req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=kube",
        "-addext basicConstraints=critical,CA:TRUE -addext subjectAltName=IP:127.0.0.1",
    ];
    let uses = "-addext keyUsage=critical,keyCertSign -addext extendedKeyUsage=serverAuth";
    for (what, more) in [("no uses of the key", ""), ("uses of the key", uses)] {
        let words = [marked[0], marked[1], more].join(" ");
        let files = ["-keyout", path_text(&key), "-out", path_text(&certificate)];
        openssl(&words.split_whitespace().chain(files).collect::<Vec<_>>());
        let [certificate, key] = [("own.crt", &certificate), ("own.key", &key)]
            .map(|(name, path)| LaptopFile::new(desk, name, &std::fs::read_to_string(path).unwrap()));
        let relay = Relay::with_certificate(desk, &certificate, &key);
        with_kubeconfig(desk, what, |config| {
            let server = format!("https://{}", Relay::ADDRESS);
            config["clusters"][0]["cluster"] =
                json!({"server": server, "certificate-authority": certificate.path});
            config["users"][0]["user"] = json!({"token": token});
        });
        assert!(relay.connections() >= 2, "both programs have used it");
    }
}

/// An address without a proxy, to which the laptop's packets are dropped.
const NOWHERE: &str = "http://192.0.2.1:3128";

fn no_proxy_excepts_the_api_server(desk: &Desk<'_>) {
    let host = desk.laptop.node().to_string();
    let with_port = format!("{host}:6443");
    for no_proxy in [&host, &with_port] {
        let variables = [("HTTPS_PROXY", NOWHERE), ("NO_PROXY", no_proxy.as_str())];
        both_work(desk, no_proxy, &variables);
    }
}

fn proxy_url_counts_whatever_no_proxy_says(desk: &Desk<'_>) {
    let file = LaptopFile::kubeconfig(desk, |config| {
        config["clusters"][0]["cluster"]["proxy-url"] = json!("http://127.0.0.1:9");
    });
    let variables = [("KUBECONFIG", &*file.path), ("NO_PROXY", "localhost,127.0.0.1")];
    both_fail(desk, "proxy-url", &variables, ["refused", "127.0.0.1:9"]);
}

fn odd_proxy_variables_are_taken(desk: &Desk<'_>) {
    // Nothing listens there, so that the refusal shows who was asked.
    let proxy = "127.0.0.1:9";
    let plain = format!("http://{proxy}");
    for no_proxy in ["other.example,", "other.example,,x", " , "] {
        let variables = [("HTTPS_PROXY", plain.as_str()), ("NO_PROXY", no_proxy)];
        both_fail(desk, no_proxy, &variables, ["refused", proxy]);
    }
    both_fail(desk, "no scheme", &[("HTTPS_PROXY", proxy)], ["refused", proxy]);
    let socks = format!("socks5h://{proxy}");
    both_fail(desk, "socks5h", &[("HTTPS_PROXY", &socks)], ["refused", proxy]);
    both_work(desk, "ALL_PROXY", &[("ALL_PROXY", NOWHERE)]);
}

/// The usual settings of a company's laptop: the proxy has no scheme, and only it reaches the API server.
fn a_session_works_through_a_proxy(desk: &Desk<'_>) {
    const PAGE: &str = "http://web.shop.svc.cluster.local";
    let proxy = Relay::proxy(desk);
    let file = LaptopFile::kubeconfig(desk, |config| {
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = json!("https://192.0.2.1:6443");
        cluster["tls-server-name"] = json!("kubernetes");
    });
    let variables = [
        ("KUBECONFIG", &*file.path),
        ("HTTPS_PROXY", Relay::ADDRESS),
        ("NO_PROXY", "localhost,127.0.0.1"),
    ];
    both_work(desk, "proxy", &variables);
    let session = desk.connect_with(&variables, &[]);
    assert!(desk.page(PAGE).is_some());
    let before = proxy.connections();
    assert!(before >= 3, "kubectl, a list and the session: {before}");
    let (host, port) = Relay::ADDRESS.split_once(':').unwrap();
    desk.as_root("ss", &["-K", "dst", host, "dport", "=", port]);
    until_within(CONNECTING, "the session reconnects through the proxy", || {
        let is_connected = session.state().as_deref() == Some("connected");
        proxy.connections() > before && is_connected && desk.page(PAGE).is_some()
    })
    .unwrap();
    session.disconnect();
}
