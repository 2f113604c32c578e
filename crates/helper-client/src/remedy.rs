//! Remedies: what a user can do about each refusal of the helper.

use std::borrow::Cow;

use slipway_helper_api::{DnsTrouble, HelperRefusal, RangeTrouble, Stranger};

/// What the user can do about a refusal, as the end of a sentence.
#[must_use]
pub fn refusal_remedy(refusal: &HelperRefusal) -> Cow<'static, str> {
    let said = match refusal {
        HelperRefusal::NotAuthorized { uid, why } => return stranger_remedy(why, *uid),
        HelperRefusal::VersionMismatch { .. } => {
            "finish the update, then run `sudo systemctl restart slipway-helper` and connect again"
        }
        HelperRefusal::TooManyLeases { .. } | HelperRefusal::NoFreeSlot => "disconnect one first",
        HelperRefusal::TooManyRoutes { .. } => "drop the oldest unused addresses, or give wider ranges",
        HelperRefusal::RangeRefused { why, .. } => range_remedy(*why),
        HelperRefusal::DomainRefused { .. } => {
            "if the domain is the cluster's, set `cluster-domain` in the profile's `[dns]`"
        }
        HelperRefusal::Conflicts(_) => {
            "leave these parts out of the profile's ranges, or leave the other network"
        }
        HelperRefusal::NoTunDevice { errno } => {
            slipway_laptop::tun_remedy(&std::io::Error::from_raw_os_error(*errno))
        }
        HelperRefusal::Kernel { .. } => "`journalctl -u slipway-helper` says more",
        HelperRefusal::DnsUnavailable(trouble) => dns_remedy(trouble),
        HelperRefusal::OutOfOrder => "reinstall Slipway, so that all its parts are of one version",
        HelperRefusal::LeaseExists => "open another connection for another lease",
        HelperRefusal::NoLease => "ask for one first",
        HelperRefusal::Busy => "close one that is connected to it",
        HelperRefusal::Defect => "`journalctl -u slipway-helper` says more; please report it",
    };
    said.into()
}

/// What the user can do about a network that is kept out, as the end of a sentence.
#[must_use]
pub fn range_remedy(why: RangeTrouble) -> &'static str {
    match why {
        RangeTrouble::Public => {
            "leave it out of the profile, or have the administrator add it to `allow_ranges` in \
             /etc/slipway/helper.toml"
        }
        RangeTrouble::HelpersOwn => "take 198.19.0.0/16 for a session's own addresses",
        RangeTrouble::PublicByCluster => "name the address or its host in the profile's `also-proxy`",
        RangeTrouble::Denied | RangeTrouble::NoIpv6 => "leave it out of the profile",
    }
}

fn stranger_remedy(why: &Stranger, refused: u32) -> Cow<'static, str> {
    match why {
        Stranger::OtherUser { .. } => format!("start it for you, with `--allow-uid {refused}`").into(),
        Stranger::Denied => "sign in at this computer, or ask its administrator".into(),
        Stranger::NoPolkit { .. } => {
            format!("install polkit, or start the helper by hand with `--allow-uid {refused}`").into()
        }
    }
}

fn dns_remedy(trouble: &DnsTrouble) -> &'static str {
    match trouble {
        DnsTrouble::NoResolvConf { .. } => "restore it",
        DnsTrouble::NoResolved { .. } => {
            "start it and link /etc/resolv.conf to /run/systemd/resolve/stub-resolv.conf, or use the redirect"
        }
        DnsTrouble::ResolvedRefused { .. } => {
            "the package's polkit rule for the user slipway-helper may be missing: reinstall it"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_user_who_was_refused() {
        let reason = "no bus".to_owned();
        for why in [Stranger::OtherUser { allowed: 8 }, Stranger::NoPolkit { reason }] {
            let refusal = HelperRefusal::NotAuthorized { uid: 4242, why };
            let remedy = refusal_remedy(&refusal);
            assert!(remedy.contains("--allow-uid 4242`"), "{remedy}");
        }
    }
}
