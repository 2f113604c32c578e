//! A laptop on which the helper does not run: the developer starts it with one answer, and ends it again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io::{PipeWriter, Write};
use std::process::Command;

use serde_json::Value;
use slipway_cluster_tests::{CONNECTING, Desk, Running, on_the_bare_laptop, program, until, until_within};

on_the_bare_laptop!(
    the_helper_is_started_after_one_question,
    the_helper_starts_and_stops_by_command,
);

const PAGE: &str = "http://web.shop.svc.cluster.local";
const SLIPWAY: &str = "/usr/local/bin/slipway";

/// Slipway as root installs it, and a `sudo` whose rule asks the developer for no password. Removed when this is dropped.
struct Installed<'a>(&'a Desk<'a>);

impl<'a> Installed<'a> {
    const FILES: [&'static str; 4] = [
        SLIPWAY,
        "/usr/local/bin/slipway-helper",
        "/usr/local/bin/sudo",
        "/usr/local/bin/sudo-bash",
    ];

    /// The kernel gives a script the set-user-id bit of its interpreter.
    const SUDO: &'static str = "#!/usr/local/bin/sudo-bash -p
while [ \"${1#-}\" != \"$1\" ]; do
    option=$1
    shift
    [ \"$option\" = -- ] && break
done
exec setpriv --reuid=0 --regid=0 --clear-groups -- \"$@\"
";

    fn new(desk: &'a Desk<'a>) -> Installed<'a> {
        let installed = Installed(desk);
        for name in ["slipway", "slipway-helper"] {
            desk.laptop.install(&program(name), name).unwrap();
        }
        let [_, _, sudo, bash] = Self::FILES;
        desk.laptop.write(sudo, Self::SUDO).unwrap();
        desk.as_root("chmod", &["0755", sudo]);
        desk.as_root("install", &["--mode=4755", "/bin/bash", bash]);
        installed
    }

    fn slipway(&self, arguments: &[&str]) -> Command {
        self.0.command(SLIPWAY, arguments)
    }

    /// Starts Slipway at a terminal of its own, at which somebody types this. The terminal lasts as long as the pipe.
    fn at_terminal(&self, arguments: &str, typed: &str) -> (Running, PipeWriter) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let command = format!("{SLIPWAY} {arguments}");
        let mut script = self.0.command(
            "script",
            &["--quiet", "--return", "--command", &command, "/dev/null"],
        );
        script.stdin(reader);
        let running = Running::start(script);
        writer.write_all(typed.as_bytes()).unwrap();
        (running, writer)
    }

    fn helper(&self) -> Value {
        let output = self.slipway(&["helper", "status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        let _ = self.slipway(&["disconnect", "--all"]).output();
        let _ = self.slipway(&["helper", "stop"]).output();
        self.0.output_as_root("rm", &[&["-f"][..], &Self::FILES].concat());
    }
}

fn the_helper_is_started_after_one_question(desk: &Desk<'_>) {
    let installed = Installed::new(desk);
    assert!(desk.page(PAGE).is_none(), "it is not reachable without a session");

    // A program gets the action, and is not asked.
    let arguments = ["connect", "--json", "--agent-grace", "5"];
    let output = installed.slipway(&arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["value"]["code"], "no-helper", "{last}");
    let action = serde_json::json!([{"do": "start-helper"}]);
    assert_eq!(last["value"]["actions"], action);
    assert!(output.stderr.is_empty(), "{:?}", output.stderr);

    let (mut refused, _terminal) = installed.at_terminal("connect --agent-grace 5", "n\n");
    assert_eq!(refused.wait(), Some(255), "{}", refused.said());
    let said = refused.said();
    assert!(
        said.contains("slipway-helper does not run. Start it now?") && said.contains("no-helper"),
        "{said}"
    );
    assert_eq!(installed.helper()["serves"], false);

    let (connecting, _terminal) = installed.at_terminal("connect --agent-grace 5", "\n");
    until_within(CONNECTING, "the session is connected", || {
        let sessions = desk.status();
        sessions.iter().any(|session| session["state"] == "connected")
    })
    .unwrap_or_else(|why| panic!("{why}: {}", connecting.said()));
    assert!(desk.page(PAGE).is_some());
    let helper = installed.helper();
    assert_eq!(helper["serves"], true, "{helper}");
    assert_eq!(helper["started"]["by"], "slipway", "{helper}");
    assert_eq!(helper["sessions"], 1, "{helper}");
    let in_use = installed.slipway(&["helper", "stop"]).output().unwrap();
    assert_eq!(in_use.status.code(), Some(255), "{in_use:?}");
}

fn the_helper_starts_and_stops_by_command(desk: &Desk<'_>) {
    let installed = Installed::new(desk);
    let helper = installed.helper();
    assert_eq!(helper["start"], "sudo", "{helper}");
    let run = |verb| {
        let output = installed.slipway(&["helper", verb]).output().unwrap();
        assert!(output.status.success(), "{verb}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("start").contains("serves you."));
    assert!(run("start").contains("serves you already"));
    let session = desk.connect(&[]);
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
    assert!(run("stop").contains("has ended"));
    until("no helper is left", || installed.helper()["serves"] == false).unwrap();

    // A user who may write the program could have it run as root.
    desk.as_root("chown", &["2000", "/usr/local/bin/slipway-helper"]);
    let refused = installed.slipway(&["helper", "start"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(255), "{said}");
    assert!(
        said.contains("it belongs to user 2000") && said.contains("helper-not-trusted"),
        "{said}"
    );
    assert_eq!(installed.helper()["serves"], false);
}
