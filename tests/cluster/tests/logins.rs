//! Logins: credential plugins run once and reach a person, and credentials that end are told and renewed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::json;
use slipway_cluster_tests::{
    CONNECTING, Conversation, Desk, LaptopFile, TokenUser, on_the_plain_laptop, on_the_resolved_laptop,
    path_text, problems, program, until_within,
};

on_the_plain_laptop!(
    a_plugin_runs_once_for_each_command,
    a_plugins_words_reach_a_person,
    a_plugins_issuer_stays_the_laptops,
    a_session_survives_the_end_of_its_token,
    a_session_survives_the_end_of_its_plugins_token,
    a_plugin_on_the_login_shells_path_is_found,
);

// Beside the others, because they wait for tokens to end.
on_the_resolved_laptop!(
    a_session_survives_the_end_of_its_token_file,
    a_short_lived_token_takes_one_run_in_its_life,
);

/// How soon a session tells that its credentials are refused, and is back after a new login.
const SOON: Duration = Duration::from_secs(10);

/// How long the API server may remember that it accepted a token.
const REMEMBERED: Duration = Duration::from_secs(30);

/// A plugin that answers with the token in a file, and counts its runs.
struct Plugin<'a> {
    desk: &'a Desk<'a>,
    token: LaptopFile<'a>,
    script: LaptopFile<'a>,
    runs: LaptopFile<'a>,
}

impl<'a> Plugin<'a> {
    /// `before` are lines of the script before the answer. They may set `more`, which follows the token in it.
    fn new(desk: &'a Desk<'a>, token: &str, before: &str) -> Self {
        let token = LaptopFile::new(desk, "plugin-token", token);
        let runs = LaptopFile::new(desk, "plugin-runs", "");
        desk.as_root("chmod", &["666", &runs.path]);
        let script = LaptopFile::new(
            desk,
            "plugin.sh",
            &format!(
                "date +%s >> {}\n{before}\nprintf '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\
                 \"kind\":\"ExecCredential\",\"status\":{{\"token\":\"%s\"%s}}}}' \"$(cat {})\" \"$more\"\n",
                runs.path, token.path
            ),
        );
        Self {
            desk,
            token,
            script,
            runs,
        }
    }

    fn user(&self) -> serde_json::Value {
        json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "IfAvailable",
            "command": "sh",
            "args": [self.script.path],
        }})
    }

    fn runs(&self) -> usize {
        self.times().len()
    }

    /// Returns when the runs began, in seconds.
    fn times(&self) -> Vec<u64> {
        let times = self.desk.text("cat", &[&self.runs.path]);
        times.lines().map(|time| time.parse().unwrap()).collect()
    }

    fn log_in(&self, token: &str) {
        self.desk.laptop.write(&self.token.path, token).unwrap();
    }
}

fn a_plugin_runs_once_for_each_command(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "plugin-once");
    let plugin = Plugin::new(desk, &user.token(), "");
    let file = user.kubeconfig(plugin.user());
    let file = ["--kubeconfig", file.path.as_str()];
    for command in [&["list", "services"][..], &["doctor", "--json"]] {
        let before = plugin.runs();
        desk.slipway(&[command, &file].concat()).output().unwrap();
        assert_eq!(plugin.runs() - before, 1, "{command:?}");
    }
    let before = plugin.runs();
    let session = desk.connect(&file);
    assert!(desk.page("http://web.shop").is_some());
    session.disconnect();
    assert_eq!(plugin.runs() - before, 1, "connect");
}

fn a_plugins_words_reach_a_person(desk: &Desk<'_>) {
    let words = "To sign in, open https://login.example/device and enter the code ABCD-1234";
    let user = TokenUser::new(desk, "plugin-words");
    let plugin = Plugin::new(desk, &user.token(), &format!("echo '{words}' >&2; sleep 4"));
    let file = user.kubeconfig(plugin.user());
    let session = desk.start_connecting(&["--kubeconfig", &file.path]);
    let told = until_within(CONNECTING, "the words are in the status", || {
        session.status().is_some_and(|status| {
            assert_ne!(status["state"], "connected", "{status}");
            problems(&status) == ["login-waits"] && status.to_string().contains(words)
        })
    });
    told.unwrap();
    until_within(CONNECTING, "the session goes on by itself", || {
        session.state().as_deref() == Some("connected")
    })
    .unwrap();
    assert_eq!(problems(&session.status().unwrap()), [""; 0]);
    assert!(
        session.running.said().contains(words),
        "{}",
        session.running.said()
    );
    session.disconnect();
}

fn a_plugins_issuer_stays_the_laptops(desk: &Desk<'_>) {
    // Only the cluster knows this host, so that the answer shows who was asked.
    let host = "warehouse.vpc.internal";
    let user = TokenUser::new(desk, "plugin-issuer");
    let plugin = Plugin::new(desk, &user.token(), "");
    let mut login = plugin.user();
    let file = user.kubeconfig(login.clone());
    let session = desk.connect(&["--kubeconfig", &file.path, "--also-proxy", host]);
    assert!(desk.resolves(host), "the cluster is asked");
    session.disconnect();

    let arguments = login["exec"]["args"].as_array_mut().unwrap();
    arguments.push(json!(format!("--issuer=https://{host}/")));
    let file = user.kubeconfig(login);
    let session = desk.connect(&["--kubeconfig", &file.path, "--also-proxy", host]);
    assert!(!desk.resolves(host), "a new login could not ask the cluster");
    session.disconnect();
}

