//! A connection into the cluster that stays open, and of which no byte may be lost.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{Desk, MOMENT, until, until_within};

const PROGRAM: &str = include_str!("conversation.py");

/// A TCP conversation with the echo service: it never pauses, what it says is numbered, and each byte that comes back
/// is compared with what was said.
pub struct Conversation {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    /// Begins one by way of the service's name, and returns when bytes have come back.
    pub fn begin(desk: &Desk<'_>) -> Conversation {
        let mut child = desk
            .command("python3", &["-c", PROGRAM, "echo", "7000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut conversation = Conversation { child, input, output };
        conversation.goes_on();
        let _first = conversation.gap();
        conversation
    }

    fn ask(&mut self, what: &str) -> Value {
        writeln!(self.input, "{what}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("the conversation did not begin, or broke off: {error}"))
    }

    /// The same, of a conversation that must not have failed.
    fn ask_well(&mut self, what: &str) -> Value {
        let answer = self.ask(what);
        assert_eq!(answer["failure"], Value::Null, "the conversation broke: {answer}");
        answer
    }

    /// The longest time without a byte since this was asked last.
    pub fn gap(&mut self) -> Duration {
        Duration::from_secs_f64(self.ask_well("gap")["seconds"].as_f64().unwrap())
    }

    /// Waits until it goes on.
    pub fn goes_on(&mut self) {
        self.goes_on_for(1);
    }

    /// Waits until so many more bytes have come back.
    pub fn goes_on_for(&mut self, bytes: u64) {
        let received = |answer: Value| answer["received"].as_u64().unwrap();
        let before = received(self.ask_well("now"));
        until_within(MOMENT * 2, "the conversation goes on", || {
            received(self.ask_well("now")) >= before + bytes
        })
        .unwrap();
    }

    /// Says no more, and shows that everything which was said came back, then the end. Returns how many bytes that was.
    pub fn end(mut self) -> u64 {
        let answer = self.ask_well("end");
        assert_eq!(answer["sent"], answer["received"], "bytes were lost");
        answer["sent"].as_u64().unwrap()
    }

    /// Waits until it broke, and says how.
    pub fn failure(&mut self) -> String {
        let mut failure = None;
        until("the conversation breaks", || {
            failure = self.ask("now")["failure"].as_str().map(str::to_owned);
            failure.is_some()
        })
        .unwrap();
        failure.unwrap()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
