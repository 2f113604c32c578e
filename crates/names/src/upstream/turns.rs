//! Turns of the laptop's name servers for one question, without I/O or clock.
//!
//! Every question begins with the first server, whatever happened to earlier questions, as the C library does it
//! (`res_send`). The next server is asked when the one before fails, refuses, or does not answer within its turn. An
//! earlier server that answers late still counts.
//!
//! Servers may know different names: a company's server has names that the second one denies. So "no such name" of a
//! later server counts only when every earlier one has answered or had its time.

use std::time::Duration;

use super::ROUNDS;

/// Time after which a server that has said nothing no longer holds up "no such name" of a later one.
const HAS_HAD_ITS_TIME: Duration = ROUNDS[1];

/// Reply of a server to the question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// Records, or anything else that is neither of the following.
    Found,
    /// No such name, or no record of that type.
    Denied,
    /// The server does not answer this question (SERVFAIL, NOTIMP, REFUSED).
    Refused,
    /// The server cannot be reached, or what came is no answer.
    Failed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Ask this server, and call [`Turns::next`] again.
    Ask(usize),
    /// Wait for a reply until this time.
    WaitUntil(Duration),
    /// Give the program this server's answer.
    Give(usize),
    /// No server has answered, and none will be asked again.
    GiveUp,
}

/// Turns for one question. Times count from when the question came.
#[derive(Debug)]
pub(super) struct Turns {
    servers: Vec<Server>,
    /// Number of turns begun.
    begun: usize,
    /// End of the current turn.
    ends: Duration,
}

#[derive(Clone, Debug, Default)]
struct Server {
    asked: Option<Duration>,
    said: Option<Reply>,
}

impl Turns {
    /// Turns of this number of servers.
    pub(super) fn new(servers: usize) -> Self {
        Self {
            servers: vec![Server::default(); servers],
            begun: 0,
            ends: Duration::ZERO,
        }
    }

    /// Takes a server's reply.
    pub(super) fn heard(&mut self, server: usize, reply: Reply) {
        let server = &mut self.servers[server];
        // The question was perhaps sent twice, and an answer is worth more than the failure of the other one.
        if !matches!(server.said, Some(Reply::Found | Reply::Denied)) {
            server.said = Some(reply);
        }
    }

    /// Decides what to do at this time.
    pub(super) fn next(&mut self, now: Duration) -> Step {
        if let Some(found) = self.first(Reply::Found) {
            return Step::Give(found);
        }
        if let Some(denied) = self.first(Reply::Denied) {
            return self
                .silent_until(denied, now)
                .map_or(Step::Give(denied), Step::WaitUntil);
        }
        if now < self.ends && self.current().is_some_and(|server| server.said.is_none()) {
            return Step::WaitUntil(self.ends);
        }
        let round = self.begun / self.servers.len().max(1);
        if self.begun > 0
            && self.begun == round * self.servers.len()
            && let Some(refused) = self.first(Reply::Refused)
        {
            return Step::Give(refused);
        }
        match ROUNDS.get(round) {
            Some(limit) if !self.servers.is_empty() => self.begin(now, *limit),
            Some(_) | None => Step::GiveUp,
        }
    }

    /// Begins the next server's turn.
    fn begin(&mut self, now: Duration, limit: Duration) -> Step {
        let index = self.begun % self.servers.len();
        self.begun += 1;
        self.ends = now + limit;
        let server = &mut self.servers[index];
        server.asked.get_or_insert(now);
        server.said = None;
        Step::Ask(index)
    }

    fn current(&self) -> Option<&Server> {
        self.servers.get(self.begun.checked_sub(1)? % self.servers.len())
    }

    fn first(&self, reply: Reply) -> Option<usize> {
        self.servers.iter().position(|server| server.said == Some(reply))
    }

