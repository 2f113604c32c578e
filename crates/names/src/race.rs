//! Whose answer counts when cluster and laptop are both asked: the rule alone, without I/O or clock.
//!
//! The side that counts (the *first*) wins with any answer that says the name exists. The other wins when the first has
//! not got the name, or keeps silent for longer than we are patient. NXDOMAIN is only said when it is known to be true: a
//! program that hears it gives up, one that hears SERVFAIL tries again.

use crate::scope::Order;

/// What a side has said so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    Nothing,
    Exists,
    NoSuchName,
    Failed,
}

/// What is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Cluster,
    Laptop,
    NoSuchName,
    Failure,
}

/// The verdict on what was said, `None` while more must be heard. `patient` until the first side has had its time.
pub(crate) fn settle(order: Order, cluster: Said, laptop: Said, patient: bool) -> Option<Verdict> {
    let (first, second, firsts, seconds) = match order {
        Order::ClusterFirst => (cluster, laptop, Verdict::Cluster, Verdict::Laptop),
        Order::Together | Order::LaptopFirst => (laptop, cluster, Verdict::Laptop, Verdict::Cluster),
    };
    match (first, second) {
        (Said::Exists, _) => Some(firsts),
        (Said::Nothing, Said::Exists) if !patient => Some(seconds),
        (Said::Nothing, _) | (_, Said::Nothing) => None,
        (Said::NoSuchName | Said::Failed, Said::Exists) => Some(seconds),
        (Said::NoSuchName, Said::NoSuchName) => Some(Verdict::NoSuchName),
        (Said::NoSuchName, Said::Failed) => Some(match order {
            // Names like these were the laptop's or nobody's before; a cluster out of reach does not change that.
            Order::LaptopFirst => Verdict::NoSuchName,
            // The session's own namespace has not got it. A laptop without working name servers adds nothing.
            Order::ClusterFirst => Verdict::NoSuchName,
            // Its namespace exists, so the name may exist as well.
            Order::Together => Verdict::Failure,
        }),
        (Said::Failed, Said::NoSuchName | Said::Failed) => Some(Verdict::Failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: [Said; 4] = [Said::Nothing, Said::Exists, Said::NoSuchName, Said::Failed];
    const ORDERS: [Order; 3] = [Order::ClusterFirst, Order::Together, Order::LaptopFirst];

    #[test]
    fn a_name_that_the_laptop_has_is_never_the_clusters_unless_it_has_no_dots() {
        for order in [Order::Together, Order::LaptopFirst] {
            for (cluster, patient) in SAID.into_iter().flat_map(|said| [(said, true), (said, false)]) {
                assert_eq!(
                    settle(order, cluster, Said::Exists, patient),
                    Some(Verdict::Laptop)
                );
            }
        }
        assert_eq!(
            settle(Order::ClusterFirst, Said::Exists, Said::Exists, true),
            Some(Verdict::Cluster)
        );
    }

    #[test]
    fn a_silent_laptop_does_not_hold_up_a_cluster_name_for_ever() {
        for order in [Order::Together, Order::LaptopFirst] {
            assert_eq!(settle(order, Said::Exists, Said::Nothing, true), None);
            assert_eq!(
                settle(order, Said::Exists, Said::Nothing, false),
                Some(Verdict::Cluster)
            );
        }
    }

    #[test]
    fn nxdomain_needs_the_word_of_the_side_that_counts() {
        for order in ORDERS {
            for (cluster, laptop) in SAID
                .into_iter()
                .flat_map(|cluster| SAID.map(|laptop| (cluster, laptop)))
            {
                let first = if order == Order::ClusterFirst {
                    cluster
                } else {
                    laptop
                };
                if settle(order, cluster, laptop, false) == Some(Verdict::NoSuchName) {
                    assert_eq!(first, Said::NoSuchName, "{order:?} {cluster:?} {laptop:?}");
                }
            }
        }
    }

    #[test]
    fn a_cluster_out_of_reach_takes_no_public_name_away() {
        assert_eq!(
            settle(Order::LaptopFirst, Said::Failed, Said::NoSuchName, true),
            Some(Verdict::NoSuchName)
        );
        assert_eq!(
            settle(Order::Together, Said::Failed, Said::NoSuchName, true),
            Some(Verdict::Failure)
        );
    }

    #[test]
    fn once_both_have_spoken_there_is_a_verdict() {
        let spoken = [Said::Exists, Said::NoSuchName, Said::Failed];
        for order in ORDERS {
            for (cluster, laptop) in spoken
                .into_iter()
                .flat_map(|cluster| spoken.map(|laptop| (cluster, laptop)))
            {
                assert!(
                    settle(order, cluster, laptop, true).is_some(),
                    "{order:?} {cluster:?} {laptop:?}"
                );
            }
        }
    }
}
