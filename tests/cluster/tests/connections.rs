//! Connections, datagrams and pings to addresses of the cluster.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use slipway_cluster_tests::{Desk, on_each_laptop, on_the_plain_laptop};

on_each_laptop!(connect_has_the_result_of_the_far_end, datagrams_go_both_ways);
on_the_plain_laptop!(
    an_answer_after_our_fin_arrives_complete,
    a_ping_is_answered_by_the_pod_alone
);

const POD: &str = "{.items[?(@.metadata.labels.app==\"echo\")].status.podIP}";

/// Returns an address near a pod's that no pod has.
fn unassigned(pod: &str) -> String {
    let (network, _host) = pod.rsplit_once('.').unwrap();
    format!("{network}.254")
}

/// Runs a few lines of Python on the laptop and returns what they print.
fn python(desk: &Desk<'_>, program: &str) -> String {
    desk.text("timeout", &["20", "python3", "-c", program])
        .trim()
        .to_owned()
}

fn connect_error(desk: &Desk<'_>, address: &str, port: u16) -> String {
    python(
        desk,
        &format!(
            "import socket, errno\n\
             s = socket.socket(); s.settimeout(12)\n\
             try:\n  s.connect(('{address}', {port})); print('connected')\n\
             except socket.timeout: print('timeout')\n\
             except OSError as e: print(errno.errorcode[e.errno])"
        ),
    )
}

fn connect_has_the_result_of_the_far_end(desk: &Desk<'_>) {
    let pod = desk.address("pods", POD);
    assert_ne!(
        connect_error(desk, &pod, 7000),
        "connected",
        "not reachable before"
    );
    let session = desk.connect(&[]);
    assert_eq!(connect_error(desk, &pod, 7000), "connected");
    let begun = Instant::now();
    assert_eq!(connect_error(desk, &pod, 9), "ECONNREFUSED");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "refused is refused at once"
    );
    // An address of the pods' range that no pod has.
    let unreachable = connect_error(desk, &unassigned(&pod), 80);
    assert!(
        ["EHOSTUNREACH", "ENETUNREACH"].contains(&unreachable.as_str()),
        "{unreachable}"
    );
    session.disconnect();
    assert_ne!(
        connect_error(desk, &pod, 7000),
        "connected",
        "not reachable after"
    );
}

fn an_answer_after_our_fin_arrives_complete(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let digest = python(
        desk,
        "import socket, hashlib, os\n\
         data = os.urandom(3_000_000)\n\
         s = socket.create_connection(('echo', 7003), 5)\n\
         s.sendall(data); s.shutdown(socket.SHUT_WR)\n\
         answer = b''.join(iter(lambda: s.recv(65536), b''))\n\
         print(hashlib.sha256(data).hexdigest() in answer.decode())",
    );
    assert_eq!(digest, "True");
    session.disconnect();
}

fn datagrams_go_both_ways(desk: &Desk<'_>) {
    let ask = "import socket\n\
               s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)\n\
               ok = 0\n\
               for size in (1, 64, 1400, 8000):\n\
               \x20 s.sendto(b'x' * size, ('ADDRESS', 7000))\n\
               \x20 try: ok += len(s.recv(65536)) == size\n\
               \x20 except OSError: pass\n\
               print(ok)";
    let address = desk.address("service/echo", "{.spec.clusterIP}");
    let ask = ask.replace("ADDRESS", &address);
    assert_ne!(
        desk.output("timeout", &["20", "python3", "-c", &ask]).stdout,
        b"4\n",
        "not reachable before"
    );
    let session = desk.connect(&[]);
    assert_eq!(python(desk, &ask), "4");
    session.disconnect();
}

fn a_ping_is_answered_by_the_pod_alone(desk: &Desk<'_>) {
    let pod = desk.address("pods", POD);
    let answered = |address: &str| {
        let output = desk
            .laptop
            .command_as_root("ping", ["-c", "1", "-W", "2", address])
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(!answered(&pod), "not reachable before");
    let session = desk.connect(&[]);
    assert!(answered(&pod));
    assert!(
        !answered(&unassigned(&pod)),
        "an address that no pod has does not answer"
    );
    session.disconnect();
    assert!(!answered(&pod), "not reachable after");
}
