//! Verdict of the self-check, without I/O or clock: from two answers to what they mean, and to when it counts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use slipway_control_api::NameOutcome;
use slipway_names::Finding;
use slipway_tunnel::StreamRefusal;

/// Pause after a check that found nothing wrong.
const EVERY: Duration = Duration::from_secs(30);

/// Pause after a check that found something wrong.
const AGAIN: Duration = Duration::from_secs(3);

/// Port of the service `kubernetes`.
pub(crate) const HTTPS: u16 = 443;

/// Answer of the cluster's DNS about the service `kubernetes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its address.
    Address(IpAddr),
    /// There is no such name.
    NoSuchName,
    /// There was no answer, or a failure.
    Missing,
}

impl Answer {
    /// Interprets what the resolver found. `None` if it says nothing about the cluster.
    pub(super) fn of(finding: &Finding) -> Option<Answer> {
        match finding.outcome {
            NameOutcome::Found => finding.addresses.first().copied().map(Answer::Address),
            NameOutcome::NotFound => Some(Answer::NoSuchName),
            NameOutcome::Failed | NameOutcome::TimedOut => Some(Answer::Missing),
            NameOutcome::NoData | NameOutcome::Withheld => None,
        }
    }
}

/// Result of the attempt to connect to the service `kubernetes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Connected,
    Failed(StreamRefusal),
}

/// Finding of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The agent resolves and reaches the service.
    Fine,
    /// The cluster's DNS does not answer. As far as it is known, other traffic passes.
    DnsSilent,
    /// The agent does not reach the service.
    Blocked {
        /// Address of the service.
        to: SocketAddr,
        /// Whether the cluster's DNS answered.
        dns: bool,
    },
    /// The cluster's DNS answers for another domain.
    OtherDomain,
}

/// Course of the checks of one agent.
#[derive(Debug)]
pub(super) struct Course {
    /// Address of the service, from the last answer, or else a guess.
    address: Option<IpAddr>,
    /// Last verdict that was not fine.
    suspected: Option<Verdict>,
    /// Whether a second check confirmed that something is wrong.
    confirmed: bool,
    /// Whether the last check with a verdict found everything fine.
    fine: bool,
}

impl Course {
    /// Begins without a verdict. `guess` is the probable address of the service.
    pub(super) fn new(guess: Option<IpAddr>) -> Course {
        Course {
            address: guess,
            suspected: None,
            confirmed: false,
            fine: false,
        }
    }

    /// Returns where to connect after an answer; `None` if the answer is enough.
    pub(super) fn target(&mut self, answer: Answer) -> Option<SocketAddr> {
        let address = match answer {
            Answer::Address(address) => {
                self.address = Some(address);
                address
            }
            // If the service is reached nevertheless, DNS alone is at fault.
            Answer::Missing => self.address?,
            Answer::NoSuchName => return None,
        };
        Some(SocketAddr::new(address, HTTPS))
    }

    /// Takes the results of a check. One failed check may be a restart, so that only the second one in a row counts.
    pub(super) fn note(&mut self, answer: Answer, attempt: Option<(SocketAddr, Attempt)>) {
        match judge(answer, attempt) {
            Some(Verdict::Fine) => {
                self.suspected = None;
                self.confirmed = false;
                self.fine = true;
            }
            Some(verdict) => {
                self.confirmed = self.suspected.is_some();
                self.suspected = Some(verdict);
                self.fine = false;
            }
            None => {}
        }
    }

    /// Returns what is wrong, if it is certain.
    pub(super) fn wrong(&self) -> Option<Verdict> {
        self.suspected.filter(|_| self.confirmed)
    }

    /// Whether the last check with a verdict found everything fine.
    pub(super) fn is_fine(&self) -> bool {
        self.fine
    }

    /// Returns the pause before the next check.
    pub(super) fn pause(&self) -> Duration {
        match self.suspected {
            Some(_) => AGAIN,
            None => EVERY,
        }
    }
}

