//! Commands, as users and scripts use them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use slipway_cluster_tests::{Desk, on_each_laptop, on_the_plain_laptop, path_text, problems, program, until};

on_each_laptop!(explain_says_what_programs_get);
on_the_plain_laptop!(
    run_passes_on_the_exit_code_of_its_command,
    a_command_that_ignores_sigterm_is_killed,
    a_detached_session_goes_on_and_is_ended_by_name,
    a_detached_session_reports_the_connection_as_json,
    a_second_session_reports_the_owner_of_shared_ranges,
    explain_says_who_answered,
    names_are_kept_with_their_answers,
    a_profile_is_made_connected_and_deleted,
    a_connection_without_a_helper_has_a_remedy,
    an_unknown_context_is_named_beside_those_that_exist,
);

const ADMIN: &str = "/home/dev/.kube/admin";
const PAGE: &str = "http://web.shop.svc.cluster.local";

fn run_passes_on_the_exit_code_of_its_command(desk: &Desk<'_>) {
    let code = |arguments: &[&str]| desk.slipway(arguments).output().unwrap().status.code();
    assert_eq!(desk.page(PAGE), None, "not reachable before");
    let fetch = format!("curl --silent --fail --max-time 5 {PAGE} >/dev/null && exit 37");
    assert_eq!(
        code(&["run", "--agent-grace", "5", "--", "sh", "-c", &fetch]),
        Some(37)
    );
    assert_eq!(
        code(&["run", "--agent-grace", "5", "--", "sh", "-c", "kill -TERM $$"]),
        Some(128 + 15)
    );
    assert_eq!(
        code(&["run", "--context", "nowhere", "--", "touch", "/tmp/it-ran"]),
        Some(255)
    );
    assert!(
        !desk.output("test", &["-e", "/tmp/it-ran"]).status.success(),
        "nothing runs without a session"
    );
    assert_eq!(code(&["run"]), Some(2), "a usage error");
    assert_eq!(desk.page(PAGE), None, "not reachable after");
    assert!(desk.status().is_empty());
}

fn a_command_that_ignores_sigterm_is_killed(desk: &Desk<'_>) {
    let deaf = "trap '' TERM; echo $$; exec sleep 300";
    let mut running = desk
        .slipway(&["run", "--agent-grace", "5", "--", "sh", "-c", deaf])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let command = format!("/proc/{}", line.trim_end());
    assert!(
        desk.output("test", &["-e", &command]).status.success(),
        "{command}"
    );
    let began = Instant::now();
    assert!(desk.slipway(&["disconnect", "--all"]).status().unwrap().success());
    let ended = running.wait().unwrap();
    let took = began.elapsed();
    assert_eq!(ended.code(), Some(255));
    assert!(
        took > Duration::from_secs(9) && took < Duration::from_secs(20),
        "{took:?}"
    );
    assert!(
        !desk.output("test", &["-e", &command]).status.success(),
        "it is gone"
    );
}

fn a_detached_session_goes_on_and_is_ended_by_name(desk: &Desk<'_>) {
    let _session = desk.connect_detached(&[]);
    assert!(desk.page(PAGE).is_some());
    let sessions = desk.status();
    assert_eq!(sessions.len(), 1);
    for field in ["id", "pid", "profile", "method", "context", "namespace", "state"] {
        assert!(
            sessions[0].get(field).is_some(),
            "{field} is missing: {sessions:?}"
        );
    }
    let again = desk.slipway(&["connect"]).output().unwrap();
    assert_eq!(again.status.code(), Some(255), "the same place is connected once");
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("already-connected"),
        "{again:?}"
    );
    let id = sessions[0]["id"].as_str().unwrap();
    assert!(desk.slipway(&["disconnect", id]).status().unwrap().success());
    assert_eq!(desk.page(PAGE), None);
    assert!(desk.status().is_empty());
}

