//! Checks of the laptop: kernel, TUN, helper, resolver.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use slipway_capture::private_namespace::remedy;
use slipway_control_api::{Check, Finding, Problem};
use slipway_helper_api::{Build, HelperRefusal, LeaseAccess, Status, Welcome};
use slipway_helper_client::{Client, ClientError};
use slipway_laptop::{HostsLine, TUN_DEVICE, tun_remedy};
use slipway_problem::Fault;
use tokio::time::timeout;

use super::namespaces;
use crate::this_laptop;

/// How long the helper may take to report its status.
const HELPER_PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn namespaces() -> Vec<Finding> {
    vec![match namespaces::attempt().await {
        Ok(Ok(())) => Finding::ok(
            Check::Kernel,
            "You may make user and network namespaces, which capture uses.",
        ),
        Ok(Err(error)) => Finding::warn(
            Check::Kernel,
            format!(
                "The kernel refuses you a user and network namespace: {error}. Slipway rewrites packets instead."
            ),
            format!(
                "This works as well, unless a firewall drops packets that arrive on Slipway's device. To use namespaces, {}.",
                remedy(&error)
            ),
        ),
        Err(error) => Finding::warn(
            Check::Kernel,
            format!("The check whether you may make namespaces failed: {error}."),
            "Connect: Slipway rewrites packets if the kernel refuses namespaces.",
        ),
    }]
}

pub(super) fn tun_device() -> Finding {
    tun(OpenOptions::new().read(true).write(true).open(TUN_DEVICE).err())
}

fn tun(error: Option<io::Error>) -> Finding {
    let Some(error) = error else {
        return Finding::ok(Check::Tun, format!("{TUN_DEVICE} can be opened."));
    };
    let problem = Problem::new(
        "no-tun-device",
        format!("{TUN_DEVICE} cannot be opened: {error}"),
        tun_remedy(&error),
    );
    Finding::problem(Check::Tun, problem)
}

pub(super) async fn helper(socket: &Path) -> Vec<Finding> {
    let asked = async {
        let mut client = Client::connect(socket).await?;
        let status = client.status().await?;
        Ok((client.hello().clone(), status))
    };
    match timeout(HELPER_PATIENCE, asked).await {
        Ok(Ok((welcome, status))) => of_helper(&welcome, &status),
        Ok(Err(error)) => vec![without_helper(socket, &error)],
        Err(_) => vec![without_helper(socket, &ClientError::Silent)],
    }
}

fn of_helper(welcome: &Welcome, status: &Status) -> Vec<Finding> {
    let own = of_access(&welcome.build, status);
    let names = match &status.names {
        Ok(mode) => Finding::ok(
            Check::Helper,
            format!("A session would use this DNS mode: {mode}."),
        ),
        Err(trouble) => {
            let refused = ClientError::Refused(HelperRefusal::DnsUnavailable(trouble.clone()));
            Finding::problem(Check::Helper, refused.problem())
        }
    };
    let servers = if status.name_servers.is_empty() {
        Finding::warn(
            Check::Helper,
            "The laptop has no name servers.",
            "Cluster names work without them. For all other names, connect the laptop to a network.",
        )
    } else {
        let servers: Vec<String> = status.name_servers.iter().map(ToString::to_string).collect();
        Finding::ok(
            Check::Helper,
            format!("The laptop's name servers: {}.", servers.join(", ")),
        )
    };
    vec![own, names, servers]
}

/// Returns whether the helper would give this user a lease, as polkit says without asking the user.
fn of_access(build: &Build, status: &Status) -> Finding {
    let used = in_use(status.yours);
    match &status.access {
        LeaseAccess::Granted => Finding::ok(
            Check::Helper,
            format!("slipway-helper {build} serves you; {used}."),
        ),
        LeaseAccess::AfterQuestion => Finding::ok(
            Check::Helper,
            format!("slipway-helper {build} serves you after polkit has asked for a password; {used}."),
        ),
        LeaseAccess::Refused(refusal) => {
            Finding::problem(Check::Helper, ClientError::Refused(refusal.clone()).problem())
        }
        LeaseAccess::Unknown => Finding::warn(
            Check::Helper,
            format!(
                "slipway-helper {build} runs, but it is not known whether it serves you: polkit does not answer."
            ),
            "Connect: polkit then has more time to answer. If it still does not answer, restart it with `sudo systemctl \
             restart polkit`.",
        ),
    }
}

/// Returns how many sessions of the user have a lease, in words.
fn in_use(yours: usize) -> String {
    match yours {
        0 => "no session of yours uses it".to_owned(),
        1 => "one session of yours uses it".to_owned(),
        several => format!("{several} sessions of yours use it"),
    }
}

