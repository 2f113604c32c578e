//! Network state of this laptop, as commands need it: routes and name servers.

use std::fs;
use std::io;
use std::net::IpAddr;

use slipway_laptop::{Kernel, KnownRoute, ResolvConf};

/// Returns the laptop's routes.
///
/// # Errors
///
/// When the kernel does not list them.
pub(crate) async fn routes() -> io::Result<Vec<KnownRoute>> {
    Ok(Kernel::open()?.routes().await?)
}

/// Returns the name servers that must stay reachable, by the helper's rule.
pub(crate) fn name_servers_in_use() -> Vec<IpAddr> {
    resolv_conf("/etc/resolv.conf").in_use(&resolv_conf("/run/systemd/resolve/resolv.conf"))
}

/// Parses the text of a resolv.conf.
pub(crate) fn parse(text: &str) -> ResolvConf {
    ResolvConf::parse(text, |device| nix::net::if_::if_nametoindex(device).ok())
}

fn resolv_conf(path: &str) -> ResolvConf {
    parse(&fs::read_to_string(path).unwrap_or_default())
}
