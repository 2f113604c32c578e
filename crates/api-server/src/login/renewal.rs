//! Decision whether credentials are used, obtained again, or not sent. Reads no clock and does no I/O.
//!
//! After a refusal, two things go on beside each other until the API server accepts credentials:
//! - Kubeconfig, token file or plugin are asked for other credentials, which are sent at once. If that takes at most
//!   [`QUICK`], it begins [`PAUSE`] after the last time, so that a new login is noticed within 10 s even if it comes just after
//!   the beginning. A slower plugin probably opens a window; it is left alone for [`LENGTHS`] times as long as it took.
//! - The refused credentials are sent again after 1, 2, 4, 8 and 16 s, and then every 30 s, because an API server that has
//!   just started refuses valid ones (OIDC, webhooks): seven requests in the first minute.
//!
//! A person is told when the API server has refused credentials for about 3 s.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::LoginError;

/// Time from asking kubeconfig, token file or a quick plugin to asking again, after a refusal or a failure.
pub(super) const PAUSE: Duration = Duration::from_secs(6);

/// Longest run of a plugin that counts as quick.
const QUICK: Duration = Duration::from_secs(2);

/// The pause after a longer run, in lengths of the run.
const LENGTHS: u32 = 4;

/// Pause before refused credentials that stay the same are sent again: the first one, and the longest that it grows to.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Number of refusals in a row of which a person is not told.
const UNTOLD: u32 = 2;

/// Shortest time that new credentials count, even if they say that they have ended: this computer's clock may be wrong.
const AT_LEAST: SignedDuration = SignedDuration::from_secs(10);

/// What a request needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Need<C> {
    /// Send these credentials, with this number.
    Use(C, u64),
    /// Send the refused credentials again, of which [`Renewal::send_again`] gives the number to one request.
    Again,
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
    /// Number of times that new credentials, or refused ones again, were given to requests.
    number: u64,
    /// Why requests are not sent.
    problem: Option<LoginError>,
    /// When credentials may be obtained again.
    next: Option<Instant>,
    /// When refused credentials may be sent again, and the pause after that.
    again: Option<Instant>,
    pause: Duration,
    /// Number of refusals since credentials were accepted, and the number of the credentials of the last one.
    refusals: u32,
    last_refused: u64,
}

#[derive(Debug)]
struct Current<C> {
    credentials: C,
    until: Option<Timestamp>,
    /// The refusal, until the API server accepts them.
    refused: Option<LoginError>,
    accepted: bool,
}

impl<C: Clone> Renewal<C> {
    pub(super) fn new(is_same: fn(&C, &C) -> bool) -> Self {
        Self {
            is_same,
            current: None,
            number: 0,
            problem: None,
            next: None,
            again: None,
            pause: FIRST_PAUSE,
            refusals: 0,
            last_refused: 0,
        }
    }

    /// Returns what a request needs at this time. `clock` is the calendar's time.
    pub(super) fn need(&self, now: Instant, clock: Timestamp) -> Need<C> {
        let counts = |current: &Current<C>| current.until.is_none_or(|until| clock < until);
        match (&self.problem, &self.current) {
            (None, Some(current)) if current.refused.is_some() => Need::Obtain { renews: true },
            (None, Some(current)) if counts(current) => Need::Use(current.credentials.clone(), self.number),
            (None, _) => Need::Obtain { renews: false },
            (Some(_), current) if self.may_obtain(now) => Need::Obtain {
                renews: current.is_some(),
            },
            (Some(_), Some(current))
                if current.refused.is_some() && counts(current) && self.may_send_again(now) =>
            {
                Need::Again
            }
            (Some(problem), _) => Need::Fail(problem.clone()),
        }
    }

