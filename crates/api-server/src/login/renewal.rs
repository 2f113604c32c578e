//! Decision whether credentials are used, obtained again, or not sent. Reads no clock and does no I/O.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::LoginError;

/// Pause before kubeconfig, token file or plugin are asked again after a refusal or a failure: how late a new login is
/// noticed.
pub(super) const PAUSE: Duration = Duration::from_secs(6);

/// The pause after a run is at least this many times its length, because a long one has a person in it.
const LENGTHS: u32 = 4;

/// Interval at which refused credentials that stay the same are sent again. The API server may accept them later, for
/// example when its own identity provider is back.
pub(super) const SAME_AGAIN: Duration = Duration::from_secs(30);

/// Shortest time that new credentials count, even if they say that they have ended: this computer's clock may be wrong.
const AT_LEAST: SignedDuration = SignedDuration::from_secs(10);

/// What a request needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Need<C> {
    /// Send these credentials, obtained as this number.
    Use(C, u64),
    /// Obtain credentials first.
    Obtain {
        /// Whether the API server refused the last ones.
        renews: bool,
    },
    /// Send nothing.
    Fail(LoginError),
}

/// State of a login. `C` are credentials.
#[derive(Debug)]
pub(super) struct Renewal<C> {
    is_same: fn(&C, &C) -> bool,
    current: Option<Current<C>>,
    /// Number of times that credentials were obtained.
    obtained: u64,
    /// Why requests are not sent.
    problem: Option<LoginError>,
    /// When credentials may be obtained again.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Current<C> {
    credentials: C,
    until: Option<Timestamp>,
    refused: Option<Instant>,
    accepted: bool,
}

impl<C: Clone> Renewal<C> {
    pub(super) fn new(is_same: fn(&C, &C) -> bool) -> Self {
        Self {
            is_same,
            current: None,
            obtained: 0,
            problem: None,
            next: None,
        }
    }

    /// Returns what a request needs at this time. `clock` is the calendar's time.
    pub(super) fn need(&self, now: Instant, clock: Timestamp) -> Need<C> {
        let may_obtain = self.next.is_none_or(|next| now >= next);
        if let Some(problem) = &self.problem {
            return match may_obtain {
                true => Need::Obtain {
                    renews: self.current.is_some(),
                },
                false => Need::Fail(problem.clone()),
            };
        }
        match &self.current {
            Some(current) if current.refused.is_some() => Need::Obtain { renews: true },
            Some(current) if current.until.is_none_or(|until| clock < until) => {
                Need::Use(current.credentials.clone(), self.obtained)
            }
            _ => Need::Obtain { renews: false },
        }
    }

    /// Takes new credentials, which count until the given time. `took` is the length of the run that ended at `now`.
    ///
    /// # Errors
    /// Returns the problem that stays if they are the refused ones and it is too early to send those again.
    pub(super) fn obtained(
        &mut self,
        credentials: C,
        until: Option<Timestamp>,
        now: Instant,
        took: Duration,
    ) -> Result<(C, u64), LoginError> {
        self.next = Some(now + PAUSE.max(took * LENGTHS));
        if let Some(current) = &self.current
            && (self.is_same)(&current.credentials, &credentials)
            && let Some(refused) = current.refused
            && let Some(problem) = &self.problem
            && now < refused + SAME_AGAIN
        {
            return Err(problem.clone());
        }
        self.obtained += 1;
        self.problem = None;
        self.current = Some(Current {
            credentials: credentials.clone(),
            until,
            refused: None,
            accepted: false,
        });
        Ok((credentials, self.obtained))
    }

    /// Notes that no credentials came, and returns the error for all requests until the next run.
    pub(super) fn failed(&mut self, error: LoginError, now: Instant, took: Duration) -> LoginError {
        self.next = Some(now + PAUSE.max(took * LENGTHS));
        self.problem = Some(error.clone());
        error
    }

    /// Notes that the API server refused the credentials with this number. Returns whether they are the current ones and
    /// cannot be renewed at once, so that a person should know.
    pub(super) fn refused(&mut self, number: u64, error: LoginError, now: Instant) -> bool {
        let is_news = |current: &&mut Current<C>| number == self.obtained && current.refused.is_none();
        let Some(current) = self.current.as_mut().filter(is_news) else {
            return false;
        };
        current.refused = Some(now);
        // Credentials that were accepted before have probably ended, so they are renewed at once.
        if std::mem::take(&mut current.accepted) && self.next.is_none_or(|next| now >= next) {
            return false;
        }
        self.problem = Some(error);
        true
    }

