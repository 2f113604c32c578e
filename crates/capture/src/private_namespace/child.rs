//! The child process: it makes the namespace, sets it up and then opens listeners in it on request.
//!
//! It has one thread, knows nothing but ports, and ends with the socket to its parent.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire::{self, Hello, Reply, Request, Step};
use crate::tun::{self, CreateError, MAX_PACKET};

/// The namespace's TUN.
const TUN: &str = "in0";
/// The loopback link is the first of every network namespace.
const LOOPBACK: u32 = 1;
/// How many connections may wait to be accepted on one port. They come in a burst when a program opens many.
const BACKLOG: i32 = 4096;
/// The priority of the rule that makes local what comes in by the TUN. It has to come before the rule for `main`.
const INCOMING_RULE: u32 = 10;

/// Runs the child: sets up the namespace, then serves requests from the parent's socket.
pub(super) fn run(parent: BorrowedFd<'_>) -> io::Result<()> {
    // The name in lists of processes, which otherwise follows from /proc/self/exe.
    let _ = prctl::set_name(c"slipway-netns");
    match set_up() {
        Ok(tun) => wire::send(parent, &Hello::Ready.encode(), Some(tun.as_fd()))?,
        Err((step, error)) => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            wire::send(parent, &Hello::Failed(step, errno).encode(), None)?;
            return Err(error);
        }
    }
    serve(parent)
}

/// Answers requests until the parent has closed its end.
fn serve(parent: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        let (message, _) = wire::receive(parent)?;
        let Some(Request { port }) = Request::decode(&message) else {
            return Ok(());
        };
        match listen(port) {
            Ok(listener) => {
                wire::send(parent, &Reply { port, errno: 0 }.encode(), Some(listener.as_fd()))?;
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                wire::send(parent, &Reply { port, errno }.encode(), None)?;
            }
        }
    }
}

/// Opens a listener for every address of both families, or of IPv4 where the kernel has no IPv6.
fn listen(port: u16) -> io::Result<Socket> {
    let (socket, any): (Socket, SocketAddr) = match tcp(Domain::IPV6) {
        Ok(socket) => {
            socket.set_only_v6(false)?;
            (socket, (Ipv6Addr::UNSPECIFIED, port).into())
        }
        Err(_) => (tcp(Domain::IPV4)?, (Ipv4Addr::UNSPECIFIED, port).into()),
    };
    // Connections of an earlier listener may still be open on this port.
    socket.set_reuse_address(true)?;
    socket.bind(&any.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn tcp(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))
}

type Failure = (Step, io::Error);

/// Makes the namespace with its TUN, links, routes and rules. Returns the TUN.
fn set_up() -> Result<OwnedFd, Failure> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|errno| (Step::Namespaces, errno.into()))?;
    // User and group have the same numbers inside as outside: files keep their owners, and no part needs root.
    let map = |file: &str, line: String| fs::write(file, line).map_err(|error| (Step::MapUser, error));
    map("/proc/self/setgroups", "deny".to_owned())?;
    map("/proc/self/uid_map", format!("{user} {user} 1"))?;
    map("/proc/self/gid_map", format!("{group} {group} 1"))?;
    // Set only now, because new namespaces clear it. The socket's end says the same; this also works for a parent
    // whose socket another process holds by accident.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let _ = prctl::set_no_new_privs();

    let tun = tun::create(TUN).map_err(|error| match error {
        CreateError::Open(error) => (Step::OpenTun, error),
        CreateError::Make(error) => (Step::MakeTun, error),
    })?;
    settle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| (Step::Links, error))?;
    runtime.block_on(connect_links())?;
    Ok(tun)
}

