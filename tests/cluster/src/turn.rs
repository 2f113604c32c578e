//! Exclusive use of a laptop by a test, with a check that the test leaves no traces.

use std::sync::OnceLock;

use slipway_bed::{Bed, BedName, LaptopKind, Silent};

use crate::polkit::PolkitRule;
use crate::{Desk, Traces, until};

/// Runs a test with a locked laptop and a helper, and checks that it leaves nothing. Returns the test's result.
pub fn with_laptop<T>(kind: LaptopKind, test: fn(&Desk<'_>) -> T) -> T {
    with_laptop_of(bed(), kind, test)
}

/// The same with a laptop of another bed.
pub fn with_laptop_of<T>(bed: &Bed, kind: LaptopKind, test: fn(&Desk<'_>) -> T) -> T {
    let laptop = bed.laptop(kind).unwrap();
    // Dropped last: no other test may see or use what this one has not taken back yet.
    let _lock = laptop.lock().unwrap();
    let before = Traces::of(laptop);
    let _rule = (kind == LaptopKind::Resolved).then(|| PolkitRule::install(laptop));
    let desk = Desk::new(bed, laptop);
    let outcome = test(&desk);
    drop(desk);
    until("nothing is left on the laptop", || Traces::of(laptop) == before)
        .unwrap_or_else(|why| panic!("{why}:\n{}", Traces::of(laptop).beside(&before)));
    outcome
}

/// Returns the bed of the tests.
pub fn bed() -> &'static Bed {
    static BED: OnceLock<Bed> = OnceLock::new();
    BED.get_or_init(|| Bed::up(&BedName::of_tests().unwrap(), &mut Silent).unwrap())
}