/// Judges one check. `None` if it says nothing about the cluster, because the session or the agent was at fault.
fn judge(answer: Answer, attempt: Option<(SocketAddr, Attempt)>) -> Option<Verdict> {
    let dns = match answer {
        Answer::NoSuchName => return Some(Verdict::OtherDomain),
        Answer::Address(_) => true,
        Answer::Missing => false,
    };
    match attempt {
        Some((_, Attempt::Failed(StreamRefusal::Exhausted | StreamRefusal::TunnelEnded))) => None,
        Some((to, Attempt::Failed(_))) => Some(Verdict::Blocked { to, dns }),
        Some((_, Attempt::Connected)) if dns => Some(Verdict::Fine),
        Some((_, Attempt::Connected)) | None => Some(Verdict::DnsSilent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1));
    const TO: SocketAddr = SocketAddr::new(SERVICE, HTTPS);
    const SILENT: Attempt = Attempt::Failed(StreamRefusal::TimedOut);

    #[test]
    fn each_fault_has_its_verdict() {
        let found = Answer::Address(SERVICE);
        let refused = Attempt::Failed(StreamRefusal::Refused);
        let exhausted = Attempt::Failed(StreamRefusal::Exhausted);
        for (answer, attempt, verdict) in [
            (found, Some(Attempt::Connected), Some(Verdict::Fine)),
            (found, Some(SILENT), Some(Verdict::Blocked { to: TO, dns: true })),
            (found, Some(refused), Some(Verdict::Blocked { to: TO, dns: true })),
            (found, Some(exhausted), None),
            (Answer::NoSuchName, None, Some(Verdict::OtherDomain)),
            (Answer::Missing, None, Some(Verdict::DnsSilent)),
            (
                Answer::Missing,
                Some(Attempt::Connected),
                Some(Verdict::DnsSilent),
            ),
            (
                Answer::Missing,
                Some(SILENT),
                Some(Verdict::Blocked { to: TO, dns: false }),
            ),
            (Answer::Missing, Some(exhausted), None),
        ] {
            let judged = judge(answer, attempt.map(|attempt| (TO, attempt)));
            assert_eq!(judged, verdict, "{answer:?} {attempt:?}");
        }
    }

    #[test]
    fn a_verdict_counts_from_the_second_check_on() {
        let mut course = Course::new(None);
        assert_eq!(course.target(Answer::NoSuchName), None);
        course.note(Answer::NoSuchName, None);
        assert_eq!((course.wrong(), course.pause()), (None, AGAIN));
        course.note(Answer::NoSuchName, None);
        assert_eq!(
            (course.wrong(), course.pause()),
            (Some(Verdict::OtherDomain), AGAIN)
        );
        course.note(Answer::Missing, None);
        assert_eq!(
            course.wrong(),
            Some(Verdict::DnsSilent),
            "the last verdict counts"
        );
        let exhausted = Attempt::Failed(StreamRefusal::Exhausted);
        course.note(Answer::Address(SERVICE), Some((TO, exhausted)));
        assert_eq!(course.wrong(), Some(Verdict::DnsSilent), "nothing is known anew");
        course.note(Answer::Address(SERVICE), Some((TO, Attempt::Connected)));
        assert_eq!((course.wrong(), course.pause()), (None, EVERY));
        course.note(Answer::Missing, None);
        assert_eq!(course.wrong(), None);
    }

    #[test]
    fn without_dns_the_last_known_address_is_tried() {
        let mut course = Course::new(None);
        assert_eq!(course.target(Answer::Missing), None);
        assert_eq!(course.target(Answer::Address(SERVICE)), Some(TO));
        assert_eq!(course.target(Answer::Missing), Some(TO));
        assert_eq!(Course::new(Some(SERVICE)).target(Answer::Missing), Some(TO));
    }
}
