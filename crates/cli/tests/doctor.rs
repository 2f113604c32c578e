//! The doctor and the helper's commands, without a cluster.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends at what it did not expect"
)]

mod user;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slipway_control_api::{Check, CheckEvent, FindingData, HelperStatus, RangeOrigin, StepState, Verdict};
use slipway_profile::Method;

use self::user::{User, code, stderr, stdout};

#[test]
fn every_failed_check_of_the_doctor_has_a_remedy() {
    let user = User::new();
    let output = user.slipway(&["doctor", "--json"]);
    assert_eq!(code(&output), 255);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["verdict"] == "fail")
        .map(|finding| {
            assert!(
                finding["remedy"]
                    .as_str()
                    .is_some_and(|remedy| !remedy.is_empty()),
                "{finding}"
            );
            finding["check"].as_str().unwrap()
        })
        .collect();
    assert!(failed.contains(&"helper"), "{failed:?}");
    assert!(failed.contains(&"api-server"), "{failed:?}");
}

#[test]
fn a_silent_helper_is_a_finding_of_the_doctor() {
    let user = User::new();
    let socket = user.home.path().join("silent.sock");
    // The queue takes the connection, and no program accepts it.
    let _listener = UnixListener::bind(&socket).unwrap();
    let output = user.with(
        "SLIPWAY_HELPER_SOCKET",
        socket.to_str().unwrap(),
        &["doctor", "--json"],
    );
    assert_eq!(code(&output), 255);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let helper = findings
        .iter()
        .find(|finding| finding["check"] == "helper")
        .unwrap();
    assert_eq!(helper["verdict"], "fail", "{helper}");
    assert!(
        helper["detail"].as_str().unwrap().contains("does not answer"),
        "{helper}"
    );
    assert!(
        helper["remedy"].as_str().unwrap().contains("systemctl restart"),
        "{helper}"
    );
}

