//! Precedence of cluster and laptop for names that both are asked for, without I/O or clock.
//!
//! For names without dots the cluster's answer counts: it is given whenever it says that the name exists. The laptop's
//! answer is given when the cluster does not have the name, or stays silent for longer than the limit. For all other
//! shared names the laptop's answer counts: the cluster's is given only when the laptop's name servers said that the
//! name does not exist, because a name must not lead to a pod of the cluster when a server is slow. There is one
//! exception: name servers that recently said that the name's last label does not exist have also said that nothing
//! below it exists (RFC 8020).
//!
//! NXDOMAIN is given only when it is known to be true: a program that gets it gives up, and one that gets SERVFAIL
//! tries again.

use crate::scope::Order;

/// Reply of one side so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Nothing,
    Exists,
    NoSuchName,
    Failed,
}

/// Reply of the laptop's name servers about a name's last label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LastLabel {
    /// No reply yet.
    Asked,
    /// No reply, and none will come.
    Unknown,
    /// It is a domain.
    Domain,
    /// It is not a domain.
    NoDomain,
}

/// All replies so far about a name that either side may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) cluster: Said,
    pub(crate) laptop: Said,
    pub(crate) last_label: LastLabel,
    /// Whether the side whose answer counts still has time to reply.
    pub(crate) patient: bool,
}

/// Answer that a program gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Cluster,
    Laptop,
    NoSuchName,
    Failure,
}

/// Decides which answer is given; `None` while more replies are needed.
pub(crate) fn settle(order: Order, heard: Heard) -> Option<Verdict> {
    match order {
        Order::ClusterFirst => cluster_first(heard),
        Order::Together | Order::LaptopFirst | Order::Searched => laptop_first(order, heard),
    }
}

/// Whether the cluster may be asked for a name. Names in domains of the laptop are not shown to it.
pub(crate) fn may_ask_cluster(order: Order, laptop: Said, last_label: LastLabel) -> bool {
    match (order, last_label) {
        (Order::ClusterFirst, _) => true,
        (Order::Searched, _) | (Order::Together | Order::LaptopFirst, LastLabel::Unknown) => {
            laptop == Said::NoSuchName
        }
        (Order::Together | Order::LaptopFirst, LastLabel::NoDomain) => true,
        (Order::Together | Order::LaptopFirst, LastLabel::Asked | LastLabel::Domain) => false,
    }
}

fn cluster_first(heard: Heard) -> Option<Verdict> {
    match (heard.cluster, heard.laptop) {
        (Said::Exists, _) => Some(Verdict::Cluster),
        (Said::Nothing, Said::Exists) if !heard.patient => Some(Verdict::Laptop),
        (Said::Nothing, _) | (_, Said::Nothing) => None,
        (Said::NoSuchName | Said::Failed, Said::Exists) => Some(Verdict::Laptop),
        // The session's namespace does not have it, and failing name servers of the laptop say nothing against that.
        (Said::NoSuchName, Said::NoSuchName | Said::Failed) => Some(Verdict::NoSuchName),
        (Said::Failed, Said::NoSuchName | Said::Failed) => Some(Verdict::Failure),
    }
}

