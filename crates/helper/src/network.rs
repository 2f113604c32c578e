//! Changes of links, addresses and routes, through rtnetlink.

use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteScope};
use netlink_packet_route::rule::RuleAttribute;
use nix::errno::Errno;
use rtnetlink::{Handle, IpVersion, LinkUnspec, RouteMessageBuilder};
use slipway_helper_api::TUN_MTU;
use slipway_laptop::{Kernel, KnownRoute, PROTOCOL, errno};

/// Routing socket (rtnetlink) of the helper.
#[derive(Debug)]
pub(crate) struct Network {
    kernel: Kernel,
}

impl Network {
    /// Opens the socket. Needs a runtime.
    pub(crate) fn open() -> std::io::Result<Self> {
        Ok(Self {
            kernel: Kernel::open()?,
        })
    }

    /// Returns every unicast route of the laptop, except those of the table `local`.
    pub(crate) async fn routes(&self) -> Result<Vec<KnownRoute>, Errno> {
        self.kernel.routes().await
    }

    fn handle(&self) -> &Handle {
        self.kernel.handle()
    }

    /// Gives a new device its MTU and addresses and sets it up. Returns whether it has the IPv6 address.
    pub(crate) async fn configure(&self, index: u32, v4: Ipv4Net, v6: Ipv6Net) -> Result<bool, Errno> {
        // Without this the kernel would send IPv6 autoconfiguration into the tunnel. The kernel refuses it if IPv6 is
        // off.
        let quiet = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let message = LinkUnspec::new_with_index(index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![quiet]))
            .build();
        let has_v6 = self.handle().link().set(message).execute().await.is_ok();
        let message = LinkUnspec::new_with_index(index)
            .mtu(u32::from(TUN_MTU))
            .up()
            .build();
        self.handle()
            .link()
            .set(message)
            .execute()
            .await
            .map_err(|error| errno(&error))?;
        self.handle()
            .address()
            .add(index, v4.addr().into(), v4.prefix_len())
            .execute()
            .await
            .map_err(|error| errno(&error))?;
        let mut v6 = self
            .handle()
            .address()
            .add(index, v6.addr().into(), v6.prefix_len());
        // No other host can have the address on this device. Without the flag, programs could not use it until the
        // kernel has finished its search for duplicates.
        v6.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        let v6 = v6.execute().await;
        Ok(has_v6 && v6.is_ok())
    }

    /// Adds a route into the device. An existing route is not an error.
    pub(crate) async fn add_route(&self, index: u32, net: IpNet) -> Result<(), Errno> {
        match self
            .handle()
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

    /// Removes a route into the device. A missing route is not an error.
    pub(crate) async fn remove_route(&self, index: u32, net: IpNet) -> Result<(), Errno> {
        match self
            .handle()
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

    /// Removes a device with its addresses and routes, even while a session still holds its descriptor.
    pub(crate) async fn remove_link(&self, index: u32) -> Result<(), Errno> {
        match self
            .handle()
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

    /// Removes routes and rules with Slipway's protocol number, which an earlier helper left. Returns how many.
    pub(crate) async fn sweep(&self) -> Result<usize, Errno> {
        let _lock = self.kernel.dumping().await;
        let ours = RouteProtocol::Other(PROTOCOL);
        let mut swept = 0;
        for family in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let routes: Vec<RouteMessage> = self
                .handle()
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
                // A session whose helper died may still hold its device; its routes end with the device.
                if self.handle().route().del(message).execute().await.is_ok() {
                    swept += 1;
                }
            }
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            let rules: Vec<_> = self
                .handle()
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
                if self.handle().rule().del(rule).execute().await.is_ok() {
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
