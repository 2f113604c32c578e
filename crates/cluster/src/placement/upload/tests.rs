//! Tests of upload.

use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::super::tests::placement;
use super::*;
use crate::placement::manifest;
use crate::placement::shape::Shape;

/// Shells that a pod may have.
const SHELLS: &[&[&str]] = &[&["sh"], &["bash"], &["busybox", "sh"]];

/// Replacement for the agent: prints its arguments and the key that it found.
const AGENT: &str = "#!/bin/sh\necho \"$@\"; cat key; echo\n";

fn run(shell: &[&str], script: &str, folder: &Path) -> Command {
    let mut command = Command::new(shell[0]);
    let here = script.replace(AGENT_FOLDER, folder.to_str().unwrap());
    command.args(&shell[1..]).arg("-c").arg(here);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn talk(command: &mut Command, total: usize) -> (Talk<ChildStdin, ChildStdout>, tokio::process::Child) {
    let mut child = command.spawn().unwrap();
    let (stdin, stdout) = (
        child.stdin.take().unwrap(),
        BufReader::new(child.stdout.take().unwrap()),
    );
    (
        Talk {
            stdin,
            stdout,
            sent: 0,
            total,
        },
        child,
    )
}

/// Returns the replacement padded to several chunks, so that a shell that reads ahead would swallow the key.
fn agent() -> Vec<u8> {
    let mut agent = AGENT.as_bytes().to_vec();
    agent.extend(std::iter::repeat_n(b"#padding\n", 20_000).flatten());
    agent
}

#[tokio::test]
#[ignore = "needs bash and busybox"]
async fn the_container_becomes_the_agent_in_either_order() {
    let binary = agent();
    let placement = Placement {
        binary: &binary,
        ..placement()
    };
    for shell in SHELLS {
        for upload_first in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut container = run(
                shell,
                &manifest::script(&placement, &Shape::default()),
                folder.path(),
            );
            let mut upload = run(shell, &script(binary.len()), folder.path());
            let started = (!upload_first).then(|| container.spawn().unwrap());
            let (mut talk, mut child) = talk(&mut upload, binary.len());
            while upload_first && !folder.path().join("start").exists() {
                tokio::task::yield_now().await;
            }
            let started = match started {
                Some(started) => started,
                None => container.spawn().unwrap(),
            };
            talk.through(&placement, &|_| ()).await.ok().unwrap();
            assert!(child.wait().await.unwrap().success());
            let output = timeout(STALL_PATIENCE, started.wait_with_output())
                .await
                .unwrap()
                .unwrap();
            let here = folder.path().display();
            let expected = format!(
                "serve --dir {here} --key-sha256 {} --port 7600 --grace 600\n{}\n",
                placement.key.fingerprint(),
                placement.key.to_hex()
            );
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                expected,
                "{shell:?}, {output:?}"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs bash and busybox"]
async fn a_cut_connection_leaves_no_agent_or_container() {
    for shell in SHELLS {
        let folder = tempfile::tempdir().unwrap();
        let mut container = run(
            shell,
            &manifest::script(&placement(), &Shape::default()),
            folder.path(),
        );
        let mut upload = run(shell, &script(1000), folder.path());
        let container = container.spawn().unwrap();
        let (mut talk, child) = talk(&mut upload, 1000);
        talk.expect("want").await.ok().unwrap();
        talk.send(&[0; 100]).await.ok().unwrap();
        drop(talk.stdin);
        let output = child.wait_with_output().await.unwrap();
        assert!(!output.status.success());
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "the program arrived incomplete\n"
        );
        let ended = timeout(STALL_PATIENCE, container.wait_with_output()).await;
        let ended = ended.unwrap().unwrap();
        assert!(!ended.status.success(), "{shell:?}");
        assert!(!folder.path().join("agent").exists());
        assert!(!folder.path().join("key").exists());
    }
}

#[tokio::test]
async fn a_container_without_an_upload_ends_itself() {
    let folder = tempfile::tempdir().unwrap();
    let script = manifest::script(&placement(), &Shape::default());
    let begins = format!("timeout {} ", manifest::UPLOAD_BEGINS.as_secs());
    assert!(script.contains(&begins), "{script}");
    // The same script with a shorter wait.
    let mut container = run(&["sh"], &script.replace(&begins, "timeout 0.2 "), folder.path());
    let ended = timeout(STALL_PATIENCE, container.spawn().unwrap().wait_with_output()).await;
    assert!(!ended.unwrap().unwrap().status.success());

    // A shared pod ends with it.
    let folder = tempfile::tempdir().unwrap();
    let script = manifest::script(&placement(), &Shape::default().shared());
    let script = script
        .replace(&begins, "timeout 0.2 ")
        .replace("kill 1'", "echo the pod ends'");
    let ended = run(&["sh"], &script, folder.path())
        .spawn()
        .unwrap()
        .wait_with_output();
    let ended = timeout(STALL_PATIENCE, ended).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "the pod ends\n");
}

#[tokio::test]
#[ignore = "needs bash and busybox"]
async fn the_shell_of_a_shared_pod_ends_the_pod_after_its_agent() {
    let binary = b"#!/bin/sh\ntrap 'echo goodbye; exit 3' TERM\necho serves\nwhile :; do sleep 0.1; done\n";
    let placement = Placement {
        binary,
        ..placement()
    };
    for shell in SHELLS {
        let folder = tempfile::tempdir().unwrap();
        // What ends the pod would end this machine.
        let shared = manifest::script(&placement, &Shape::default().shared());
        let harmless = shared.replace("kill 1'", "echo the pod ends'");
        assert_ne!(shared, harmless);
        let mut container = run(shell, &harmless, folder.path()).spawn().unwrap();
        let mut upload = run(shell, &script(binary.len()), folder.path());
        let (mut talk, mut child) = talk(&mut upload, binary.len());
        talk.through(&placement, &|_| ()).await.ok().unwrap();
        assert!(child.wait().await.unwrap().success());
        let mut lines = BufReader::new(container.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("serves"));
        let pid = container.id().unwrap().to_string();
        assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
        assert_eq!(
            lines.next_line().await.unwrap().as_deref(),
            Some("goodbye"),
            "{shell:?}"
        );
        assert_eq!(
            lines.next_line().await.unwrap().as_deref(),
            Some("the pod ends"),
            "{shell:?}"
        );
        assert!(timeout(STALL_PATIENCE, container.wait()).await.is_ok());
    }
}

/// A transfer of `total` bytes over a pipe, and the pod's end of it.
fn piped(
    capacity: usize,
    total: usize,
) -> (
    Talk<WriteHalf<DuplexStream>, ReadHalf<DuplexStream>>,
    DuplexStream,
) {
    let (laptop, pod) = duplex(capacity);
    let (reader, writer) = tokio::io::split(laptop);
    let talk = Talk {
        stdin: writer,
        stdout: BufReader::new(reader),
        sent: 0,
        total,
    };
    (talk, pod)
}

#[tokio::test]
async fn progress_reaches_the_total() {
    let (mut talk, mut pod) = piped(1 << 20, 150_000);
    let binary = vec![1; 150_000];
    let placement = Placement {
        binary: &binary,
        ..placement()
    };
    pod.write_all(b"want\nkey\nok\n").await.unwrap();
    let seen = Mutex::new(Vec::new());
    let progress = |progress| {
        let Progress::Uploading { sent, total } = progress else {
            panic!("{progress:?}")
        };
        assert_eq!(total, 150_000);
        seen.lock().unwrap().push(sent);
    };
    talk.through(&placement, &progress).await.ok().unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 65_536, 131_072, 150_000]);
}

#[tokio::test]
async fn an_image_with_its_own_agent_gets_only_the_key() {
    let (mut talk, mut pod) = piped(1 << 20, 5);
    pod.write_all(b"have\nkey\nok\n").await.unwrap();
    talk.through(&placement(), &|_| ()).await.ok().unwrap();
    drop(talk);
    let mut sent = String::new();
    pod.read_to_string(&mut sent).await.unwrap();
    assert_eq!(sent, format!("{}\n", placement().key.to_hex()));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_transfer_is_given_up() {
    let (mut talk, pod) = piped(1024, 5);
    let stopped = talk.through(&placement(), &|_| ()).await;
    assert!(matches!(stopped, Err(Stop::Stalled)));
    drop(pod);
}

#[test]
fn the_exit_code_is_read_from_the_status() {
    let status = serde_json::from_value(serde_json::json!({
        "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with exit code 28",
        "details": {"causes": [{"reason": "ExitCode", "message": "28"}]},
    }));
    assert_eq!(exit_code(&status.unwrap()), Some(28));
}
