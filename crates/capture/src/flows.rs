//! State of UDP flows. It has no clock and no I/O: the caller passes the time.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::Flow;

/// How long a DNS flow is remembered: a question and its answer, then the port is not used again.
pub(crate) const DNS_IDLE: Duration = Duration::from_secs(5);
const DNS_PORT: u16 = 53;

/// The flows in use, least recently used first. DNS flows are kept apart: there are many short ones, which must not
/// evict others.
#[derive(Debug)]
pub(crate) struct Flows {
    dns: Recent,
    others: Recent,
}

#[derive(Debug)]
struct Recent {
    last_used: LruCache<Flow, Instant>,
    idle: Duration,
}

impl Flows {
    /// Keeps `max` flows of each kind, for `idle` unless they are DNS.
    pub(crate) fn new(max: NonZeroUsize, idle: Duration) -> Self {
        let recent = |idle| Recent {
            last_used: LruCache::new(max),
            idle,
        };
        Self {
            dns: recent(DNS_IDLE),
            others: recent(idle),
        }
    }

    /// A program sent on the flow. Returns the flow that was evicted for it, if the table was full.
    pub(crate) fn sent(&mut self, now: Instant, flow: Flow) -> Option<Flow> {
        let (pushed, _) = self.of(flow).last_used.push(flow, now)?;
        (pushed != flow).then_some(pushed)
    }

    /// The far end sent on the flow. Returns whether the flow is alive.
    pub(crate) fn received(&mut self, now: Instant, flow: Flow) -> bool {
        let recent = self.of(flow);
        let idle = recent.idle;
        // `peek` keeps the order of the cache, which is the order of the times in it.
        let alive = recent
            .last_used
            .peek(&flow)
            .is_some_and(|at| now.saturating_duration_since(*at) < idle);
        if alive {
            recent.last_used.push(flow, now);
        }
        alive
    }

    /// Forgets a flow.
    pub(crate) fn forget(&mut self, flow: Flow) {
        self.of(flow).last_used.pop(&flow);
    }

    /// Forgets the flows that were idle too long, and returns them.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Flow> {
        let mut expired = Vec::new();
        for Recent { last_used, idle } in [&mut self.dns, &mut self.others] {
            while let Some((_, at)) = last_used.peek_lru()
                && now.saturating_duration_since(*at) >= *idle
            {
                expired.extend(last_used.pop_lru().map(|(flow, _)| flow));
            }
        }
        expired
    }

    fn of(&mut self, flow: Flow) -> &mut Recent {
        if flow.to.port() == DNS_PORT {
            &mut self.dns
        } else {
            &mut self.others
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(120);

    fn flow(from: u16, to: u16) -> Flow {
        Flow {
            from: ([198, 18, 0, 1], from).into(),
            to: ([10, 96, 0, 10], to).into(),
        }
    }

    fn flows() -> Flows {
        Flows::new(NonZeroUsize::new(2).unwrap(), IDLE)
    }

    #[test]
    fn only_a_flow_that_a_program_began_is_answered() {
        let (mut flows, now) = (flows(), Instant::now());
        assert!(!flows.received(now, flow(1, 7)));
        assert_eq!(flows.sent(now, flow(1, 7)), None);
        assert!(flows.received(now, flow(1, 7)));
        assert!(!flows.received(now, flow(1, 8)));
    }

    #[test]
    fn traffic_in_either_direction_keeps_a_flow() {
        let (mut flows, now) = (flows(), Instant::now());
        let step = IDLE - Duration::from_millis(1);
        flows.sent(now, flow(1, 7));
        assert!(flows.received(now + step, flow(1, 7)));
        assert!(flows.expire(now + IDLE).is_empty());
        assert_eq!(flows.sent(now + step + step, flow(1, 7)), None);
        assert!(flows.expire(now + step + IDLE).is_empty());
        assert_eq!(flows.expire(now + step + step + IDLE), [flow(1, 7)]);
        assert!(!flows.received(now, flow(1, 7)));
    }

    #[test]
    fn a_dns_flow_ends_sooner() {
        let (mut flows, now) = (flows(), Instant::now());
        flows.sent(now, flow(1, 53));
        flows.sent(now, flow(1, 7));
        assert!(!flows.received(now + DNS_IDLE, flow(1, 53)));
        assert_eq!(flows.expire(now + DNS_IDLE), [flow(1, 53)]);
    }

    #[test]
    fn the_oldest_flow_is_evicted_and_dns_evicts_only_dns() {
        let (mut flows, now) = (flows(), Instant::now());
        flows.sent(now, flow(1, 7));
        flows.sent(now, flow(2, 7));
        flows.sent(now, flow(3, 53));
        flows.sent(now, flow(4, 53));
        assert_eq!(flows.sent(now, flow(5, 53)), Some(flow(3, 53)));
        assert!(flows.received(now, flow(1, 7)));
        assert_eq!(flows.sent(now, flow(3, 7)), Some(flow(2, 7)));
        assert_eq!(flows.sent(now, flow(3, 7)), None);
    }

    #[test]
    fn a_forgotten_flow_is_not_answered() {
        let (mut flows, now) = (flows(), Instant::now());
        flows.sent(now, flow(1, 7));
        flows.forget(flow(1, 7));
        assert!(!flows.received(now, flow(1, 7)));
    }
}
