//! Session of a user to whom the kernel refuses user namespaces.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use slipway_cluster_tests::{
    CONNECTING, Desk, Running, on_the_plain_laptop, path_text, program, until_within,
};

on_the_plain_laptop!(packets_are_rewritten_and_programs_see_no_difference);

const PAGE: &str = "http://web.shop.svc.cluster.local";

/// Returns a `slipway` command that may make no user namespaces. The limit is set in a nested namespace, so that no
/// setting of the machine changes.
fn refused(desk: &Desk<'_>, arguments: &[&str]) -> Command {
    let confine = "import ctypes, os, sys\n\
                   user, group = os.getuid(), os.getgid()\n\
                   assert ctypes.CDLL(None).unshare(0x10000000) == 0\n\
                   for name, line in (('self/setgroups', 'deny'), ('self/uid_map', f'{user} {user} 1'),\n\
                   \x20   ('self/gid_map', f'{group} {group} 1'), ('sys/user/max_user_namespaces', '0')):\n\
                   \x20 with open('/proc/' + name, 'w') as file: file.write(line)\n\
                   os.execv(sys.argv[1], sys.argv[1:])";
    let slipway = program("slipway");
    desk.command(
        "python3",
        &[&["-c", confine, path_text(&slipway)], arguments].concat(),
    )
}

/// Returns the result of `connect()` or of a datagram to the echo service, as one word.
fn tried(desk: &Desk<'_>, kind: &str, address: &str, port: u16) -> String {
    let program = format!(
        "import socket, errno\n\
         s = socket.socket(socket.AF_INET, socket.{kind}); s.settimeout(5)\n\
         try:\n  s.connect(('{address}', {port})); s.send(b'hello'); print(s.recv(9).decode())\n\
         except socket.timeout: print('timeout')\n\
         except OSError as e: print(errno.errorcode[e.errno])"
    );
    desk.text("timeout", &["20", "python3", "-c", &program])
        .trim()
        .to_owned()
}

fn packets_are_rewritten_and_programs_see_no_difference(desk: &Desk<'_>) {
    let echo = desk.address("service/echo", "{.spec.clusterIP}");
    let pod = "{.items[?(@.metadata.labels.app==\"echo\")].status.podIP}";
    let pod = desk.address("pods", pod);
    assert_eq!(desk.page(PAGE), None, "not reachable before");

    let doctor = refused(desk, &["doctor", "--json"]).output().unwrap();
    let findings = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        findings.contains("Slipway rewrites packets instead")
            && findings.contains("user.max_user_namespaces"),
        "{findings}"
    );

    let mut session = Running::start(refused(desk, &["connect", "--agent-grace", "5"]));
    let field = |pointer: &str| {
        let status = desk.status();
        Some(status.first()?.pointer(pointer)?.as_str()?.to_owned())
    };
    let connected = until_within(CONNECTING, "the session is connected", || {
        assert!(session.is_alive(), "the session ended: {}", session.said());
        field("/state").as_deref() == Some("connected")
    });
    connected.unwrap();
    assert_eq!(field("/capture/back_end").as_deref(), Some("rewriting"));
    assert!(desk.page(PAGE).is_some(), "a page by its full name");
    assert_eq!(tried(desk, "SOCK_STREAM", &echo, 7000), "hello");
    assert_eq!(tried(desk, "SOCK_DGRAM", &echo, 7000), "hello");
    assert_eq!(tried(desk, "SOCK_STREAM", &pod, 9), "ECONNREFUSED");

    session.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(session.wait(), Some(0), "{}", session.said());
    assert_eq!(desk.page(PAGE), None, "not reachable after");
}
