//! Slots: the numbers of leases on a laptop.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of a lease on this laptop. It decides the lease's addresses, and the order in which the nftables tables of
/// several leases see a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Slot(u8);

impl Slot {
    /// Number of slots. The table of slot k hooks at priority -100-k, and the kernel translates addresses only at
    /// priorities above connection tracking's -200.
    pub const COUNT: u8 = 64;

    /// Returns the number, below [`Slot::COUNT`].
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// Returns all slots, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl TryFrom<u8> for Slot {
    type Error = Unslotted;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number < Self::COUNT {
            Ok(Self(number))
        } else {
            Err(Unslotted { number })
        }
    }
}

impl From<Slot> for u8 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number that is too large for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no slot {number}: slots have numbers below {}", Slot::COUNT)]
pub struct Unslotted {
    /// The number.
    pub number: u8,
}
