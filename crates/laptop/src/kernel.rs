//! Routes of the kernel, through rtnetlink.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use nix::errno::Errno;
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::overridden::{Overridden, Probe, overridden, probes};
use crate::route::{KnownRoute, Maker, PROTOCOL, RouteTo};
use crate::rule::RoutingRule;

mod rule;

/// Routing socket (rtnetlink).
#[derive(Debug)]
pub struct Kernel {
    handle: Handle,
    /// Lock for dumps: during a dump the kernel answers another one on the same socket with EBUSY.
    dumping: Mutex<()>,
    _driver: AbortOnDropHandle<()>,
}

impl Kernel {
    /// Opens the socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn open() -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self {
            handle,
            dumping: Mutex::new(()),
            _driver: AbortOnDropHandle::new(tokio::spawn(connection)),
        })
    }

    /// Returns the socket's handle, for other messages. Hold [`dumping`](Self::dumping) during dumps.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for the lock for dumps.
    pub async fn dumping(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.dumping.lock().await
    }

    /// Returns every unicast route of the laptop, except those of the table `local`.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub async fn routes(&self) -> Result<Vec<KnownRoute>, Errno> {
        let _lock = self.dumping().await;
        let names = self.device_names().await?;
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

    /// Returns where the kernel would send a packet of this process to each address, by all tables and rules.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub async fn routes_to(&self, addresses: &[IpAddr]) -> Result<Vec<RouteTo>, Errno> {
        let names = {
            let _lock = self.dumping().await;
            self.device_names().await?
        };
        let mut answers = Vec::with_capacity(addresses.len());
        for address in addresses {
            answers.push(self.route_to(*address, &names).await?);
        }
        Ok(answers)
    }

    /// Returns every routing rule of the laptop.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub async fn rules(&self) -> Result<Vec<RoutingRule>, Errno> {
        let _lock = self.dumping().await;
        let mut known = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let mut rules = self.handle.rule().get(version).execute();
            while let Some(message) = rules.next().await {
                known.push(rule::read(&message.map_err(|error| errno(&error))?));
            }
        }
        Ok(known)
    }

    /// Returns which parts of these ranges, which a session routes, the kernel sends elsewhere. Asks about this process's
    /// user.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub async fn overridden(&self, ranges: &[IpNet]) -> Result<Vec<Overridden>, Errno> {
        let (answers, rules) = self.probed(ranges).await?;
        Ok(overridden(&answers, &rules, nix::unistd::geteuid().as_raw()))
    }

    /// Asks about the parts of these ranges that may be routed differently. Returns the answers, and the routing rules.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub async fn probed(&self, ranges: &[IpNet]) -> Result<(Vec<(Probe, RouteTo)>, Vec<RoutingRule>), Errno> {
        let probes = probes(ranges, &self.routes().await?);
        let addresses: Vec<IpAddr> = probes.iter().map(|probe| probe.address).collect();
        let answers = self.routes_to(&addresses).await?;
        Ok((probes.into_iter().zip(answers).collect(), self.rules().await?))
    }

    async fn route_to(&self, address: IpAddr, names: &HashMap<u32, String>) -> Result<RouteTo, Errno> {
        let mut question = match address {
            IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(address, 32)
                .build(),
            IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(address, 128)
                .build(),
        };
        // Ask for the matching route, not only for its result, and for its table, which is always `main` otherwise.
        question.header.flags |= RouteFlags::FibMatch | RouteFlags::LookupTable;
        let answers = self.handle.route().get(question).execute();
        match std::pin::pin!(answers).try_next().await {
            Ok(Some(message)) if message.header.kind == RouteType::Local => Ok(RouteTo::Local),
            Ok(answer) => {
                let route = answer.and_then(|message| read_route(&message, names));
                Ok(route.map_or(RouteTo::None, RouteTo::By))
            }
            Err(error) => {
                let errno = errno(&error);
                // The last three stem from routes of the types unreachable, blackhole and prohibit (ip-route(8)).
                let no_route = [
                    Errno::ENETUNREACH,
                    Errno::EHOSTUNREACH,
                    Errno::EINVAL,
                    Errno::EACCES,
                ];
                if no_route.contains(&errno) {
                    Ok(RouteTo::None)
                } else {
                    Err(errno)
                }
            }
        }
    }

    async fn device_names(&self) -> Result<HashMap<u32, String>, Errno> {
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
        Ok(names)
    }
}

fn read_route(message: &RouteMessage, names: &HashMap<u32, String>) -> Option<KnownRoute> {
    let header = &message.header;
    if header.kind != RouteType::Unicast {
        return None;
    }
    // The kernel omits the destination of a default route.
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
    let maker = if header.protocol == RouteProtocol::Kernel {
        Maker::Kernel
    } else if header.protocol == RouteProtocol::Other(PROTOCOL) {
        Maker::Helper
    } else {
        Maker::Other
    };
    let net = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some(KnownRoute {
        net,
        gateways,
        index,
        device: names.get(&index).cloned().unwrap_or_default(),
        maker,
        table,
    })
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Gateway(address) = attribute {
        return ip(address);
    }
    // An IPv4 route through an IPv6 gateway, or the reverse.
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

/// Returns the kernel's error number in an error of the routing socket, or EIO if it has none.
pub fn errno(error: &rtnetlink::Error) -> Errno {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return Errno::EIO;
    };
    Errno::from_raw(message.raw_code().saturating_abs())
}
