//! Network of a bed: links and the node's filter. Links are created inside the namespaces that they connect.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::machine::Machine;
use crate::namespace::ip;
use crate::{Addresses, LaptopKind};

/// The node's bridge to all laptops.
const BRIDGE: &str = "laptops";

/// "Public" hosts that answer and that the name server knows.
const PUBLIC_HOSTS: [u8; 3] = [10, 20, 30];

/// A locally administered MAC address.
const BRIDGE_ADDRESS: &str = "02:53:4c:57:00:01";

/// Sets up the node's bridge to the laptops, its other addresses, and the filter.
pub(crate) fn prepare_node(node: &Machine, addresses: Addresses, folder: &Path) -> Result<()> {
    let name = node.name();
    let (_, prefix) = addresses.laptops();
    // With a fixed MAC address: otherwise the bridge takes the lowest one of its ports, which may change with every laptop,
    // and the neighbor tables of the others are then wrong for half a minute.
    ip(&[
        "-n",
        name,
        "link",
        "add",
        BRIDGE,
        "address",
        BRIDGE_ADDRESS,
        "type",
        "bridge",
    ])?;
    add_address(name, BRIDGE, addresses.node(), prefix)?;
    ip(&["-n", name, "link", "set", BRIDGE, "up"])?;
    for host in PUBLIC_HOSTS {
        let [a, b, c, _] = Addresses::PUBLIC.octets();
        add_address(name, "lo", Ipv4Addr::new(a, b, c, host), 32)?;
    }
    add_address(name, "lo", Addresses::BESIDE_CLUSTER, 32)?;
    // The kernel needs a route before kube-proxy's rules translate a service's address, and there is no default route.
    let (services, source) = (
        format!("{}/16", addresses.services()),
        addresses.node().to_string(),
    );
    ip(&["-n", name, "route", "add", &services, "dev", "lo", "src", &source])?;
    let rules = folder.join("node.nft");
    fs::write(&rules, filter(addresses))?;
    node.run("nft", &["-f", &rules.display().to_string()])?;
    node.run("sysctl", &["-qw", "net.ipv4.ip_forward=1"])?;
    Ok(())
}

/// Returns the filter for laptops. It runs before kube-proxy's rules, so that service addresses are not translated.
fn filter(addresses: Addresses) -> String {
    let node = addresses.node();
    let public = Addresses::PUBLIC;
    let api = Addresses::API_PORT;
    format!(
        "table inet slipway-bed {{
    chain laptops {{
        type filter hook prerouting priority mangle; policy accept;
        iifname != \"{BRIDGE}\" accept
        ct state established,related accept
        meta nfproto ipv6 drop
        ip daddr {node} tcp dport {{ {api}, 53, 80, 7000-7003 }} accept
        ip daddr {node} udp dport {{ 53, 7000 }} accept
        ip daddr {{ {node}, {public}/24 }} icmp type echo-request accept
        ip daddr {public}/24 accept
        drop
    }}
}}
"
    )
}

/// Connects a laptop to the node, without a route to other networks.
pub(crate) fn join(laptop: &Machine, kind: LaptopKind, node: &Machine, addresses: Addresses) -> Result<()> {
    let (name, node) = (laptop.name(), node.name());
    let port = format!("lap-{kind}");
    ip(&[
        "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", node,
    ])?;
    ip(&["-n", node, "link", "set", &port, "master", BRIDGE, "up"])?;
    // Laptops must not reach each other.
    ip(&[
        "-n",
        node,
        "link",
        "set",
        &port,
        "type",
        "bridge_slave",
        "isolated",
        "on",
    ])?;
    let (_, prefix) = addresses.laptops();
    add_address(name, "eth0", addresses.laptop(kind), prefix)?;
    ip(&["-n", name, "link", "set", "eth0", "up"])?;
    let public = format!("{}/24", Addresses::PUBLIC);
    ip(&[
        "-n",
        name,
        "route",
        "add",
        &public,
        "via",
        &addresses.node().to_string(),
    ])
}

fn add_address(namespace: &str, link: &str, address: Ipv4Addr, prefix: u8) -> Result<()> {
    ip(&[
        "-n",
        namespace,
        "address",
        "add",
        &format!("{address}/{prefix}"),
        "dev",
        link,
    ])
}
