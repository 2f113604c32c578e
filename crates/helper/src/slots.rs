//! Who has which slot, and which addresses a slot has.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use slipway_helper_api::{HelperRefusal, Slot};

use slipway_laptop::KnownRoute;

/// Most leases of one user.
pub(crate) const LEASES_EACH: usize = 8;

/// Who has which slot.
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

    /// How many leases the user has, and how many there are.
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

/// A slot that is taken for as long as this lives.
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

/// The addresses of one lease's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The laptop's, in a /30.
    pub(crate) v4: Ipv4Net,
    /// The session's resolver's, in the same network.
    pub(crate) resolver: Ipv4Addr,
    /// The laptop's, in a /126.
    pub(crate) v6: Ipv6Net,
}

impl Addresses {
    /// The first of a slot's addresses that nothing on the laptop is routed to: 198.18.k.1, then k + 64 and so on. A lease
    /// that comes back to its slot so finds its addresses again.
    pub(crate) fn choose(slot: Slot, known: &[KnownRoute]) -> Result<Self, HelperRefusal> {
        (slot.get()..=u8::MAX)
            .step_by(Slot::COUNT.into())
            .map(Self::numbered)
            .find(|candidate| {
                let net = IpNet::V4(candidate.v4.trunc());
                !known.iter().any(|route| {
                    // A route to everything is not about these addresses, even in a VPN's two halves.
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
    fn a_user_has_eight_leases_and_others_are_not_in_the_way() {
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
    fn a_lost_lease_gets_its_slot_back_unless_it_is_taken() {
        let slots = Slots::default();
        let slot = Slot::try_from(5).expect("slot");
        let again = slots.take(1000, Some(slot)).expect("free");
        assert_eq!(again.slot(), slot);
        assert_eq!(slots.take(1000, Some(slot)).expect("free").slot().get(), 0);
    }

    #[test]
    fn addresses_in_use_are_stepped_over() {
        let route = |net: &str| KnownRoute {
            net: net.parse().expect("net"),
            gateways: Vec::new(),
            index: 2,
            device: "eth0".to_owned(),
            maker: Maker::Other,
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
