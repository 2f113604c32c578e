//! Test laptop: separate network and mount namespaces, a LAN with a name server, and the real helper.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use slipway_helper_api::{DEFAULT_SOCKET, DnsModeChoice, DnsPlan, Route, RouteOrigin, TunnelCidr, Zones};
use slipway_helper_client::{Client, Lease, Plan};

/// ID of the helper's user on the test laptop.
pub(crate) const HELPER_UID: u32 = 59_990;
/// Time limit of every wait.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// Name server on the laptop's LAN.
pub(crate) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Runs a test on a separate test laptop.
pub(crate) fn on_a_laptop<F: Future<Output = ()>>(test: impl FnOnce(Laptop) -> F + Send + 'static) {
    assert!(
        nix::unistd::Uid::effective().is_root(),
        "making network namespaces needs root"
    );
    let run = move || {
        let laptop = Laptop::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            tokio::time::timeout(6 * WAIT, test(laptop))
                .await
                .expect("the test ends")
        });
    };
    // Namespaces belong to threads: those of the machine stay unchanged, and these end with their last process.
    let done = thread::spawn(run).join();
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) struct Laptop {
    /// Guard of the LAN, which ends when this is dropped.
    lan: mpsc::Sender<()>,
}

impl Laptop {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).expect("private mounts");
        for folder in ["/run", "/dev/net"] {
            std::fs::create_dir_all(folder).expect("folder");
            mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs");
        }
        run("mknod -m 666 /dev/net/tun c 10 200");
        run(&format!(
            "install -d -o {HELPER_UID} -g {HELPER_UID} /run/slipway-helper"
        ));
        run("ip link set lo up");
        let lan = start_lan();
        run("ip addr add 10.77.0.2/24 dev eth0");
        // Automatic addresses would look like leftovers.
        run("ip link set eth0 addrgenmode none");
        run("ip link set eth0 up");
        run("ip route add default via 10.77.0.1");
        let laptop = Self { lan };
        let started = Instant::now();
        while !laptop
            .trace()
            .links
            .iter()
            .any(|link| link.starts_with("eth0") && link.contains(" UP "))
        {
            assert!(started.elapsed() < WAIT, "the LAN has no carrier");
            thread::sleep(Duration::from_millis(5));
        }
        laptop.set_resolv_conf(&format!("search lan.example\nnameserver {NAME_SERVER}\n"));
        laptop.mount_file("/etc/nsswitch.conf", "hosts: files dns\n");
        laptop
    }

    /// Gives the laptop another address and gateway, as in another network.
    pub(crate) fn move_to(&self, address: &str, gateway: &str) {
        run("ip -4 addr flush dev eth0");
        run(&format!("ip addr add {address} dev eth0"));
        // As DHCP clients do: without the device the kernel looks for a route to the gateway.
        run(&format!("ip route add default via {gateway} dev eth0"));
    }

    /// Replaces `/etc/resolv.conf`.
    pub(crate) fn set_resolv_conf(&self, text: &str) {
        self.mount_file("/etc/resolv.conf", text);
    }

    /// Adds users to the laptop, because the bus and polkit identify users by name.
    pub(crate) fn add_users(&self, users: &[(&str, u32)]) {
        let mut passwd = std::fs::read_to_string("/etc/passwd").expect("file");
        for (name, uid) in users {
            passwd.push_str(&format!("{name}:x:{uid}:{uid}::/:/usr/sbin/nologin\n"));
        }
        self.mount_file("/etc/passwd", &passwd);
    }

    /// Replaces a folder by an empty one.
    pub(crate) fn empty_folder(&self, place: &str) {
        let none: Option<&str> = None;
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs");
        run(&format!("chmod 755 {place}"));
    }

    fn mount_file(&self, place: &str, text: &str) {
        let file = format!("/run/{}", place.replace('/', "-"));
        std::fs::write(&file, text).expect("file");
        let none: Option<&str> = None;
        mount(Some(file.as_str()), place, none, MsFlags::MS_BIND, none).expect("bind mount");
    }

    /// Starts the real helper as a user with only CAP_NET_ADMIN. It serves the test's user.
    pub(crate) fn helper(&self) -> Helper {
        self.helper_with(&["--allow-uid", "0"])
    }

    /// Starts the helper as [`Laptop::helper`] does, with other arguments.
    pub(crate) fn helper_with(&self, arguments: &[&str]) -> Helper {
        let user = HELPER_UID.to_string();
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--bounding-set=-all,+net_admin",
        ]);
        command
            .args(["--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"])
            .arg(helper_path());
        Helper::start(command.args(arguments))
    }

    /// Returns the state that a session can change: links, addresses, routes, rules, nft tables.
    pub(crate) fn trace(&self) -> Trace {
        let say = |words: &str| {
            let output = Command::new("ip").args(words.split(' ')).output().expect("ip");
            let lines = String::from_utf8(output.stdout).expect("text");
            let steady = |line: &str| {
                line.split(" cache ")
                    .next()
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned()
            };
            lines.lines().map(steady).collect::<Vec<_>>()
        };
        Trace {
            links: say("-o -br link"),
            addresses: say("-o -br addr"),
            routes: ["-4 route show table all", "-6 route show table all"]
                .iter()
                .flat_map(|words| say(words))
                .collect(),
            rules: ["-4 rule", "-6 rule"]
                .iter()
                .flat_map(|words| say(words))
                .collect(),
            tables: nft_tables(),
        }
    }

    /// Returns the state with this lease. The kernel adds the route of the device's own IPv6 address a moment after the
    /// address.
    pub(crate) fn trace_with(&self, lease: &Lease) -> Trace {
        let address6 = lease.granted().address6.expect("IPv6 is on");
        wait_until("the address is routed", || {
            self.trace().has_route(&format!("local {address6} "))
        });
        self.trace()
    }

    /// Waits until the laptop has this state.
    pub(crate) async fn looks_like(&self, expected: &Trace) {
        let started = Instant::now();
        loop {
            let seen = self.trace();
            if seen == *expected {
                return;
            }
            assert!(started.elapsed() < WAIT, "expected {expected:#?}\nsaw {seen:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) links: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) routes: Vec<String>,
    pub(crate) rules: Vec<String>,
    pub(crate) tables: BTreeSet<String>,
}

impl Trace {
    pub(crate) fn has_route(&self, words: &str) -> bool {
        self.routes.iter().any(|route| route.starts_with(words))
    }
}

pub(crate) struct Helper {
    child: Child,
}

impl Helper {
    pub(crate) fn start(command: &mut Command) -> Self {
        // The tests wait for the same notification as systemd.
        let notify = PathBuf::from(format!("/run/notify-{:?}", Instant::now()));
        let ready = std::os::unix::net::UnixDatagram::bind(&notify).expect("notify socket");
        std::fs::set_permissions(&notify, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("mode");
        ready.set_read_timeout(Some(WAIT)).expect("timeout");
        let child = command
            .env("NOTIFY_SOCKET", &notify)
            .env("SLIPWAY_LOG", "debug")
            .stderr(log())
            .spawn();
        let helper = Self {
            child: child.expect("the helper starts"),
        };
        let mut message = [0; 16];
        // The end of another test's process interrupts the wait.
        let length = loop {
            match ready.recv(&mut message) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                received => break received.expect("the helper gets ready"),
            }
        };
        assert_eq!(&message[..length], b"READY=1");
        helper
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&mut self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().expect("pid"));
        nix::sys::signal::kill(pid, signal).expect("signal");
        self.child.wait().expect("the helper ends");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log() -> Stdio {
    if std::env::var_os("SLIPWAY_TEST_LOG").is_some() {
        Stdio::inherit()
    } else {
        Stdio::null()
    }
}

/// Path of the helper at which its user can run it: that user may have no access to the build folder.
pub(crate) fn helper_path() -> &'static Path {
    open_to_all(
        Path::new(env!("CARGO_BIN_EXE_slipway-helper")),
        "/run/slipway-helper-under-test",
    )
}

/// Mounts a program at a path that every user can reach. A copy would not do: while another thread starts a program, a
/// file that was just written may count as busy.
pub(crate) fn open_to_all(program: &Path, place: &'static str) -> &'static Path {
    let place = Path::new(place);
    if !place.exists() {
        std::fs::write(place, "").expect("file");
        let none: Option<&str> = None;
        mount(Some(program), place, none, MsFlags::MS_BIND, none).expect("bind mount");
    }
    place
}

pub(crate) async fn connect() -> Client {
    Client::connect(DEFAULT_SOCKET).await.expect("the helper serves")
}

pub(crate) fn ranges(texts: &[&str]) -> Vec<TunnelCidr> {
    texts.iter().map(|text| text.parse().expect("range")).collect()
}

/// Routes with the origin "user".
pub(crate) fn routes(texts: &[&str]) -> Vec<Route> {
    by(RouteOrigin::User, texts)
}

pub(crate) fn by(origin: RouteOrigin, texts: &[&str]) -> Vec<Route> {
    let nets = ranges(texts).into_iter();
    nets.map(|net| Route::new(net, origin)).collect()
}

pub(crate) fn plan(texts: &[&str]) -> Plan {
    Plan::new(routes(texts), None).expect("plan")
}

/// Plan with a DNS redirect to one port, whichever name server a program asks.
pub(crate) fn redirect_plan(texts: &[&str], port: u16) -> Plan {
    redirect_plan_to(texts, [port; 3])
}

/// Plan with a DNS redirect to a port for each name server.
pub(crate) fn redirect_plan_to(texts: &[&str], ports: [u16; 3]) -> Plan {
    let ports = ports.map(|port| port.try_into().expect("port"));
    let dns = DnsPlan::new(Zones::default(), ports, DnsModeChoice::Redirect).expect("plan");
    Plan::new(routes(texts), Some(dns)).expect("plan")
}

/// Waits until a condition holds, by polling.
pub(crate) fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < WAIT, "timeout: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().expect("a program"))
        .args(words)
        .status()
        .expect("it starts");
    assert!(status.success(), "{command}");
}

/// Answers each question with a name and the question, so that the answer shows who sent it. Returns the port.
pub(crate) fn answer_as(name: &'static str, address: SocketAddr) -> u16 {
    let udp = UdpSocket::bind(address).expect("UDP");
    let address = udp.local_addr().expect("address");
    let tcp = TcpListener::bind(address).expect("TCP");
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut question) {
            let answer = [name.as_bytes(), b":", &question[..length]].concat();
            let _ = udp.send_to(&answer, from);
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut question = [0; 512];
            let length = stream.read(&mut question).unwrap_or_default();
            let _ = stream.write_all(&[name.as_bytes(), b":", &question[..length]].concat());
        }
    });
    address.port()
}