    /// Returns until when an earlier server may still answer; `None` if all have answered or had their time.
    fn silent_until(&self, denied: usize, now: Duration) -> Option<Duration> {
        let earlier = self.servers[..denied].iter();
        let silent = earlier.filter(|server| server.said.is_none());
        let ends = silent
            .filter_map(|server| Some(server.asked? + HAS_HAD_ITS_TIME))
            .max()?;
        (ends > now).then_some(ends)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reply of a server, and how long it takes; `None` for silence.
    type Script = Option<(Reply, u64)>;

    /// Runs a question against scripted servers. Returns which were asked and when, and the last step with its time.
    fn run(script: &[Script]) -> (Vec<(usize, u64)>, Step, u64) {
        let mut turns = Turns::new(script.len());
        let (mut now, mut asked, mut due) = (Duration::ZERO, Vec::new(), Vec::new());
        loop {
            match turns.next(now) {
                Step::Ask(server) => {
                    asked.push((server, millis(now)));
                    due.extend(
                        script[server]
                            .map(|(reply, after)| (now + Duration::from_millis(after), server, reply)),
                    );
                }
                Step::WaitUntil(until) => {
                    assert!(until > now, "a wait has an end in the future");
                    due.sort_by_key(|(at, server, _)| (*at, *server));
                    match due.first().copied().filter(|(at, ..)| *at <= until) {
                        Some((at, server, reply)) => {
                            due.remove(0);
                            now = now.max(at);
                            turns.heard(server, reply);
                        }
                        None => now = until,
                    }
                }
                end @ (Step::Give(_) | Step::GiveUp) => return (asked, end, millis(now)),
            }
        }
    }

    fn millis(time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap()
    }

    fn result(script: &[Script]) -> (Step, u64) {
        let (_, step, at) = run(script);
        (step, at)
    }

    const FIRST: u64 = 1200;
    const SECOND: u64 = 2500;

    #[test]
    fn a_server_that_answers_is_the_only_one_asked() {
        for reply in [Reply::Found, Reply::Denied] {
            let script = [Some((reply, 900)), Some((Reply::Found, 1)), None];
            assert_eq!(run(&script), (vec![(0, 0)], Step::Give(0), 900));
        }
    }

    #[test]
    fn refusals_and_failures_lead_to_the_next_server_at_once() {
        for reply in [Reply::Refused, Reply::Failed] {
            let script = [Some((reply, 10)), Some((Reply::Denied, 10))];
            assert_eq!(run(&script), (vec![(0, 0), (1, 10)], Step::Give(1), 20));
        }
        assert_eq!(
            result(&[Some((Reply::Refused, 10)), Some((Reply::Refused, 10))]),
            (Step::Give(0), 20)
        );
    }

    #[test]
    fn a_silent_server_costs_its_turn() {
        let script = [None, Some((Reply::Found, 10))];
        assert_eq!(
            run(&script),
            (vec![(0, 0), (1, FIRST)], Step::Give(1), FIRST + 10)
        );
    }

    #[test]
    fn a_late_answer_of_an_earlier_server_counts() {
        for reply in [Reply::Found, Reply::Denied] {
            let late = [Some((reply, 2000)), None];
            assert_eq!(result(&late), (Step::Give(0), 2000));
            let denied_meanwhile = [Some((reply, 2000)), Some((Reply::Denied, 10))];
            assert_eq!(result(&denied_meanwhile), (Step::Give(0), 2000), "{reply:?}");
        }
    }

    #[test]
    fn no_such_name_of_a_later_server_waits_for_an_earlier_one() {
        let script = [None, Some((Reply::Denied, 10))];
        assert_eq!(
            run(&script),
            (vec![(0, 0), (1, FIRST)], Step::Give(1), SECOND),
            "until that one has had its time, and no third one is asked"
        );
        let third = [None, Some((Reply::Failed, 10)), Some((Reply::Denied, 10))];
        assert_eq!(result(&third), (Step::Give(2), SECOND));
    }

    #[test]
    fn silent_servers_are_asked_twice() {
        let (asked, step, at) = run(&[None, None]);
        assert_eq!(
            asked,
            [(0, 0), (1, FIRST), (0, 2 * FIRST), (1, 2 * FIRST + SECOND)]
        );
        assert_eq!((step, at), (Step::GiveUp, 2 * FIRST + 2 * SECOND));
        assert_eq!(result(&[]), (Step::GiveUp, 0));
    }

    #[test]
    fn a_refusal_is_given_when_the_others_are_silent() {
        assert_eq!(
            result(&[None, Some((Reply::Refused, 10))]),
            (Step::Give(1), FIRST + 10)
        );
    }

    fn any_reply() -> impl Strategy<Value = Script> {
        let reply = prop_oneof![
            Just(Reply::Found),
            Just(Reply::Denied),
            Just(Reply::Refused),
            Just(Reply::Failed)
        ];
        prop::option::of((reply, 0..4000u64))
    }

    proptest! {
        #[test]
        fn no_denial_counts_before_an_earlier_answer(script in prop::collection::vec(any_reply(), 1..4)) {
            let (_, step, at) = run(&script);
            if let Step::Give(given) = step
                && script[given].is_some_and(|(reply, _)| reply == Reply::Denied)
            {
                for earlier in &script[..given] {
                    let found_in_time = matches!(earlier, Some((Reply::Found, after)) if *after < SECOND);
                    prop_assert!(!found_in_time, "{script:?} gave {given} at {at}");
                }
            }
        }

        #[test]
        fn every_question_ends_in_time(script in prop::collection::vec(any_reply(), 0..4)) {
            let (asked, _, at) = run(&script);
            prop_assert!(asked.len() <= 2 * script.len());
            prop_assert!(at <= (FIRST + SECOND) * script.len() as u64);
        }
    }
}