    /// Notes that the API server accepted the credentials with this number. Returns whether that is news.
    pub(super) fn accepted(&mut self, number: u64) -> bool {
        match self.current.as_mut() {
            Some(current) if number == self.obtained && !current.accepted => {
                current.accepted = true;
                true
            }
            _ => false,
        }
    }
}

/// Returns until when credentials count that say they end at `end`.
pub(super) fn counts_until(end: Timestamp, clock: Timestamp) -> Timestamp {
    let at_least = clock.checked_add(AT_LEAST).unwrap_or(clock);
    end.max(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewal() -> Renewal<&'static str> {
        Renewal::new(|a, b| a == b)
    }

    fn clock(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn refusal() -> LoginError {
        LoginError::Refused {
            plugin: None,
            expired: None,
        }
    }

    fn obtain() -> Need<&'static str> {
        Need::Obtain { renews: false }
    }

    fn renew() -> Need<&'static str> {
        Need::Obtain { renews: true }
    }

    const QUICK: Duration = Duration::from_millis(5);

    #[test]
    fn credentials_are_obtained_once() {
        let (mut renewal, now) = (renewal(), Instant::now());
        assert_eq!(renewal.need(now, clock(0)), obtain());
        renewal.obtained("a", None, now, QUICK).unwrap();
        renewal.accepted(1);
        let late = now + Duration::from_secs(1_000_000);
        assert_eq!(renewal.need(late, clock(1_000_000)), Need::Use("a", 1));
    }

    #[test]
    fn credentials_count_until_they_end() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", Some(clock(30)), now, QUICK).unwrap();
        assert_eq!(renewal.need(now, clock(29)), Need::Use("a", 1));
        assert_eq!(renewal.need(now, clock(30)), obtain());
        assert_eq!(counts_until(clock(0), clock(5)), clock(15));
        assert_eq!(counts_until(clock(60), clock(5)), clock(60));
    }

    #[test]
    fn accepted_credentials_are_renewed_at_the_first_refusal() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", None, now, QUICK).unwrap();
        assert!(renewal.accepted(1));
        assert!(!renewal.accepted(1));
        let later = now + PAUSE;
        assert!(!renewal.refused(1, refusal(), later));
        assert_eq!(renewal.need(later, clock(9)), renew());
        let (now, number) = renewal.obtained("b", None, later, QUICK).unwrap();
        assert_eq!((now, number), ("b", 2));
        assert!(
            !renewal.refused(1, refusal(), later),
            "an old refusal says nothing about new ones"
        );
        assert_eq!(renewal.need(later, clock(9)), Need::Use("b", 2));
    }

    #[test]
    fn refused_credentials_are_not_sent_again_soon() {
        let (mut renewal, begun) = (renewal(), Instant::now());
        renewal.obtained("a", None, begun, QUICK).unwrap();
        assert!(renewal.refused(1, refusal(), begun), "they were never accepted");
        let mut sent = 0;
        let mut renewed = 0;
        for tenth in 1..=600 {
            let now = begun + Duration::from_millis(100) * tenth;
            match renewal.need(now, clock(0)) {
                Need::Fail(error) => assert_eq!(error, refusal()),
                Need::Use(_, number) => {
                    sent += 1;
                    renewal.refused(number, refusal(), now);
                }
                Need::Obtain { renews } => {
                    assert!(renews);
                    renewed += 1;
                    let _ = renewal.obtained("a", None, now, QUICK);
                }
            }
        }
        assert_eq!(sent, 1, "once in 30 s");
        assert!((8..=10).contains(&renewed), "{renewed}");
    }

    #[test]
    fn new_credentials_are_sent_after_the_pause() {
        let (mut renewal, begun) = (renewal(), Instant::now());
        renewal.obtained("a", None, begun, QUICK).unwrap();
        renewal.refused(1, refusal(), begun);
        let now = begun + PAUSE;
        assert!(renewal.obtained("a", None, now, QUICK).is_err());
        let now = begun + 2 * PAUSE;
        assert_eq!(renewal.need(now, clock(0)), renew());
        assert_eq!(renewal.obtained("b", None, now, QUICK).unwrap(), ("b", 2));
    }

    #[test]
    fn a_long_run_is_followed_by_a_longer_pause() {
        let (mut renewal, now) = (renewal(), Instant::now());
        let failure = LoginError::Plugin {
            plugin: "login".into(),
            detail: "exit status: 1".into(),
            install_hint: None,
        };
        renewal.failed(failure.clone(), now, Duration::from_secs(30));
        assert_eq!(
            renewal.need(now + Duration::from_secs(119), clock(0)),
            Need::Fail(failure)
        );
        assert_eq!(renewal.need(now + Duration::from_secs(120), clock(0)), obtain());
    }
}