    fn may_obtain(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    fn may_send_again(&self, now: Instant) -> bool {
        self.again.is_none_or(|again| now >= again)
    }

    /// Begins the next pause, and returns the refused credentials and their number, for one request.
    pub(super) fn send_again(&mut self, now: Instant) -> Option<(C, u64)> {
        let credentials = self.current.as_ref()?.credentials.clone();
        self.put_off(now);
        self.number += 1;
        Some((credentials, self.number))
    }

    fn put_off(&mut self, now: Instant) {
        self.again = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
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
    ) -> Result<(), LoginError> {
        self.next = Some(next_run(now, took));
        if let Some(current) = &mut self.current
            && (self.is_same)(&current.credentials, &credentials)
            && let Some(refusal) = current.refused.clone()
        {
            current.until = until;
            self.problem = Some(refusal.clone());
            return match self.may_send_again(now) {
                true => Ok(()),
                false => Err(refusal),
            };
        }
        self.number += 1;
        self.problem = None;
        self.current = Some(Current {
            credentials,
            until,
            refused: None,
            accepted: false,
        });
        Ok(())
    }

    /// Notes that no credentials came, and returns the error for all requests until the next run.
    pub(super) fn failed(&mut self, error: LoginError, now: Instant, took: Duration) -> LoginError {
        self.next = Some(next_run(now, took));
        self.problem = Some(error.clone());
        error
    }

    /// Notes that the API server refused the credentials with this number.
    pub(super) fn refused(&mut self, number: u64, error: LoginError, now: Instant) {
        let may_obtain = self.may_obtain(now);
        let is_news = number == self.number && number != self.last_refused;
        let Some(current) = self.current.as_mut().filter(|_| is_news) else {
            return;
        };
        self.last_refused = number;
        self.refusals = self.refusals.saturating_add(1);
        let was_accepted = std::mem::take(&mut current.accepted);
        let is_first = current.refused.replace(error.clone()).is_none();
        if is_first {
            self.put_off(now);
        }
        // Credentials that were accepted before have probably ended, so others are obtained at once.
        let renews_at_once = was_accepted && may_obtain;
        let has_other_problem =
            (self.problem.as_ref()).is_some_and(|problem| !matches!(problem, LoginError::Refused { .. }));
        if !renews_at_once && !has_other_problem {
            self.problem = Some(error);
        }
    }

    /// Notes that the API server accepted the credentials with this number. Returns whether that is news.
    pub(super) fn accepted(&mut self, number: u64) -> bool {
        let Some(current) = self.current.as_mut().filter(|_| number == self.number) else {
            return false;
        };
        let was_refused = current.refused.take().is_some();
        if was_refused {
            self.problem = None;
        }
        (self.again, self.pause, self.refusals) = (None, FIRST_PAUSE, 0);
        !std::mem::replace(&mut current.accepted, true) || was_refused
    }

    /// Returns why requests fail, if a person should know it: not of a refusal that may pass by itself in a moment.
    pub(super) fn to_tell(&self) -> Option<&LoginError> {
        let may_pass = |problem: &LoginError| {
            matches!(problem, LoginError::Refused { expired: None, .. }) && self.refusals <= UNTOLD
        };
        self.problem.as_ref().filter(|problem| !may_pass(problem))
    }
}

/// Returns when credentials may be obtained after a run that ended at `now` and took this long.
fn next_run(now: Instant, took: Duration) -> Instant {
    if took <= QUICK {
        now + PAUSE.saturating_sub(took)
    } else {
        now + took * LENGTHS
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

    const MOMENT: Duration = Duration::from_millis(5);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// When requests are sent and credentials are obtained, in seconds after the API server began to refuse accepted
    /// credentials. Ten requests come in each second. Credentials are obtained by `run`, which gets the second.
    fn minute(run: impl Fn(u64) -> (&'static str, Duration)) -> (Vec<u64>, Vec<u64>) {
        let (mut renewal, begun) = (renewal(), Instant::now());
        let (mut sent, mut obtained) = (Vec::new(), Vec::new());
        renewal.obtained("a", None, begun, MOMENT).unwrap();
        renewal.accepted(1);
        let begun = begun + seconds(1000);
        let mut now = begun;
        while now < begun + seconds(60) {
            let second = (now - begun).as_secs();
            let number = match renewal.need(now, clock(0)) {
                Need::Use(_, number) => Some(number),
                Need::Again => renewal.send_again(now).map(|(_, number)| number),
                Need::Fail(_) => None,
                Need::Obtain { renews } => {
                    assert!(renews);
                    obtained.push(second);
                    let (credentials, took) = run(second);
                    now += took;
                    let _ = renewal.obtained(credentials, None, now, took);
                    continue;
                }
            };
            if let Some(number) = number {
                sent.push((now - begun).as_secs());
                renewal.refused(number, refusal(), now);
            }
            now += seconds(1) / 10;
        }
        (sent, obtained)
    }

    #[test]
    fn credentials_are_obtained_once() {
        let (mut renewal, now) = (renewal(), Instant::now());
        assert_eq!(renewal.need(now, clock(0)), obtain());
        renewal.obtained("a", None, now, MOMENT).unwrap();
        renewal.accepted(1);
        let late = now + Duration::from_secs(1_000_000);
        assert_eq!(renewal.need(late, clock(1_000_000)), Need::Use("a", 1));
    }

    #[test]
    fn credentials_count_until_they_end() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", Some(clock(30)), now, MOMENT).unwrap();
        assert_eq!(renewal.need(now, clock(29)), Need::Use("a", 1));
        assert_eq!(renewal.need(now, clock(30)), obtain());
        assert_eq!(counts_until(clock(0), clock(5)), clock(15));
        assert_eq!(counts_until(clock(60), clock(5)), clock(60));
    }

    #[test]
    fn accepted_credentials_are_renewed_at_the_first_refusal() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", None, now, MOMENT).unwrap();
        assert!(renewal.accepted(1));
        assert!(!renewal.accepted(1));
        let later = now + PAUSE;
        renewal.refused(1, refusal(), later);
        assert_eq!(renewal.need(later, clock(9)), renew());
        renewal.obtained("b", None, later, MOMENT).unwrap();
        renewal.refused(1, refusal(), later);
        assert_eq!(
            renewal.need(later, clock(9)),
            Need::Use("b", 2),
            "an old refusal says nothing about new ones"
        );
    }

    #[test]
    fn valid_credentials_are_back_a_second_after_one_refusal() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", None, now, MOMENT).unwrap();
        renewal.accepted(1);
        let now = now + seconds(100);
        renewal.refused(1, refusal(), now);
        assert_eq!(renewal.need(now, clock(0)), renew());
        assert_eq!(renewal.obtained("a", None, now, MOMENT), Err(refusal()));
        assert_eq!(renewal.need(now, clock(0)), Need::Fail(refusal()));
        assert_eq!(renewal.to_tell(), None, "it may pass");
        let now = now + seconds(1);
        assert_eq!(renewal.need(now, clock(0)), Need::Again);
        assert_eq!(renewal.send_again(now), Some(("a", 2)));
        assert_eq!(
            renewal.need(now, clock(0)),
            Need::Fail(refusal()),
            "one request is enough"
        );
        assert!(renewal.accepted(2));
        assert_eq!(renewal.need(now, clock(0)), Need::Use("a", 2));
        assert_eq!(renewal.to_tell(), None);
        renewal.refused(2, refusal(), now + seconds(9));
        renewal.obtained("a", None, now + seconds(9), MOMENT).unwrap_err();
        assert_eq!(
            renewal.need(now + seconds(10), clock(0)),
            Need::Again,
            "pauses begin small again"
        );
    }

