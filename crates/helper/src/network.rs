//! Links, addresses and routes, through rtnetlink.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::RuleAttribute;
use nix::errno::Errno;
use rtnetlink::{Handle, IpVersion, LinkUnspec, RouteMessageBuilder};
use slipway_helper_api::TUN_MTU;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Who made a route, in the kernel's eyes: ours are told by it (rtnetlink(7), `rtm_protocol`).
pub(crate) const PROTOCOL: u8 = 201;

/// A route in some table but the kernel's own `local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownRoute {
    pub(crate) net: IpNet,
    pub(crate) gateways: Vec<IpAddr>,
    /// Interface index; 0 where there are several.
    pub(crate) index: u32,
    /// Interface name, for people.
    pub(crate) device: String,
    pub(crate) origin: Origin,
}

/// Who made a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The kernel, from an address: the laptop is attached to that network.
    Attached,
    /// This helper, or one before it.
    Ours,
    /// Anyone else.
    Other,
}

/// The routing socket and what drives it.
#[derive(Debug)]
pub(crate) struct Network {
    handle: Handle,
    /// The kernel answers a dump with EBUSY while another one runs on the same socket.
    dumping: Mutex<()>,
    _driver: JoinSet<()>,
}

impl Network {
    /// Opens the socket. Needs a runtime.
    pub(crate) fn open() -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Self {
            handle,
            dumping: Mutex::new(()),
            _driver: driver,
        })
    }

    /// Gives a new device its MTU and addresses and sets it up. Tells whether it could have the IPv6 one.
    pub(crate) async fn configure(&self, index: u32, v4: Ipv4Net, v6: Ipv6Net) -> Result<bool, Errno> {
        // Without this the kernel would speak IPv6 autoconfiguration into the tunnel. Where IPv6 is off it is refused.
        let quiet = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let message = LinkUnspec::new_with_index(index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![quiet]))
            .build();
        let has_v6 = self.handle.link().set(message).execute().await.is_ok();
        let message = LinkUnspec::new_with_index(index)
            .mtu(u32::from(TUN_MTU))
            .up()
            .build();
        self.handle
            .link()
            .set(message)
            .execute()
            .await
            .map_err(|error| errno(&error))?;
        self.handle
            .address()
            .add(index, v4.addr().into(), v4.prefix_len())
            .execute()
            .await
            .map_err(|error| errno(&error))?;
        let mut v6 = self
            .handle
            .address()
            .add(index, v6.addr().into(), v6.prefix_len());
        // Nobody else can have it on a device of ours. Unless that is said, programs do not get it as their address until
        // the kernel has come to see so.
        v6.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        let v6 = v6.execute().await;
        Ok(has_v6 && v6.is_ok())
    }

    /// Adds a route into the device. One that is there already is no error.
    pub(crate) async fn add_route(&self, index: u32, net: IpNet) -> Result<(), Errno> {
        match self
            .handle
            .route()
            .add(route(index, net))
            .execute()
            .await
            .map_err(|error| errno(&error))
        {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Removes a route into the device. One that is not there is no error.
    pub(crate) async fn remove_route(&self, index: u32, net: IpNet) -> Result<(), Errno> {
        match self
            .handle
            .route()
            .del(route(index, net))
            .execute()
            .await
            .map_err(|error| errno(&error))
        {
            // ENODEV: the client closed its TUN, and the routes went with it.
            Ok(()) | Err(Errno::ESRCH | Errno::ENOENT | Errno::ENODEV) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Removes a device of ours, and with it addresses and routes, whoever still holds its descriptor.
    pub(crate) async fn remove_link(&self, index: u32) -> Result<(), Errno> {
        match self
            .handle
            .link()
            .del(index)
            .execute()
            .await
            .map_err(|error| errno(&error))
        {
            Ok(()) | Err(Errno::ENODEV) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Every unicast route of the laptop, but those of the table `local`.
    pub(crate) async fn routes(&self) -> Result<Vec<KnownRoute>, Errno> {
        let _alone = self.dumping.lock().await;
        let mut names = HashMap::new();
        let mut links = self.handle.link().get().execute();
        while let Some(link) = links.try_next().await.map_err(|error| errno(&error))? {
            let name = link.attributes.into_iter().find_map(|attribute| {
                if let LinkAttribute::IfName(name) = attribute {
                    Some(name)
                } else {
                    None
                }
            });
            names.insert(link.header.index, name.unwrap_or_default());
        }
        let mut known = Vec::new();
        for family in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let mut routes = self.handle.route().get(family).execute();
            while let Some(message) = routes.next().await {
                known.extend(read_route(&message.map_err(|error| errno(&error))?, &names));
            }
        }
        Ok(known)
    }

    /// Removes routes and rules that carry our protocol number: what a helper before this one could not take with it.
    pub(crate) async fn sweep(&self) -> Result<usize, Errno> {
        let _alone = self.dumping.lock().await;
        let ours = RouteProtocol::Other(PROTOCOL);
        let mut swept = 0;
        for family in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let routes: Vec<RouteMessage> = self
                .handle
                .route()
                .get(family)
                .execute()
                .try_collect()
                .await
                .map_err(|error| errno(&error))?;
            for message in routes
                .into_iter()
                .filter(|message| message.header.protocol == ours)
            {
                // A session whose helper died may still hold its device; the route is gone when it lets go.
                if self.handle.route().del(message).execute().await.is_ok() {
                    swept += 1;
                }
            }
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            let rules: Vec<_> = self
                .handle
                .rule()
                .get(version)
                .execute()
                .try_collect()
                .await
                .map_err(|error| errno(&error))?;
            for rule in rules
                .into_iter()
                .filter(|rule| rule.attributes.contains(&RuleAttribute::Protocol(ours)))
            {
                if self.handle.rule().del(rule).execute().await.is_ok() {
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }
}

fn route(index: u32, net: IpNet) -> RouteMessage {
    match net {
        IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.addr(), net.prefix_len())
            .output_interface(index)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .scope(RouteScope::Link)
            .build(),
        IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.addr(), net.prefix_len())
            .output_interface(index)
            .protocol(RouteProtocol::Other(PROTOCOL))
            .build(),
    }
}

fn read_route(message: &RouteMessage, names: &HashMap<u32, String>) -> Option<KnownRoute> {
    let header = &message.header;
    if header.kind != RouteType::Unicast {
        return None;
    }
    // The kernel leaves the destination of a default route out.
    let mut destination = if header.address_family == AddressFamily::Inet6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    };
    let (mut gateways, mut index, mut table) = (Vec::new(), 0, u32::from(header.table));
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(address) = attribute {
            destination = ip(address)?;
        } else if let RouteAttribute::Oif(oif) = attribute {
            index = *oif;
        } else if let RouteAttribute::Table(number) = attribute {
            table = *number;
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            gateways.extend(hops.iter().flat_map(|hop| &hop.attributes).filter_map(gateway));
        } else {
            gateways.extend(gateway(attribute));
        }
    }
    if table == u32::from(libc::RT_TABLE_LOCAL) {
        return None;
    }
    let origin = if header.protocol == RouteProtocol::Kernel {
        Origin::Attached
    } else if header.protocol == RouteProtocol::Other(PROTOCOL) {
        Origin::Ours
    } else {
        Origin::Other
    };
    let net = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some(KnownRoute {
        net,
        gateways,
        index,
        device: names.get(&index).cloned().unwrap_or_default(),
        origin,
    })
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Gateway(address) = attribute {
        return ip(address);
    }
    // An IPv4 route through an IPv6 gateway, or the other way round.
    let RouteAttribute::Via(via) = attribute else {
        return None;
    };
    if let RouteVia::Inet(address) = via {
        return Some((*address).into());
    }
    if let RouteVia::Inet6(address) = via {
        Some((*address).into())
    } else {
        None
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        return Some((*address).into());
    }
    if let RouteAddress::Inet6(address) = address {
        Some((*address).into())
    } else {
        None
    }
}

fn errno(error: &rtnetlink::Error) -> Errno {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return Errno::EIO;
    };
    Errno::from_raw(message.raw_code().saturating_abs())
}