fn laptop_first(order: Order, heard: Heard) -> Option<Verdict> {
    let last_label = order.heeds_last_label().then_some(heard.last_label);
    let nothing_below = last_label == Some(LastLabel::NoDomain);
    match heard.laptop {
        Said::Exists => Some(Verdict::Laptop),
        Said::Nothing if nothing_below && !heard.patient && heard.cluster == Said::Exists => {
            Some(Verdict::Cluster)
        }
        Said::Nothing => None,
        Said::NoSuchName | Said::Failed if last_label == Some(LastLabel::Asked) => None,
        Said::NoSuchName if last_label == Some(LastLabel::Domain) => Some(Verdict::NoSuchName),
        Said::NoSuchName => match heard.cluster {
            Said::Nothing => None,
            Said::Exists => Some(Verdict::Cluster),
            // The namespace exists, so the name may exist too.
            Said::Failed if order == Order::Together => Some(Verdict::Failure),
            // Without a session this name would not exist either. A cluster that cannot be reached changes nothing.
            Said::Failed | Said::NoSuchName => Some(Verdict::NoSuchName),
        },
        Said::Failed if nothing_below => match heard.cluster {
            Said::Nothing => None,
            Said::Exists => Some(Verdict::Cluster),
            Said::Failed | Said::NoSuchName => Some(Verdict::Failure),
        },
        Said::Failed => Some(Verdict::Failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: [Said; 4] = [Said::Nothing, Said::Exists, Said::NoSuchName, Said::Failed];
    const ORDERS: [Order; 4] = [
        Order::ClusterFirst,
        Order::Together,
        Order::LaptopFirst,
        Order::Searched,
    ];
    const LABELS: [LastLabel; 4] = [
        LastLabel::Asked,
        LastLabel::Unknown,
        LastLabel::Domain,
        LastLabel::NoDomain,
    ];

    /// All combinations of replies.
    fn all() -> impl Iterator<Item = Heard> {
        SAID.into_iter().flat_map(|cluster| {
            SAID.into_iter().flat_map(move |laptop| {
                LABELS.into_iter().flat_map(move |last_label| {
                    [true, false].map(|patient| Heard {
                        cluster,
                        laptop,
                        last_label,
                        patient,
                    })
                })
            })
        })
    }

    #[test]
    fn a_name_of_the_laptop_keeps_its_meaning() {
        for order in [Order::Together, Order::LaptopFirst, Order::Searched] {
            for heard in all().filter(|heard| heard.laptop == Said::Exists) {
                assert_eq!(settle(order, heard), Some(Verdict::Laptop), "{order:?} {heard:?}");
            }
        }
        let both = Heard {
            cluster: Said::Exists,
            laptop: Said::Exists,
            last_label: LastLabel::Unknown,
            patient: true,
        };
        assert_eq!(settle(Order::ClusterFirst, both), Some(Verdict::Cluster));
    }

    #[test]
    fn names_stay_the_laptops_when_its_servers_fail() {
        for order in [Order::Together, Order::LaptopFirst, Order::Searched] {
            for heard in all().filter(|heard| settle(order, *heard) == Some(Verdict::Cluster)) {
                let denied = heard.laptop == Said::NoSuchName;
                let nothing_below = order != Order::Searched && heard.last_label == LastLabel::NoDomain;
                assert!(denied || nothing_below, "{order:?} {heard:?}");
            }
        }
    }

    #[test]
    fn the_cluster_is_not_asked_for_names_of_laptop_domains() {
        for order in [Order::Together, Order::LaptopFirst] {
            for laptop in SAID {
                assert!(
                    !may_ask_cluster(order, laptop, LastLabel::Domain),
                    "{order:?} {laptop:?}"
                );
                assert!(
                    !may_ask_cluster(order, laptop, LastLabel::Asked),
                    "{order:?} {laptop:?}"
                );
            }
            for heard in all().filter(|heard| heard.last_label == LastLabel::Domain) {
                assert_ne!(
                    settle(order, heard),
                    Some(Verdict::Cluster),
                    "{order:?} {heard:?}"
                );
            }
        }
        assert!(!may_ask_cluster(
            Order::Searched,
            Said::Failed,
            LastLabel::NoDomain
        ));
        assert!(may_ask_cluster(
            Order::Searched,
            Said::NoSuchName,
            LastLabel::Domain
        ));
    }

    #[test]
    fn nxdomain_comes_only_from_the_side_that_counts() {
        for order in ORDERS {
            for heard in all().filter(|heard| settle(order, *heard) == Some(Verdict::NoSuchName)) {
                let counts = if order == Order::ClusterFirst {
                    heard.cluster
                } else {
                    heard.laptop
                };
                assert_eq!(counts, Said::NoSuchName, "{order:?} {heard:?}");
            }
        }
    }

    #[test]
    fn a_cluster_out_of_reach_takes_no_public_name_away() {
        let heard = Heard {
            cluster: Said::Failed,
            laptop: Said::NoSuchName,
            last_label: LastLabel::NoDomain,
            patient: true,
        };
        assert_eq!(settle(Order::LaptopFirst, heard), Some(Verdict::NoSuchName));
        assert_eq!(settle(Order::Together, heard), Some(Verdict::Failure));
    }

    #[test]
    fn there_is_a_verdict_once_all_replies_are_in() {
        for order in ORDERS {
            let all_have = |heard: &Heard| {
                heard.cluster != Said::Nothing
                    && heard.laptop != Said::Nothing
                    && heard.last_label != LastLabel::Asked
            };
            for heard in all().filter(all_have) {
                assert!(settle(order, heard).is_some(), "{order:?} {heard:?}");
            }
        }
    }

    #[test]
    fn a_side_that_is_waited_for_may_be_asked() {
        for order in ORDERS {
            // A side that is never asked stays silent, so no verdict may wait for it.
            for heard in all().filter(|heard| {
                heard.cluster == Said::Nothing
                    && heard.laptop != Said::Nothing
                    && heard.last_label != LastLabel::Asked
            }) {
                if settle(order, heard).is_none() {
                    assert!(
                        may_ask_cluster(order, heard.laptop, heard.last_label),
                        "{order:?} {heard:?}"
                    );
                }
            }
        }
    }
}