    #[test]
    fn refused_credentials_are_sent_again_with_growing_pauses() {
        let (sent, obtained) = minute(|_| ("a", MOMENT));
        assert_eq!(sent, [0, 1, 3, 7, 15, 31]);
        assert_eq!(obtained, [0, 6, 12, 18, 24, 30, 36, 42, 48, 54]);
    }

    #[test]
    fn new_credentials_are_sent_at_once() {
        let (sent, _) = minute(|second| (if second < 20 { "a" } else { "b" }, MOMENT));
        assert_eq!(sent[..6], [0, 1, 3, 7, 15, 24]);
        let each_time = ["a", "b"];
        let (sent, _) = minute(|second| (each_time[usize::from(second % 12 == 0)], MOMENT));
        assert_eq!(sent, [0, 0, 2, 6, 12, 18, 24, 30, 36, 42, 48, 54]);
    }

    #[test]
    fn a_new_login_by_a_quick_plugin_is_noticed_in_time() {
        for took in [5, 500, 1_500, 2_000].map(Duration::from_millis) {
            let (_, obtained) = minute(|_| ("a", took));
            for pair in obtained.windows(2) {
                let noticed = seconds(pair[1] - pair[0]) + took;
                assert!(noticed <= seconds(9), "{took:?}: {obtained:?}");
            }
        }
    }