fn explain_says_who_answered(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let explain = |name: &str| -> serde_json::Value {
        let output = desk.slipway(&["explain", name, "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    assert_eq!(explain("web")["answered_by"], "cluster");
    assert_eq!(explain("http://web:81/page")["name"], "web");
    assert_eq!(explain("www.public.test")["answered_by"], "laptop");
    let unknown = explain("nobody-knows.this");
    assert_eq!(unknown["answered_by"], "nobody");
    assert!(!unknown["cause"].as_str().unwrap().is_empty());
    let in_cluster = desk.address("service/web", "{.spec.clusterIP}");
    assert_eq!(explain(&in_cluster)["answered_by"], "cluster");
    assert_eq!(explain("203.0.113.10")["answered_by"], "laptop");
    for own in ["127.0.0.1", "::1", &desk.laptop.address().to_string()] {
        let explained = explain(own);
        assert_eq!(explained["found"]["local"], true, "{explained}");
        assert_eq!(
            explained["actions"].as_array().map(Vec::len),
            Some(0),
            "{explained}"
        );
    }
    session.disconnect();
}

fn a_second_session_reports_the_owner_of_shared_ranges(desk: &Desk<'_>) {
    let orders = "http://orders.shop-test.svc";
    assert_eq!(
        (desk.page(PAGE), desk.page(orders)),
        (None, None),
        "not reachable before"
    );
    let first = desk.connect(&["--kubeconfig", ADMIN]);
    let second = desk.connect_detached(&["--kubeconfig", ADMIN, "--namespace", "shop-test"]);
    let said = &second.said;
    assert!(said.contains("Note: ") && said.contains("this is fine"), "{said}");
    let status = desk.status();
    let raised: Vec<_> = status.iter().flat_map(problems).collect();
    assert!(raised.contains(&"range-shared"), "{raised:?}");
    assert!(desk.page(PAGE).is_some());
    assert!(desk.page(orders).is_some(), "by the first session's route");
    drop(second);
    drop(first);
    assert_eq!(
        (desk.page(PAGE), desk.page(orders)),
        (None, None),
        "not reachable after"
    );
}

fn names_are_kept_with_their_answers(desk: &Desk<'_>) {
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let session = desk.connect(&[]);
    assert!(desk.resolves("web.shop.svc") && !desk.resolves("nosuch.shop.svc"));
    let names = |options: &[&str]| {
        let arguments = [&["names", "--json"][..], options].concat();
        let said = desk.text(path_text(&program("slipway")), &arguments);
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<serde_json::Value>>()
    };
    let of = |all: &[serde_json::Value], name: &str| {
        all.iter()
            .find(|event| event["name"] == name && event["kind"] == "A")
            .cloned()
    };
    // A name is kept a moment after its answer, when the program that asked was looked for.
    until("the names are kept", || {
        let all = names(&[]);
        of(&all, "web.shop.svc").is_some() && of(&all, "nosuch.shop.svc").is_some()
    })
    .unwrap();
    let found = of(&names(&[]), "web.shop.svc").unwrap();
    assert_eq!(found["answer"], serde_json::json!([web]), "{found}");
    assert_eq!(found["answered_by"], "cluster");
    let failed = names(&["--failed"]);
    assert_eq!(of(&failed, "web.shop.svc"), None);
    let missing = of(&failed, "nosuch.shop.svc").unwrap();
    assert_eq!(missing["problem"]["code"], "name-not-found", "{missing}");
    session.disconnect();
}

/// The company has a host `db` too, in the laptop's search domain.
fn explain_says_what_programs_get(desk: &Desk<'_>) {
    let company = desk.laptop.node().to_string();
    let got = || {
        let said = desk.text("getent", &["ahostsv4", "db"]);
        said.split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(got(), company, "before");
    let session = desk.connect(&[]);
    assert_eq!(got(), company);
    let said = desk.text(path_text(&program("slipway")), &["explain", "db"]);
    for part in [
        "`db.corp.internal`",
        "search domain",
        "use the name `db.shop.svc.cluster.local`",
        &format!("Programs get {company}"),
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    session.disconnect();
}

fn a_detached_session_reports_the_connection_as_json(desk: &Desk<'_>) {
    let session = desk.connect_detached(&["--json"]);
    let last = session.said.lines().last().unwrap_or_default();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(event["event"], "status", "{event}");
    assert_eq!(event["value"]["state"], "connected", "{event}");
    assert_eq!(event["value"]["capture"]["method"], "vpn-tcp", "{event}");
    assert!(desk.page(PAGE).is_some());
}

fn a_profile_is_made_connected_and_deleted(desk: &Desk<'_>) {
    let slipway = |arguments: &[&str]| {
        let output = desk.slipway(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    slipway(&["profiles", "create", "staging", "--namespace", "shop"]);
    assert!(slipway(&["profiles", "list"]).contains("staging"));
    let session = desk.connect(&["staging"]);
    assert_eq!(session.status().unwrap()["profile"], "staging");
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
    slipway(&["profiles", "delete", "staging"]);
    assert!(!slipway(&["profiles", "list"]).contains("staging"));
}

fn a_connection_without_a_helper_has_a_remedy(desk: &Desk<'_>) {
    let mut command = desk.slipway(&["connect", "--agent-grace", "5"]);
    let output = command
        .env("SLIPWAY_HELPER_SOCKET", "/nowhere/helper.sock")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{said}");
    assert!(
        said.contains("no-helper") && said.contains("systemctl start slipway-helper"),
        "{said}"
    );
    until("no session is left", || desk.status().is_empty()).expect("none");
}

fn an_unknown_context_is_named_beside_those_that_exist(desk: &Desk<'_>) {
    let output = desk
        .slipway(&["connect", "--context", "nowhere"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(255), "{said}");
    assert!(
        said.contains("nowhere") && said.contains(&desk.bed.name().to_string()),
        "{said}"
    );
}
