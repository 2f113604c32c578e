//! Remedies: what a user can do about each refusal of the helper.

use std::borrow::Cow;

use slipway_helper_api::{DnsTrouble, HelperRefusal, RangeTrouble, Stranger};

/// Returns what the user can do about a refusal, as the end of a sentence.
#[must_use]
pub fn refusal_remedy(refusal: &HelperRefusal) -> Cow<'static, str> {
    let remedy = match refusal {
        HelperRefusal::NotAuthorized { uid, why } => return stranger_remedy(why, *uid),
        HelperRefusal::VersionMismatch { .. } => {
            "finish the update, then run `sudo systemctl restart slipway-helper` and connect again"
        }
        HelperRefusal::TooManyLeases { .. } | HelperRefusal::NoFreeSlot => "disconnect another session first",
        HelperRefusal::TooManyRoutes { .. } => "name fewer or wider networks in `also-proxy`",
        HelperRefusal::RangeRefused { why, .. } => range_remedy(*why),
        HelperRefusal::DomainRefused { .. } => {
            "if the domain belongs to the cluster, connect with `--cluster-domain DOMAIN`, or set `cluster-domain` in the \
             profile's `[dns]`"
        }
        HelperRefusal::Conflicts(_) => {
            "leave these networks out of `also-proxy`, or disconnect from the other network"
        }
        HelperRefusal::NoTunDevice { errno } => {
            slipway_laptop::tun_remedy(&std::io::Error::from_raw_os_error(*errno))
        }
        HelperRefusal::Kernel { .. } => {
            "`journalctl -u slipway-helper`, or the helper's terminal, shows details"
        }
        HelperRefusal::DnsUnavailable(trouble) => dns_remedy(trouble),
        HelperRefusal::OutOfOrder | HelperRefusal::LeaseExists | HelperRefusal::NoLease => {
            "reinstall Slipway, so that all its parts have one version"
        }
        HelperRefusal::Busy => "disconnect another session first",
        HelperRefusal::Defect => {
            "`journalctl -u slipway-helper`, or the helper's terminal, shows details; please report it"
        }
    };
    remedy.into()
}

/// Returns what the user can do about a network that the helper does not route, as the end of a sentence.
#[must_use]
pub fn range_remedy(why: RangeTrouble) -> &'static str {
    match why {
        RangeTrouble::Public => {
            "leave it out of `also-proxy`, or ask the laptop's administrator to add it to `allow_ranges` in \
             /etc/slipway/helper.toml"
        }
        RangeTrouble::HelpersOwn => {
            "if `also-proxy` names it, leave it out; addresses of 198.19.0.0/16 are allowed"
        }
        RangeTrouble::PublicByCluster => "add the address or its host to `also-proxy` in the profile",
        RangeTrouble::Denied => {
            "leave it out of `also-proxy`, or ask the laptop's administrator to remove it from `deny_ranges` in \
             /etc/slipway/helper.toml"
        }
        RangeTrouble::NoIpv6 => "if `also-proxy` names it, leave it out",
    }
}

fn stranger_remedy(why: &Stranger, refused: u32) -> Cow<'static, str> {
    match why {
        Stranger::OtherUser { .. } => format!("start slipway-helper with `--allow-uid {refused}`").into(),
        Stranger::Denied => {
            "log in at this laptop's own screen, or ask its administrator to allow dev.slipway.helper.connect in polkit"
                .into()
        }
        Stranger::NoPolkit { .. } => {
            format!("install polkit, or start slipway-helper by hand with `--allow-uid {refused}`").into()
        }
    }
}

fn dns_remedy(trouble: &DnsTrouble) -> &'static str {
    match trouble {
        DnsTrouble::NoResolvConf { .. } => "restore /etc/resolv.conf",
        DnsTrouble::NoResolved { .. } => {
            "start systemd-resolved and link /etc/resolv.conf to /run/systemd/resolve/stub-resolv.conf, or use \
             the redirect"
        }
        DnsTrouble::ResolvedRefused { .. } => {
            "reinstall the package: its polkit rule for the user slipway-helper may be missing"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_name_the_refused_user() {
        let reason = "no bus".to_owned();
        for why in [Stranger::OtherUser { allowed: 8 }, Stranger::NoPolkit { reason }] {
            let refusal = HelperRefusal::NotAuthorized { uid: 4242, why };
            let remedy = refusal_remedy(&refusal);
            assert!(remedy.contains("--allow-uid 4242`"), "{remedy}");
        }
    }
}