/// Asks as any program would. Returns `None` without an answer in time.
pub(crate) fn ask_udp(server: SocketAddr) -> Option<String> {
    let any: SocketAddr = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }
        .parse()
        .expect("address");
    let socket = UdpSocket::bind(any).expect("UDP");
    socket.connect(server).ok()?;
    ask_on(&socket)
}

pub(crate) fn ask_on(socket: &UdpSocket) -> Option<String> {
    socket.set_nonblocking(false).expect("blocking");
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("timeout");
    socket.send(b"who").ok()?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

pub(crate) fn ask_tcp(server: SocketAddr) -> Option<String> {
    let mut stream = std::net::TcpStream::connect_timeout(&server, WAIT).ok()?;
    stream.set_read_timeout(Some(WAIT)).expect("timeout");
    stream.write_all(b"who").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Starts a LAN with the laptop's name server: another network namespace, connected by a veth pair.
fn start_lan() -> mpsc::Sender<()> {
    let (made, wait_made) = mpsc::channel();
    let (joined, wait_joined) = mpsc::channel::<()>();
    let (serving, wait_serving) = mpsc::channel();
    let (end, wait_end) = mpsc::channel::<()>();
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("namespace");
        made.send(nix::unistd::gettid()).expect("the laptop waits");
        wait_joined.recv().expect("the laptop joins");
        run("ip link set lo up");
        run(&format!("ip addr add {NAME_SERVER}/24 dev lan0"));
        run("ip link set lan0 up");
        run("ip addr add 9.9.9.9/32 dev lo");
        answer_as("lan", SocketAddr::new(NAME_SERVER.into(), 53));
        serving.send(()).expect("the laptop waits");
        // The threads that serve keep the namespace; the pair of devices ends with the laptop.
        let _ = wait_end.recv();
    });
    let lan = wait_made.recv().expect("a LAN");
    run(&format!("ip link add eth0 type veth peer name lan0 netns {lan}"));
    joined.send(()).expect("the LAN waits");
    wait_serving.recv().expect("a name server");
    end
}