/// Cuts the connections to the API server.
fn cut(desk: &Desk<'_>) {
    let node = desk.laptop.node().to_string();
    desk.as_root("ss", &["-K", "dst", &node, "dport", "=", "6443"]);
}

/// Ends a session's credentials, then logs in again, and checks what the session tells and how soon.
fn ends_and_comes_back(desk: &Desk<'_>, user: &TokenUser<'_>, file: &str, log_in: impl FnOnce(&str)) {
    // The agent waits longer than a new login takes to be noticed.
    let session = desk.connect(&["--kubeconfig", file, "--agent-grace", "60"]);
    let mut conversation = Conversation::begin(desk);
    user.end_tokens();
    let kubectl_works = || {
        let ask = ["--kubeconfig", file, "get", "--raw", "/api"];
        desk.output("kubectl", &ask).status.success()
    };
    until_within(REMEMBERED, "the API server refuses the token", || {
        !kubectl_works()
    })
    .unwrap();
    cut(desk);
    until_within(SOON, "the status tells it", || {
        let status = session.status().unwrap();
        status["state"] == "reconnecting" && problems(&status) == ["credentials-refused"]
    })
    .unwrap();
    let step = session.status().unwrap()["step"].to_string();
    assert!(step.contains("Waiting for a new login"), "{step}");
    log_in(&user.token());
    until_within(SOON, "the session is back", || {
        session.state().as_deref() == Some("connected")
    })
    .unwrap();
    conversation.goes_on();
    assert!(kubectl_works(), "a new login is enough for kubectl too");
    until_within(SOON, "the problem is withdrawn", || {
        problems(&session.status().unwrap()).is_empty()
    })
    .unwrap();
    session.disconnect();
}

fn a_session_survives_the_end_of_its_token(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "token-ends");
    let file = user.kubeconfig(json!({"token": user.token()}));
    let text = desk.text("cat", &[&file.path]);
    ends_and_comes_back(desk, &user, &file.path, |token| {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config["users"][0]["user"]["token"] = json!(token);
        desk.laptop.write(&file.path, &config.to_string()).unwrap();
    });
}

fn a_session_survives_the_end_of_its_plugins_token(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "plugin-ends");
    let plugin = Plugin::new(desk, &user.token(), "");
    let file = user.kubeconfig(plugin.user());
    ends_and_comes_back(desk, &user, &file.path, |token| plugin.log_in(token));
}

fn a_session_survives_the_end_of_its_token_file(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "token-file");
    let token = LaptopFile::new(desk, "token", &user.token());
    let file = user.kubeconfig(json!({"tokenFile": token.path}));
    ends_and_comes_back(desk, &user, &file.path, |new| {
        desk.laptop.write(&token.path, new).unwrap();
    });
}

/// Several reconnects need credentials in each life.
fn a_short_lived_token_takes_one_run_in_its_life(desk: &Desk<'_>) {
    const LIFE: u64 = 11;
    let expires =
        format!("more=$(date -u -d '+{LIFE} seconds' '+,\"expirationTimestamp\":\"%Y-%m-%dT%H:%M:%SZ\"')");
    let user = TokenUser::new(desk, "plugin-life");
    let plugin = Plugin::new(desk, &user.token(), &expires);
    let file = user.kubeconfig(plugin.user());
    let file = ["--kubeconfig", file.path.as_str()];
    let get = ["get", "pods,services,configmaps", "--output=name"];
    desk.text("kubectl", &[&get[..], &file].concat());
    assert_eq!(plugin.runs(), 1, "kubectl, with several requests");
    let session = desk.connect(&[&file[..], &["--agent-grace", "60"]].concat());
    let cuts = 7;
    for _ in 0..cuts {
        cut(desk);
        std::thread::sleep(Duration::from_secs(2));
        until_within(CONNECTING, "the session is back", || {
            session.state().as_deref() == Some("connected")
        })
        .unwrap();
    }
    let runs = &plugin.times()[1..];
    assert!((2..cuts).contains(&runs.len()), "{runs:?}");
    assert!(runs.windows(2).all(|two| two[1] - two[0] >= LIFE), "{runs:?}");
    session.disconnect();
}

/// A desktop starts programs with a shorter PATH than a login shell's.
fn a_plugin_on_the_login_shells_path_is_found(desk: &Desk<'_>) {
    let user = TokenUser::new(desk, "plugin-path");
    let plugin = Plugin::new(desk, &user.token(), "");
    let script = format!("#!/bin/sh\nexec sh {}\n", plugin.script.path);
    let installed = LaptopFile::new(desk, "cloud-login", &script);
    desk.as_root("chmod", &["755", &installed.path]);
    let (folder, name) = installed.path.rsplit_once('/').unwrap();
    let mut login = plugin.user();
    login["exec"]["command"] = json!(name);
    login["exec"]["args"] = json!([]);
    let file = user.kubeconfig(login);
    let _profile = LaptopFile::at(desk, "/home/dev/.profile", &format!("PATH=$PATH:{folder}\n"));
    let kubectl = format!("kubectl --kubeconfig {} auth whoami", file.path);
    let refused = desk.output("sh", &["-c", &kubectl]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("not found"),
        "kubectl without that PATH: {refused:?}"
    );
    desk.text("sh", &["-lc", &kubectl]);
    let slipway = program("slipway");
    let list = ["list", "services", "--kubeconfig", &file.path];
    let services = desk.text(path_text(&slipway), &list);
    assert!(services.contains("web"), "{services}");
}
