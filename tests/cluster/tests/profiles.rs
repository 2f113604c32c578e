//! Profiles: a cluster without a kubeconfig, and sessions that end after a time.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use slipway_cluster_tests::{
    Desk, LaptopFile, TokenUser, on_the_plain_laptop, on_the_resolved_laptop, problems, until_within,
};

on_the_plain_laptop!(a_cluster_needs_no_kubeconfig);
// It waits for a minute.
on_the_resolved_laptop!(a_session_ends_after_its_time);

const PAGE: &str = "http://web.shop.svc.cluster.local";

/// A profile, deleted when this is dropped.
struct Saved<'a> {
    desk: &'a Desk<'a>,
    name: &'static str,
}

impl<'a> Saved<'a> {
    fn new(desk: &'a Desk<'a>, name: &'static str, text: &str) -> Self {
        let file = LaptopFile::new(desk, &format!("{name}.toml"), text);
        let import = ["profiles", "import", &file.path, "--name", name];
        let output = desk.slipway(&import).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self { desk, name }
    }
}

impl Drop for Saved<'_> {
    fn drop(&mut self) {
        let _ = self.desk.slipway(&["profiles", "delete", self.name]).output();
    }
}

/// Server of the developer's kubeconfig, and a file with its authority.
fn server<'a>(desk: &'a Desk<'a>) -> (String, LaptopFile<'a>) {
    let view = |path: &str| {
        let output = format!("--output=jsonpath={{.clusters[0].cluster.{path}}}");
        desk.text("kubectl", &["config", "view", "--raw", &output])
    };
    let data = LaptopFile::new(desk, "ca.b64", &view("certificate-authority-data"));
    let pem = desk.text("base64", &["--decode", &data.path]);
    (view("server"), LaptopFile::new(desk, "ca.crt", &pem))
}

fn a_cluster_needs_no_kubeconfig(desk: &Desk<'_>) {
    let (server, authority) = server(desk);
    let user = TokenUser::new(desk, "no-kubeconfig");
    let token = LaptopFile::new(desk, "token", &user.token());
    let given = [
        "--kubeconfig=/dev/null",
        &format!("--server={server}"),
        &format!("--certificate-authority={}", authority.path),
        &format!("--token={}", user.token()),
    ];
    desk.text(
        "kubectl",
        &[&given[..], &["--namespace=shop", "get", "pods"]].concat(),
    );

    let text = format!(
        "version = 1\n[cluster]\nserver = \"{server}\"\ncertificate-authority = \"{}\"\ntoken = \"file:{}\"\n\
         namespace = \"shop\"\n",
        authority.path, token.path
    );
    let saved = Saved::new(desk, "no-kubeconfig", &text);
    let slipway = |arguments: &[&str]| {
        let output = desk.slipway(arguments).env("KUBECONFIG", "/nonexistent").output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let services = ["list", "services", "--profile", saved.name];
    let (listed, said) = slipway(&services);
    assert!(!listed, "others may read the token: {said}");
    assert!(said.contains(&format!("chmod 600 {}", token.path)), "{said}");
    desk.as_root("chmod", &["600", &token.path]);
    let id = desk.text("id", &["-u"]);
    desk.as_root("chown", &[id.trim(), &token.path]);

    let (listed, said) = slipway(&services);
    assert!(listed && said.contains("web"), "{said}");
    let (_, said) = slipway(&["doctor", saved.name]);
    assert!(
        said.contains(&format!("Server {server} of the profile")),
        "{said}"
    );
    assert_eq!(desk.page(PAGE), None, "not reachable before");
    let session = desk.connect(&[saved.name]);
    assert!(desk.page(PAGE).is_some());
    let status = session.status().unwrap();
    assert!(server.ends_with(status["context"].as_str().unwrap()), "{status}");
    assert_eq!(status["kubeconfig"], serde_json::Value::Null);
    let (listed, said) = slipway(&["list", "services"]);
    assert!(
        listed && said.contains("web"),
        "the list follows the session: {said}"
    );
    session.disconnect();
    let (cleaned, said) = slipway(&["cleanup", "--profile", saved.name, "--yes"]);
    assert!(cleaned, "{said}");
    assert_eq!(desk.page(PAGE), None, "not reachable after");
}

fn a_session_ends_after_its_time(desk: &Desk<'_>) {
    let mut session = desk.connect(&["--disconnect-after", "1m"]);
    assert!(desk.page(PAGE).is_some());
    assert!(session.status().unwrap()["ends"].is_string());
    until_within(Duration::from_secs(40), "its end is announced", || {
        session
            .status()
            .is_some_and(|status| problems(&status) == ["disconnects-soon"])
    })
    .unwrap();
    assert!(desk.page(PAGE).is_some());
    until_within(Duration::from_secs(45), "it ends", || !session.running.is_alive()).unwrap();
    assert_eq!(session.running.wait(), Some(255), "{}", session.running.said());
    let reason = "because 1m passed since it connected";
    assert!(
        session.running.said().contains(reason),
        "{}",
        session.running.said()
    );
    let status = desk.slipway(&["status"]).output().unwrap();
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains(reason), "{said}");
    assert_eq!(desk.page(PAGE), None, "not reachable after");
}
