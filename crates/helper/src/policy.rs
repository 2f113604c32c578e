//! Policy of the laptop: decides which networks may be routed into a tunnel. No I/O except reading the settings.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use serde::Deserialize;
use slipway_helper_api::{
    HelperRefusal, MAX_ADDRESSES, MAX_RANGES, OWN_DEVICES, RangeTrouble, Route, RouteOrigin, TunnelCidr,
};
use slipway_laptop::is_private;

/// Settings of the administrator, from `/etc/slipway/helper.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policy {
    /// Public networks that may be routed as whole networks.
    allow_ranges: Vec<TunnelCidr>,
    /// Networks that are never routed, private or public. Takes precedence over `allow_ranges`.
    deny_ranges: Vec<IpNet>,
}

impl Policy {
    /// Reads the file; without one the built-in rules apply. A file that users other than root can write, or that does
    /// not parse, is an error: with a guess the helper might route a network that the file should deny.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).context("Failed to open the helper's settings"),
        };
        let metadata = file
            .metadata()
            .context("Failed to read the owner of the helper's settings")?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            bail!(
                "{} must belong to root and be writable only by root: use `chown root` and `chmod go-w`",
                path.display()
            );
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .context("Failed to read the helper's settings")?;
        toml::from_str(&text).context("Failed to parse the helper's settings")
    }

    /// Checks all networks of a lease together.
    pub(crate) fn check(&self, routes: impl Iterator<Item = Route>) -> Result<(), HelperRefusal> {
        let (mut ranges, mut addresses) = (0, 0);
        for route in routes {
            if let Some(why) = self.trouble(route) {
                return Err(HelperRefusal::RangeRefused {
                    range: route.net,
                    why,
                });
            }
            if route.net.is_single() {
                addresses += 1
            } else {
                ranges += 1
            }
        }
        if ranges > MAX_RANGES {
            return Err(HelperRefusal::TooManyRoutes {
                given: ranges,
                limit: MAX_RANGES,
            });
        }
        if addresses > MAX_ADDRESSES {
            return Err(HelperRefusal::TooManyRoutes {
                given: addresses,
                limit: MAX_ADDRESSES,
            });
        }
        Ok(())
    }

    fn trouble(&self, route: Route) -> Option<RangeTrouble> {
        let range = route.net;
        if range.overlaps(OWN_DEVICES) {
            return Some(RangeTrouble::HelpersOwn);
        }
        if self.deny_ranges.iter().any(|denied| range.overlaps(*denied)) {
            return Some(RangeTrouble::Denied);
        }
        let inside = |net: &IpNet| net.contains(&range.net());
        let allowed = self
            .allow_ranges
            .iter()
            .map(TunnelCidr::net)
            .any(|net| inside(&net));
        if allowed || is_private(range.net()) {
            return None;
        }
        match (range.is_single(), route.origin) {
            (true, RouteOrigin::User) => None,
            (true, RouteOrigin::Declared | RouteOrigin::Learned) => Some(RangeTrouble::PublicByCluster),
            (false, _) => Some(RangeTrouble::Public),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    fn check(policy: &Policy, text: &str) -> Result<(), RangeTrouble> {
        check_by(policy, text, RouteOrigin::User)
    }

    fn check_by(policy: &Policy, text: &str, origin: RouteOrigin) -> Result<(), RangeTrouble> {
        match policy.check([Route::new(text.parse().expect("range"), origin)].into_iter()) {
            Ok(()) => Ok(()),
            Err(HelperRefusal::RangeRefused { why, .. }) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn public_addresses_are_routed_only_one_by_one() {
        let policy = Policy::default();
        for text in [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "198.19.0.0/16",
            "fd00::/32",
        ] {
            assert_eq!(check(&policy, text), Ok(()), "{text}");
        }
        for text in ["8.8.8.8/32", "2001:4860:4860::8888/128"] {
            assert_eq!(check(&policy, text), Ok(()), "{text}");
        }
        for text in [
            "8.8.8.0/24",
            "172.0.0.0/8",
            "192.0.0.0/8",
            "8.8.8.8/31",
            "2001:4860:4860::/64",
        ] {
            assert_eq!(check(&policy, text), Err(RangeTrouble::Public), "{text}");
        }
        for text in ["198.18.0.0/16", "198.18.0.0/15", "198.18.3.2/32"] {
            assert_eq!(check(&policy, text), Err(RangeTrouble::HelpersOwn), "{text}");
        }
    }

    #[test]
    fn a_cluster_cannot_declare_public_addresses() {
        let policy: Policy = toml::from_str("allow_ranges = ['34.118.224.0/20']").expect("settings");
        for origin in [RouteOrigin::Learned, RouteOrigin::Declared] {
            for text in ["1.1.1.1/32", "140.82.112.3/32", "2001:4860:4860::8888/128"] {
                assert_eq!(
                    check_by(&policy, text, origin),
                    Err(RangeTrouble::PublicByCluster),
                    "{text}"
                );
            }
            for text in ["10.96.0.10/32", "34.118.224.10/32", "fd00::10/128"] {
                assert_eq!(check_by(&policy, text, origin), Ok(()), "{text}");
            }
        }
    }

    #[test]
    fn the_administrators_rules_take_precedence() {
        let policy: Policy = toml::from_str(
            "allow_ranges = ['34.118.224.0/20']\ndeny_ranges = ['10.9.0.0/16', '34.118.225.0/24']",
        )
        .expect("settings");
        assert_eq!(check(&policy, "34.118.226.0/24"), Ok(()));
        assert_eq!(check(&policy, "34.118.224.0/20"), Err(RangeTrouble::Denied));
        assert_eq!(check(&policy, "34.0.0.0/8"), Err(RangeTrouble::Denied));
        assert_eq!(check(&policy, "34.119.0.0/16"), Err(RangeTrouble::Public));
        assert_eq!(check(&policy, "10.9.8.7/32"), Err(RangeTrouble::Denied));
        assert_eq!(check(&policy, "10.10.0.0/16"), Ok(()));
        assert!(toml::from_str::<Policy>("allow_ranges = ['0.0.0.0/0']").is_err());
        assert!(
            toml::from_str::<Policy>("allow_range = []").is_err(),
            "a misspelled rule is an error"
        );
    }

    #[test]
    fn ranges_and_addresses_have_separate_limits() {
        let policy = Policy::default();
        let by_user = |net| Route::new(net, RouteOrigin::User);
        let ranges: Vec<_> = (0..=255)
            .map(|n| by_user(format!("10.{n}.0.0/16").parse().expect("range")))
            .collect();
        let addresses: Vec<_> = (0..4096u32)
            .map(|n| TunnelCidr::single(IpAddr::V4(Ipv4Addr::from_bits(0x0808_0000 + n))).expect("public"))
            .map(by_user)
            .collect();
        let one_more = [
            by_user("192.168.0.0/16".parse().expect("range")),
            by_user("9.9.9.9".parse().expect("address")),
        ];
        let all = || ranges.iter().chain(&addresses).copied();
        assert_eq!(policy.check(all()), Ok(()));
        assert_eq!(
            policy.check(all().chain(one_more[..1].iter().copied())),
            Err(HelperRefusal::TooManyRoutes {
                given: 257,
                limit: MAX_RANGES
            })
        );
        assert_eq!(
            policy.check(all().chain(one_more[1..].iter().copied())),
            Err(HelperRefusal::TooManyRoutes {
                given: 4097,
                limit: MAX_ADDRESSES
            })
        );
    }

    #[test]
    fn settings_that_others_could_write_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("helper.toml");
        std::fs::write(&path, "").expect("write");
        let mode = |mode| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        mode(0o666);
        assert!(Policy::read(&path).is_err());
        mode(0o644);
        assert_eq!(
            Policy::read(&path).is_ok(),
            nix::unistd::Uid::effective().is_root(),
            "the file belongs to root only if the test runs as root"
        );
        assert_eq!(
            Policy::read(&folder.path().join("none")).expect("no settings"),
            Policy::default()
        );
    }

    proptest! {
        #[test]
        fn only_few_public_addresses_are_accepted(nets in prop::collection::vec((any::<u32>(), 0u8..=32), 0..40)) {
            let routes: Vec<TunnelCidr> = nets
                .into_iter()
                .filter_map(|(bits, prefix)| Ipv4Net::new(Ipv4Addr::from_bits(bits), prefix).ok())
                .filter_map(|net| TunnelCidr::try_from(IpNet::from(net.trunc())).ok())
                .collect();
            let by_user = routes.iter().map(|net| Route::new(*net, RouteOrigin::User));
            if Policy::default().check(by_user).is_ok() {
                let all: Vec<IpNet> = routes.iter().map(TunnelCidr::net).collect();
                // The union, so that two halves cannot add up to a network that is refused as a whole.
                let public: u64 = IpNet::aggregate(&all)
                    .into_iter()
                    .filter(|net| !is_private(*net))
                    .map(|net| 1u64 << (32 - net.prefix_len()))
                    .sum();
                prop_assert!(public <= MAX_ADDRESSES as u64);
            }
        }
    }
}
