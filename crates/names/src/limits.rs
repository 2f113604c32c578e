//! Limits of all waits of the resolver.

use std::time::Duration;

/// Limit for the cluster's DNS. Over a slow line a lookup there takes two or three round trips.
pub const CLUSTER_WITHIN: Duration = Duration::from_millis(1500);

/// Limit for a name without dots that neither side has: below the 2 s after which people think that a program hangs.
pub const NOBODY_WITHIN: Duration = Duration::from_millis(1800);

/// Limit for the laptop's name servers. It leaves time to ask all of them, and more than once.
pub const LAPTOP_WITHIN: Duration = Duration::from_secs(8);

/// Limit for the one name server that a program asked: longer than any program waits for one. The C library waits 40 s
/// for the third server with `options timeout:30`, its maximum.
pub const ADDRESSED_WITHIN: Duration = Duration::from_secs(40);

/// Wait for the side whose answer counts before the other's answer is taken.
pub const PATIENCE: Duration = Duration::from_millis(800);

/// Wait for the side whose answer counts before the other is asked at all.
pub const HEDGE: Duration = Duration::from_millis(150);

/// Wait for the cluster before a cached answer that expired recently is given instead.
pub const STALE_AFTER: Duration = Duration::from_millis(500);

/// Limit for making routes to the addresses of an answer.
pub const ROUTES_WITHIN: Duration = Duration::from_secs(1);

/// Limit for all other sessions together.
pub const NEIGHBORS_WITHIN: Duration = Duration::from_millis(150);