fn without_helper(socket: &Path, error: &ClientError) -> Finding {
    let mut problem = error.problem();
    // `NoHelper` names the socket already.
    if !matches!(error, ClientError::NoHelper { .. }) {
        problem.cause = format!("Socket {}: {}", socket.display(), problem.cause);
    }
    Finding::problem(Check::Helper, problem)
}

pub(super) fn resolver() -> Vec<Finding> {
    let nsswitch = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let has_mdns_allow = Path::new("/etc/mdns.allow").exists();
    vec![
        of_hosts_line(&HostsLine::parse(&nsswitch), has_mdns_allow),
        of_resolv_conf(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
    ]
}

fn of_hosts_line(line: &HostsLine, has_mdns_allow: bool) -> Finding {
    let shown = line.shown();
    if !line.asks_dns() {
        return Finding::fail(
            Check::Resolver,
            format!("Programs never ask DNS: the line `hosts: {shown}` of /etc/nsswitch.conf has no `dns`."),
            "Append `dns` to that line.",
        );
    }
    match line.hides_local(has_mdns_allow) {
        Some(hiding) => Finding::warn(
            Check::Resolver,
            format!("`{hiding}` in /etc/nsswitch.conf hides names that end in .local from DNS."),
            "Use names without .local, such as web.shop.svc, or replace it with `mdns4_minimal [NOTFOUND=return]`.",
        ),
        None => Finding::ok(
            Check::Resolver,
            format!("Programs look up names in this order: {shown}."),
        ),
    }
}

fn of_resolv_conf(text: &str) -> Finding {
    let conf = this_laptop::parse(text);
    if !conf.names_servers {
        return Finding::warn(
            Check::Resolver,
            "/etc/resolv.conf names no name server, so programs ask 127.0.0.1.",
            "Connect the laptop to a network, or restore the file.",
        );
    }
    let servers: Vec<String> = conf.addresses().iter().map(ToString::to_string).collect();
    Finding::ok(
        Check::Resolver,
        format!(
            "Programs ask the name servers of /etc/resolv.conf: {}.",
            servers.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use slipway_control_api::Verdict;
    use slipway_helper_api::{DnsMode, Stranger};

    use super::*;

    fn hosts(line: &str) -> Verdict {
        of_hosts_line(&HostsLine::parse(&format!("hosts: {line}\n")), false).verdict
    }

    #[test]
    fn a_hosts_line_without_dns_fails() {
        assert_eq!(hosts("files"), Verdict::Fail);
        assert_eq!(hosts("files mdns4 [NOTFOUND=return] dns"), Verdict::Warn);
        assert_eq!(hosts("files dns"), Verdict::Ok);
    }

    #[test]
    fn name_servers_are_named() {
        let finding = of_resolv_conf("# x\nnameserver 192.168.1.1\nnameserver\tfd00::1\nsearch corp\n");
        assert!(
            finding.detail.contains("192.168.1.1, fd00::1"),
            "{}",
            finding.detail
        );
        assert_eq!(of_resolv_conf("search corp\n").verdict, Verdict::Warn);
    }

    #[test]
    fn the_helper_serves_whom_polkit_lets() {
        let finding = |access| {
            let status = Status {
                lease: None,
                yours: 1,
                all: 1,
                names: Ok(DnsMode::Redirect),
                name_servers: Vec::new(),
                access,
            };
            of_access(&Build::ours(), &status)
        };
        let refusal = HelperRefusal::NotAuthorized {
            uid: 4242,
            why: Stranger::Denied,
        };
        let granted = finding(LeaseAccess::Granted);
        assert!(
            granted.detail.contains("serves you; one session"),
            "{}",
            granted.detail
        );
        let asked = finding(LeaseAccess::AfterQuestion);
        assert!(
            asked.detail.contains("after polkit has asked"),
            "{}",
            asked.detail
        );
        let refused = finding(LeaseAccess::Refused(refusal));
        assert_eq!(
            (refused.verdict, refused.code.as_deref()),
            (Verdict::Fail, Some("helper-not-authorized"))
        );
        assert_eq!(finding(LeaseAccess::Unknown).verdict, Verdict::Warn);
    }

    #[test]
    fn a_device_that_does_not_open_fails() {
        let finding = tun(Some(io::ErrorKind::NotFound.into()));
        assert_eq!(finding.verdict, Verdict::Fail);
        assert_eq!(tun(None).verdict, Verdict::Ok);
    }
}
