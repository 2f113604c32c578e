//! Behavior that scripts rely on, without a cluster: exit codes, standard output and error, saved profiles.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod user;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::thread;

use slipway_control_api::{Problem, Progress, State};

use self::user::{User, code, stderr, stdout};

#[test]
fn wrong_usage_and_failures_have_different_exit_codes() {
    let user = User::new();
    for wrong in [&["connect", "--nope"][..], &["run", "shop"], &["list"], &[]] {
        assert_eq!(code(&user.slipway(wrong)), 2, "{wrong:?}");
    }
    for failing in [
        &["connect", "--profile", "nope"][..],
        &["status", "nope"],
        &["disconnect", "nope"],
        &["explain", "web"],
        &["logs"],
        &["names"],
    ] {
        let output = user.slipway(failing);
        assert_eq!(code(&output), 255, "{failing:?}");
        assert!(
            stderr(&output).starts_with("slipway: "),
            "{failing:?}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "", "{failing:?}");
    }
}

#[test]
fn status_and_disconnect_work_without_a_session() {
    let user = User::new();
    let status = user.slipway(&["status", "--json"]);
    assert_eq!((code(&status), stdout(&status)), (0, "[]\n"));
    assert_eq!(code(&user.slipway(&["disconnect"])), 0);
    assert_eq!(code(&user.slipway(&["disconnect", "--all"])), 0);
}

#[test]
fn a_failed_session_says_why_on_standard_error() {
    let user = User::new();
    for arguments in [
        &["connect"][..],
        &["connect", "--detach"],
        &["run", "--", "touch", "ran"],
    ] {
        let output = user.slipway(arguments);
        assert_eq!(code(&output), 255, "{arguments:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.starts_with("slipway: "), "{arguments:?}: {said}");
        assert!(said.contains("http://127.0.0.1:1/"), "{arguments:?}: {said}");
        assert!(said.contains("(api-unreachable)"), "{arguments:?}: {said}");
    }
    assert_eq!(stdout(&user.slipway(&["status", "--json"])), "[]\n");
}

fn events(text: &str) -> Vec<Progress> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn failure(events: &[Progress]) -> &Problem {
    match events {
        [.., Progress::Failed(problem)] => problem,
        [.., Progress::Status(_)] | [] => panic!("no failure at the end of {events:?}"),
    }
}

#[test]
fn connect_prints_progress_and_failure_as_json() {
    let user = User::new();
    for arguments in [&["connect", "--json"][..], &["connect", "--detach", "--json"]] {
        let output = user.slipway(arguments);
        assert_eq!(code(&output), 255, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{arguments:?}");
        let events = events(stdout(&output));
        let Some(Progress::Status(first)) = events.first() else {
            panic!("{events:?}")
        };
        assert_eq!(first.state, State::Preparing);
        let failure = failure(&events);
        assert_eq!(failure.code, "api-unreachable", "{arguments:?}");
        assert!(
            failure.cause.contains("http://127.0.0.1:1/") && !failure.remedy.is_empty(),
            "{failure:?}"
        );
    }
}

#[test]
fn a_failure_before_a_session_is_json_too() {
    let user = User::new();
    for arguments in [
        &["connect", "nope", "--json"][..],
        &["connect", "nope", "--detach", "--json"],
    ] {
        let output = user.slipway(arguments);
        assert_eq!(code(&output), 255);
        let events = events(stdout(&output));
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(failure(&events).code, "profile-missing");
    }
}

#[test]
fn run_writes_progress_to_its_own_file() {
    let user = User::new();
    let file = user.home.path().join("progress.jsonl");
    let path = file.to_str().unwrap();
    for (program, expected) in [
        ("true", "api-unreachable"),
        ("no-such-program", "command-not-found"),
    ] {
        let output = user.slipway(&["run", "--json-status", path, "--", program]);
        assert_eq!((code(&output), stdout(&output)), (255, ""));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert_eq!(
            failure(&events(&fs::read_to_string(&file).unwrap())).code,
            expected
        );
    }
}

#[test]
fn a_command_does_not_run_without_a_session() {
    let user = User::new();
    let mark = user.home.path().join("ran");
    let output = user.slipway(&["run", "--", "touch", mark.to_str().unwrap()]);
    assert_eq!(code(&output), 255);
    assert!(!mark.exists(), "the command ran");
    assert_eq!(stdout(&output), "", "standard output belongs to the command");
}

#[test]
fn a_missing_program_is_reported_before_connecting() {
    let user = User::new();
    for program in ["no-such-program", "/no/such/program"] {
        let output = user.slipway(&["run", "--", program]);
        assert_eq!(code(&output), 255);
        let said = stderr(&output);
        assert!(
            said.contains(program) && said.contains("command-not-found") && said.contains("sh -c"),
            "{said}"
        );
        assert!(
            !said.contains("127.0.0.1"),
            "the API server was not asked: {said}"
        );
    }
}

#[test]
fn a_profile_of_an_unknown_context_is_saved_with_a_note() {
    let user = User::new();
    let output = user.slipway(&["profiles", "create", "staging", "--context", "staging"]);
    assert_eq!(code(&output), 0);
    assert_eq!(stdout(&output), "Created staging.\n");
    let edit = "slipway profiles edit staging";
    let said = stderr(&output);
    assert!(said.contains("it has: nowhere") && said.contains(edit), "{said}");
    let said = user.slipway(&["connect", "staging"]);
    assert!(stderr(&said).contains("(context-unknown)"), "{said:?}");
    assert!(stderr(&said).contains(edit), "{said:?}");
    let without = user.slipway(&["connect", "--context", "staging"]);
    assert!(!stderr(&without).contains("profiles edit"), "{without:?}");
}

#[test]
fn contexts_are_listed_without_a_cluster() {
    let user = User::new();
    let listed = user.slipway(&["list", "contexts", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["name"], "nowhere");
    assert_eq!(listed[0]["current"], true);
}

/// Text that sets the clipboard of many terminals (OSC 52), clears the screen by a control character of one byte, and
/// reverses the text after it.
const HOSTILE: &str = "\u{1b}]52;c;ZXZpbA==\u{7}\u{9b}2J\u{202e}";

/// Starts an API server that refuses every request with this message. Returns its address.
fn refusing_server(message: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": message,
    });
    let body = status.to_string();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            // The client may be gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// A user whose kubeconfig has a hostile context, and whose API server refuses with a hostile message.
fn user_among_the_hostile() -> User {
    let user = User::new();
    let server = refusing_server(&format!("{HOSTILE}{}", "x".repeat(100_000)));
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": format!("evil{HOSTILE}"),
        "clusters": [{"name": "evil", "cluster": {"server": server}}],
        "users": [{"name": "dev", "user": {"token": "sesame"}}],
        "contexts": [{"name": format!("evil{HOSTILE}"), "context": {"cluster": "evil", "user": "dev"}}],
    });
    // YAML needs control characters escaped; JSON may have those above ASCII unescaped.
    let kubeconfig = kubeconfig.to_string().replace('\u{9b}', r"\u009b");
    fs::write(user.home.path().join("kubeconfig"), kubeconfig).unwrap();
    user
}

#[test]
fn no_text_from_elsewhere_controls_the_terminal() {
    let user = user_among_the_hostile();
    let steers = |character: char| HOSTILE.contains(character) && !character.is_ascii_graphic();
    let mut all = String::new();
    let mut steered = Vec::new();
    for arguments in [
        &["list", "contexts"][..],
        &["list", "namespaces"],
        &["profiles", "create", "shop", "--context", "gone"],
        &["doctor"],
        &["cleanup"],
        &["connect", "-vv"],
        &["connect", "--detach", "-vv"],
        &["run", "-vv", "--", "true"],
    ] {
        let output = user.slipway(arguments);
        let said = [stdout(&output), stderr(&output)].concat();
        if said.contains(steers) {
            steered.push(arguments);
        }
        all.push_str(&said);
    }
    assert!(steered.is_empty(), "{steered:?}");
    assert!(
        all.contains(r"evil\u{1b}]52;c;ZXZpbA==\u{7}\u{9b}2J\u{202e}"),
        "{all}"
    );
}

#[test]
fn a_long_refusal_is_shortened() {
    let refused = user_among_the_hostile().slipway(&["list", "namespaces"]);
    assert_eq!(code(&refused), 255);
    let said = stderr(&refused);
    assert!(
        said.contains("(api-refused)") && said.len() < 4096,
        "{} bytes",
        said.len()
    );
}

#[test]
fn json_keeps_every_character() {
    let listed = user_among_the_hostile().slipway(&["list", "contexts", "--json"]);
    assert!(!listed.stdout.contains(&0x1b), "{listed:?}");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["name"], format!("evil{HOSTILE}"));
}