    #[test]
    fn a_slow_plugin_opens_few_windows() {
        let (sent, obtained) = minute(|_| ("a", seconds(3)));
        assert_eq!(obtained, [0, 15, 30, 45]);
        assert!(sent.len() <= 8, "{sent:?}");
        let (mut renewal, now) = (renewal(), Instant::now());
        let failure = LoginError::Plugin {
            plugin: "login".into(),
            detail: "exit status: 1".into(),
            install_hint: None,
        };
        renewal.failed(failure.clone(), now, seconds(30));
        assert_eq!(renewal.need(now + seconds(119), clock(0)), Need::Fail(failure));
        assert_eq!(renewal.need(now + seconds(120), clock(0)), obtain());
    }

    #[test]
    fn credentials_are_sent_again_although_the_plugin_fails() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", None, now, MOMENT).unwrap();
        renewal.accepted(1);
        let now = now + seconds(100);
        renewal.refused(1, refusal(), now);
        assert_eq!(renewal.failed(LoginError::Ended, now, MOMENT), LoginError::Ended);
        assert_eq!(renewal.to_tell(), Some(&LoginError::Ended));
        assert_eq!(renewal.need(now + seconds(1), clock(0)), Need::Again);
        renewal.send_again(now + seconds(1));
        renewal.refused(2, refusal(), now + seconds(1));
        assert_eq!(renewal.to_tell(), Some(&LoginError::Ended));
        assert_eq!(renewal.need(now + seconds(3), clock(0)), Need::Again);
        renewal.send_again(now + seconds(3));
        renewal.accepted(3);
        assert_eq!(renewal.need(now + seconds(3), clock(0)), Need::Use("a", 3));
    }

    #[test]
    fn a_person_is_told_of_the_third_refusal_or_an_expired_token() {
        let (mut renewal, now) = (renewal(), Instant::now());
        renewal.obtained("a", None, now, MOMENT).unwrap();
        for (number, second) in [(1, 0), (2, 1), (3, 3)] {
            assert_eq!(renewal.to_tell(), None, "{number}");
            let now = now + seconds(second);
            if number > 1 {
                assert_eq!(renewal.need(now, clock(0)), Need::Again);
                assert_eq!(renewal.send_again(now), Some(("a", number)));
            }
            renewal.refused(number, refusal(), now);
            renewal.refused(number, refusal(), now);
        }
        assert_eq!(renewal.to_tell(), Some(&refusal()));
        let expired = LoginError::Refused {
            plugin: None,
            expired: Some(clock(0)),
        };
        let mut renewal = Renewal::new(|a: &&str, b| a == b);
        renewal.obtained("a", None, now, MOMENT).unwrap();
        renewal.refused(1, expired.clone(), now);
        assert_eq!(renewal.to_tell(), Some(&expired));
    }
}
