//! How long anything may take.

use std::time::Duration;

/// How long the cluster may take. Over a slow line a lookup there takes two or three round trips.
pub const CLUSTER_WITHIN: Duration = Duration::from_millis(1500);

/// How long a name without dots may take that nobody knows: below the 2 s after which people think a program hangs.
pub const NOBODY_WITHIN: Duration = Duration::from_millis(1800);

/// How long the laptop's name servers may take. They go through all servers and more than one round within it.
pub const LAPTOP_WITHIN: Duration = Duration::from_secs(8);

/// How long the side that counts may keep silent before the other's answer is taken.
pub const PATIENCE: Duration = Duration::from_millis(800);

/// How long the side that counts may keep silent before the other is asked at all.
pub const HEDGE: Duration = Duration::from_millis(150);

/// How long the cluster may keep silent before an answer of a moment ago is given instead.
pub const STALE_AFTER: Duration = Duration::from_millis(500);

/// How long routes to the addresses of an answer may take.
pub const ROUTES_WITHIN: Duration = Duration::from_secs(1);

/// How long the other sessions may take together.
pub const NEIGHBORS_WITHIN: Duration = Duration::from_millis(150);