#[test]
fn a_profile_exists_from_create_to_delete() {
    let user = User::new();
    let done = |arguments: &[&str]| {
        let output = user.slipway(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        stdout(&output).to_owned()
    };
    done(&[
        "profiles",
        "create",
        "shop",
        "--namespace",
        "shop",
        "--also-proxy",
        "10.3.0.0/16",
    ]);
    assert_eq!(code(&user.slipway(&["profiles", "create", "shop"])), 255);
    let exported = user.home.path().join("other.toml");
    done(&["profiles", "export", "shop", "-o", exported.to_str().unwrap()]);
    done(&["profiles", "import", exported.to_str().unwrap()]);
    let listed: Vec<serde_json::Value> =
        serde_json::from_str(&done(&["profiles", "list", "--json"])).unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|profile| profile["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["other", "shop"]);
    assert_eq!(listed[0]["also-proxy"], listed[1]["also-proxy"]);
    done(&["profiles", "delete", "other"]);
    assert_eq!(code(&user.slipway(&["profiles", "show", "other"])), 255);
}

#[test]
fn an_edit_is_saved_as_written_or_not_at_all() {
    let user = User::new();
    assert_eq!(code(&user.slipway(&["profiles", "create", "shop"])), 0);
    let file = user.home.path().join(".config/slipway/profiles/shop.toml");
    let edit = |editor: &str| user.with("VISUAL", editor, &["profiles", "edit", "shop"]);

    assert_eq!(code(&edit("sed -i '1i # ours'")), 0);
    let good = fs::read_to_string(&file).unwrap();
    assert!(good.starts_with("# ours\nversion = 1\n"), "{good}");

    let refused = edit("sed -i '1i nope = 1'");
    assert_eq!(code(&refused), 255);
    assert!(stderr(&refused).contains("nope"), "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(&file).unwrap(), good);

    assert_eq!(code(&edit("false")), 255);
    assert_eq!(fs::read_to_string(&file).unwrap(), good);
}

#[test]
fn the_laptop_is_cleaned_up_without_the_cluster() {
    let user = User::new();
    let folder = user.home.path().join("run/slipway");
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let dead = folder.join("shop-a1b2c3.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let listed = user.slipway(&["cleanup"]);
    assert!(
        stdout(&listed).contains("shop-a1b2c3.sock"),
        "{}",
        stdout(&listed)
    );
    assert!(!dead.exists());
    assert_eq!(code(&listed), 255);
    assert!(
        stderr(&listed).contains("(api-unreachable)"),
        "{}",
        stderr(&listed)
    );
}