/// Applies kernel settings of the namespace. Packets pass without them, so errors are ignored.
fn settle() {
    let settings = [
        ("core/somaxconn", "4096"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/in0/rp_filter", "0"),
        ("ipv4/tcp_slow_start_after_idle", "0"),
        ("ipv6/bindv6only", "0"),
        ("ipv6/conf/lo/disable_ipv6", "0"),
        ("ipv6/conf/in0/disable_ipv6", "0"),
        // No link-local address and no router solicitation: only the programs' connections come out.
        ("ipv6/conf/in0/addr_gen_mode", "1"),
        ("ipv6/conf/in0/accept_ra", "0"),
        ("ipv6/conf/in0/router_solicitations", "0"),
    ];
    for (name, value) in settings {
        drop(fs::write(Path::new("/proc/sys/net").join(name), value));
    }
}

/// Brings the links up, and makes every address local for what comes in by the TUN while all answers go out by it.
///
/// The table `local` gets a default route; in its usual first place it would match the answers as well. So its
/// rule is replaced by one for incoming packets only. It has to be this table: the kernel looks there for whether
/// an answer's source is an address of this machine.
async fn connect_links() -> Result<(), Failure> {
    let (connection, netlink, _) = rtnetlink::new_connection().map_err(|error| (Step::Links, error))?;
    tokio::spawn(connection);
    let tun = nix::net::if_::if_nametoindex(TUN).map_err(|errno| (Step::Links, errno.into()))?;
    let mtu = u32::try_from(MAX_PACKET).unwrap_or(u32::MAX);
    for link in [
        LinkUnspec::new_with_index(LOOPBACK),
        LinkUnspec::new_with_index(tun).mtu(mtu),
    ] {
        done(Step::Links, netlink.link().set(link.up().build()).execute().await)?;
    }

    let inwards = RouteMessageBuilder::<Ipv4Addr>::new().scope(RouteScope::Host);
    let outwards = RouteMessageBuilder::<Ipv4Addr>::new().scope(RouteScope::Link);
    add_routes(&netlink, tun, inwards, outwards).await?;
    order_rules(&netlink, AddressFamily::Inet).await?;
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    let (inwards, outwards) = (
        RouteMessageBuilder::<Ipv6Addr>::new(),
        RouteMessageBuilder::<Ipv6Addr>::new(),
    );
    add_routes(&netlink, tun, inwards, outwards).await?;
    order_rules(&netlink, AddressFamily::Inet6).await
}

async fn add_routes<A>(
    netlink: &Handle,
    tun: u32,
    inwards: RouteMessageBuilder<A>,
    outwards: RouteMessageBuilder<A>,
) -> Result<(), Failure> {
    let inwards = inwards
        .table_id(libc::RT_TABLE_LOCAL.into())
        .kind(RouteType::Local)
        .output_interface(LOOPBACK);
    for route in [inwards, outwards.output_interface(tun)] {
        done(Step::Routes, netlink.route().add(route.build()).execute().await)?;
    }
    Ok(())
}

async fn order_rules(netlink: &Handle, family: AddressFamily) -> Result<(), Failure> {
    let table = RuleAttribute::Table(libc::RT_TABLE_LOCAL.into());
    let mut incoming = RuleMessage::default();
    incoming.header.family = family;
    incoming.header.action = RuleAction::ToTable;
    let mut usual = incoming.clone();
    incoming.attributes.extend([
        RuleAttribute::Priority(INCOMING_RULE),
        RuleAttribute::Iifname(TUN.to_owned()),
        table.clone(),
    ]);
    usual.attributes.extend([RuleAttribute::Priority(0), table]);
    let mut add = netlink.rule().add();
    *add.message_mut() = incoming;
    done(Step::Rules, add.execute().await)?;
    done(Step::Rules, netlink.rule().del(usual).execute().await)
}

fn done(step: Step, result: Result<(), rtnetlink::Error>) -> Result<(), Failure> {
    result.map_err(|error| {
        let errno = if let rtnetlink::Error::NetlinkError(message) = &error {
            message.raw_code().saturating_neg()
        } else {
            libc::EIO
        };
        (step, io::Error::from_raw_os_error(errno))
    })
}
