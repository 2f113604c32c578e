//! Slots of leases: their assignment to users, and their addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use slipway_helper_api::{HelperRefusal, Slot};

use slipway_laptop::KnownRoute;

/// Maximum number of leases of one user.
pub(crate) const LEASES_EACH: usize = 8;

/// Taken slots, each with the ID of its user.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Arc<Mutex<Vec<(Slot, u32)>>>);

impl Slots {
    /// Takes a slot for a user: `prefer` if it is free, else the lowest.
    pub(crate) fn take(&self, uid: u32, prefer: Option<Slot>) -> Result<SlotGuard, HelperRefusal> {
        let mut taken = self.taken();
        if taken.iter().filter(|(_, owner)| *owner == uid).count() >= LEASES_EACH {
            return Err(HelperRefusal::TooManyLeases { limit: LEASES_EACH });
        }
        let free = |slot: &Slot| !taken.iter().any(|(other, _)| other == slot);
        let slot = prefer
            .into_iter()
            .chain(Slot::all())
            .find(free)
            .ok_or(HelperRefusal::NoFreeSlot)?;
        taken.push((slot, uid));
        Ok(SlotGuard {
            slot,
            slots: self.clone(),
        })
    }

    /// Returns how many leases the user has, and how many all users have.
    pub(crate) fn count(&self, uid: u32) -> (usize, usize) {
        let taken = self.taken();
        (
            taken.iter().filter(|(_, owner)| *owner == uid).count(),
            taken.len(),
        )
    }

    fn taken(&self) -> MutexGuard<'_, Vec<(Slot, u32)>> {
        // Nothing can panic half-way through a change of the list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Taken slot. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct SlotGuard {
    slot: Slot,
    slots: Slots,
}

impl SlotGuard {
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.slots.taken().retain(|(slot, _)| *slot != self.slot);
    }
}

/// Addresses of a lease's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The laptop's IPv4 address, in a /30.
    pub(crate) v4: Ipv4Net,
    /// The resolver's address, in the same network.
    pub(crate) resolver: Ipv4Addr,
    /// The laptop's IPv6 address, in a /126.
    pub(crate) v6: Ipv6Net,
}

impl Addresses {
    /// Returns the first of a slot's addresses that no route of the laptop covers: 198.18.k.1, then k + 64 and so on.
    /// So a lease that returns to its slot usually gets the same addresses.
    pub(crate) fn choose(slot: Slot, known: &[KnownRoute]) -> Result<Self, HelperRefusal> {
        (slot.get()..=u8::MAX)
            .step_by(Slot::COUNT.into())
            .map(Self::numbered)
            .find(|candidate| {
                let net = IpNet::V4(candidate.v4.trunc());
                !known.iter().any(|route| {
                    // A default route does not count, nor do the two halves of one that VPNs set.
                    route.net.prefix_len() > 1 && (route.net.contains(&net) || net.contains(&route.net))
                })
            })
            .ok_or(HelperRefusal::NoFreeSlot)
    }

    fn numbered(number: u8) -> Self {
        let v6 = Ipv6Addr::new(0xfdf3, 0x51a9, 0x0e77, u16::from(number), 0, 0, 0, 1);
        Self {
            v4: Ipv4Net::new_assert(Ipv4Addr::new(198, 18, number, 1), 30),
            resolver: Ipv4Addr::new(198, 18, number, 2),
            v6: Ipv6Net::new_assert(v6, 126),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipway_laptop::Maker;

    #[test]
    fn each_user_has_at_most_eight_leases() {
        let slots = Slots::default();
        let held: Vec<_> = (0..LEASES_EACH)
            .map(|_| slots.take(1000, None).expect("free"))
            .collect();
        assert_eq!(
            slots.take(1000, None).map(|_| ()),
            Err(HelperRefusal::TooManyLeases { limit: 8 })
        );
        let other = slots.take(1001, None).expect("another user's first");
        assert_eq!(other.slot().get(), 8);
        assert_eq!(slots.count(1000), (8, 9));
        drop(held);
        assert_eq!(slots.count(1000), (0, 1));
        assert_eq!(slots.take(1000, None).expect("free").slot().get(), 0);
    }

    #[test]
    fn a_preferred_slot_is_given_if_it_is_free() {
        let slots = Slots::default();
        let slot = Slot::try_from(5).expect("slot");
        let again = slots.take(1000, Some(slot)).expect("free");
        assert_eq!(again.slot(), slot);
        assert_eq!(slots.take(1000, Some(slot)).expect("free").slot().get(), 0);
    }

    #[test]
    fn addresses_in_use_are_skipped() {
        let route = |net: &str| KnownRoute {
            net: net.parse().expect("net"),
            gateways: Vec::new(),
            index: 2,
            device: "eth0".to_owned(),
            maker: Maker::Other,
            table: slipway_laptop::MAIN_TABLE,
        };
        let slot = Slot::try_from(3).expect("slot");
        let chosen =
            |known: &[KnownRoute]| Addresses::choose(slot, known).map(|addresses| addresses.v4.to_string());
        assert_eq!(
            chosen(&[route("0.0.0.0/0"), route("128.0.0.0/1")]),
            Ok("198.18.3.1/30".to_owned())
        );
        assert_eq!(chosen(&[route("198.18.3.2/32")]), Ok("198.18.67.1/30".to_owned()));
        assert_eq!(
            chosen(&[route("198.18.0.0/17")]),
            Ok("198.18.131.1/30".to_owned())
        );
        assert_eq!(chosen(&[route("198.18.0.0/15")]), Err(HelperRefusal::NoFreeSlot));
    }
}
