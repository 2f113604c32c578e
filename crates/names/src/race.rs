//! Precedence of the two sides when cluster and laptop are both asked: the rule alone, without I/O or clock.
//!
//! Where the cluster counts (names without dots) it wins with any answer that says the name exists, and the laptop does
//! when the cluster has not got the name or keeps silent for longer than we are patient. Where the laptop counts, the
//! cluster wins only when the laptop's servers said that the name does not exist: a name must not become a pod of the
//! cluster because a server was slow. One exception has the same reason: servers that said lately that there is no
//! domain of the name's last label have said that nothing below it exists (RFC 8020).
//!
//! NXDOMAIN is only said when it is known to be true: a program that hears it gives up, one that hears SERVFAIL tries
//! again.

use crate::scope::Order;

/// What a side has said so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Nothing,
    Exists,
    NoSuchName,
    Failed,
}

/// What the laptop's servers say about a name's last label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LastLabel {
    /// Nothing yet.
    Asked,
    /// Nothing, and nothing more is to be heard of them.
    Unknown,
    /// They have a domain of that name.
    Domain,
    /// They have not.
    NoDomain,
}

/// What is known of a name that either side may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) cluster: Said,
    pub(crate) laptop: Said,
    pub(crate) last_label: LastLabel,
    /// Until the side that counts has had its time.
    pub(crate) patient: bool,
}

/// What is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Cluster,
    Laptop,
    NoSuchName,
    Failure,
}

/// The verdict on what was heard, `None` while more must be.
pub(crate) fn settle(order: Order, heard: Heard) -> Option<Verdict> {
    match order {
        Order::ClusterFirst => cluster_first(heard),
        Order::Together | Order::LaptopFirst | Order::Searched => laptop_first(order, heard),
    }
}

/// Whether the cluster may be told a name, where the laptop counts.
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
        // The session's own namespace has not got it. A laptop without working name servers adds nothing.
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
            // Its namespace exists, so the name may exist as well.
            Said::Failed if order == Order::Together => Some(Verdict::Failure),
            // Names like these were the laptop's or nobody's before; a cluster out of reach does not change that.
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

    /// Everything that can be heard.
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
    fn a_laptop_that_fails_gives_no_name_away() {
        for order in [Order::Together, Order::LaptopFirst, Order::Searched] {
            for heard in all().filter(|heard| settle(order, *heard) == Some(Verdict::Cluster)) {
                let said_so = heard.laptop == Said::NoSuchName;
                let nothing_below = order != Order::Searched && heard.last_label == LastLabel::NoDomain;
                assert!(said_so || nothing_below, "{order:?} {heard:?}");
            }
        }
    }

    #[test]
    fn the_cluster_is_not_told_names_of_the_laptops_domains() {
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
    fn nxdomain_needs_the_word_of_the_side_that_counts() {
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
    fn once_all_have_spoken_there_is_a_verdict() {
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
    fn what_is_waited_for_is_asked() {
        for order in ORDERS {
            // A side that may never be asked keeps silent.
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