/// Lists the nftables tables by netlink, because the program `nft` may not be installed.
fn nft_tables() -> BTreeSet<String> {
    const GET_TABLE: u16 = (10 << 8) | 1;
    const REQUEST_DUMP: u16 = 0x301;
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .expect("netlink");
    let mut request = Vec::new();
    request.extend(20u32.to_ne_bytes());
    request.extend(GET_TABLE.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 12]);
    sendto(
        fd.as_raw_fd(),
        &request,
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )
    .expect("dump");
    let mut names = BTreeSet::new();
    let mut buffer = [0; 32 * 1024];
    loop {
        let read = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("tables");
        let mut rest = &buffer[..read];
        while let [l0, l1, l2, l3, k0, k1, ..] = *rest {
            let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
            if u16::from_ne_bytes([k0, k1]) == 3 {
                return names;
            }
            // The name is the first attribute after two headers.
            let size = usize::from(u16::from_ne_bytes([rest[20], rest[21]]));
            names.insert(String::from_utf8_lossy(&rest[24..20 + size - 1]).into_owned());
            rest = &rest[length.next_multiple_of(4)..];
        }
    }
}

/// Path of the example program `session` of this package.
pub(crate) fn session_program() -> PathBuf {
    let this = std::env::current_exe().expect("this test");
    let target = this.parent().and_then(Path::parent).expect("a target folder");
    target.join("examples/session")
}