fn check_events(output: &Output) -> Vec<CheckEvent> {
    let lines = stdout(output).lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_doctor_tells_its_steps_findings_and_a_summary() {
    let output = User::new().slipway(&["doctor", "--json-lines"]);
    assert_eq!((code(&output), stderr(&output)), (255, ""));
    let events = check_events(&output);
    let Some(CheckEvent::Steps(steps)) = events.first() else {
        panic!("{events:?}");
    };
    assert_eq!(steps.methods, [Method::VpnTcp]);
    let in_state = |state| -> Vec<Check> {
        let changed = events.iter().filter_map(|event| match event {
            CheckEvent::Step(step) if step.state == state => Some(step.check),
            _ => None,
        });
        changed.collect()
    };
    let left_out = in_state(StepState::LeftOut);
    assert_eq!(left_out, [Check::Namespace, Check::Permission, Check::Range]);
    let mut over = [left_out, in_state(StepState::Ended)].concat();
    over.sort();
    assert_eq!(over, steps.steps, "each step is over");
    let failed = events.iter().filter_map(|event| match event {
        CheckEvent::Finding(finding) if finding.verdict == Verdict::Fail => Some(finding.check),
        _ => None,
    });
    assert!(failed.clone().any(|check| check == Check::Helper));
    let Some(CheckEvent::Summary(summary)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(summary.verdict, Verdict::Fail);
    assert!(!summary.methods[0].works && summary.methods[0].reason.is_some());
}

#[test]
fn what_is_found_first_is_shown_at_once_and_ctrl_c_ends_it() {
    let user = User::new();
    let socket = user.home.path().join("silent.sock");
    // The queue takes the connection, and no program accepts it.
    let _listener = UnixListener::bind(&socket).unwrap();
    for (form, first) in [
        (&["doctor"][..], "kernel"),
        (&["doctor", "--json-lines"], "steps"),
    ] {
        let mut command = user.command("SLIPWAY_HELPER_SOCKET", socket.to_str().unwrap(), form);
        let mut doctor = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(doctor.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        assert!(line.contains(first), "{line}");
        assert_eq!(doctor.try_wait().unwrap(), None, "it waits for the helper");
        kill(Pid::from_raw(doctor.id().cast_signed()), Signal::SIGINT).unwrap();
        assert_eq!(doctor.wait().unwrap().code(), Some(130), "{form:?}");
    }
}

#[test]
fn a_profile_is_checked_before_it_is_saved() {
    let user = User::new();
    let text = "version = 1\nalso-proxy = [\"10.3.0.0/16\", \"db.corp\"]\n";
    let arguments = ["doctor", "--json-lines", "--profile-file", "-"];
    let events = check_events(&user.fed(text, &arguments));
    let of_ranges: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            CheckEvent::Finding(finding) if finding.check == Check::Range => finding.data.as_ref(),
            _ => None,
        })
        .collect();
    let [FindingData::Range(facts)] = of_ranges[..] else {
        panic!("{of_ranges:?}");
    };
    assert_eq!(
        (facts.range.to_string().as_str(), facts.origin),
        ("10.3.0.0/16", RangeOrigin::AlsoProxy)
    );
    assert!(events.iter().any(|event| matches!(event, CheckEvent::Layout(_))));
    assert_eq!(stdout(&user.slipway(&["profiles", "list", "--json"])), "[]\n");

    let mistaken = user.fed("version = 1\ngarce = 5\n", &arguments);
    assert_eq!((code(&mistaken), stderr(&mistaken)), (255, ""));
    let [CheckEvent::Failed(problem)] = &check_events(&mistaken)[..] else {
        panic!("{mistaken:?}");
    };
    assert_eq!(problem.code, "profile-invalid");
    assert!(problem.cause.contains("garce"), "{problem}");
    let in_words = user.fed(
        "version = 1\ngarce = 5\n",
        &["doctor", "shop", "--profile-file", "-"],
    );
    assert!(
        stderr(&in_words).contains("shop.toml, line 2"),
        "{}",
        stderr(&in_words)
    );
}

#[test]
fn only_what_the_method_needs_is_checked() {
    let user = User::new();
    for arguments in [&["--method", "inject-tcp"][..], &["--profile-file", "-"]] {
        let text = "version = 1\nmethod = \"container\"\n";
        let output = user.fed(text, &[&["doctor", "--json"], arguments].concat());
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let of = |check: &str| findings.iter().find(|finding| finding["check"] == check);
        assert!(of("helper").is_none() && of("tun").is_none(), "{findings:#?}");
        assert_eq!(of("method").unwrap()["code"], "method-not-yet");
        assert!(of("kubeconfig").is_some() && of("api-server").is_some());
    }
}

#[test]
fn the_doctor_says_of_each_method_whether_it_works_here() {
    let user = User::new();
    let words = user.slipway(&["doctor", "--all-methods"]);
    let last: Vec<&str> = stdout(&words).lines().rev().take(3).collect();
    for (line, method) in last.iter().rev().zip(Method::ALL) {
        assert!(
            line.starts_with(method.as_str()) && line.contains("does not work here: "),
            "{line}"
        );
    }
    let json = user.slipway(&["doctor", "--all-methods", "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).unwrap();
    let of = |check: &str| findings.iter().find(|finding| finding["check"] == check).unwrap();
    assert_eq!(of("helper")["methods"], serde_json::json!(["vpn-tcp"]));
    assert_eq!(
        of("api-server")["methods"],
        serde_json::json!(["vpn-tcp", "inject-tcp", "container"])
    );
}

#[test]
fn a_missing_helper_is_told_with_how_it_would_start() {
    let user = User::new();
    let output = user.slipway(&["helper", "status", "--json"]);
    assert_eq!(code(&output), 255);
    let status: HelperStatus = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!status.serves && status.sessions == 0);
    assert_eq!(status.problem.unwrap().code, "no-helper");
    assert!(status.start.is_some() != status.obstacle.is_some());
    let words = user.slipway(&["helper", "status"]);
    assert!(
        stdout(&words).starts_with("slipway-helper does not run"),
        "{words:?}"
    );
    let stopped = user.slipway(&["helper", "stop"]);
    assert_eq!(
        (code(&stopped), stdout(&stopped)),
        (0, "slipway-helper does not run.\n")
    );
}
