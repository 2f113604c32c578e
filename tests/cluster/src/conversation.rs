//! Conversation: a connection to the cluster that stays open and must not lose a byte.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{Desk, MOMENT, until, until_within};

const PROGRAM: &str = include_str!("conversation.py");

/// A TCP conversation with the echo service. It sends numbered messages without pause, and compares each echoed byte.
pub struct Conversation {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    /// Starts a conversation by the service's name, and returns when bytes have come back.
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
        // The start does not count as a gap.
        let _ = conversation.gap();
        conversation
    }

    fn ask(&mut self, what: &str) -> Value {
        writeln!(self.input, "{what}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("the conversation did not begin, or broke off: {error}"))
    }

    /// Returns the next answer of a conversation that must not have failed.
    fn ask_well(&mut self, what: &str) -> Value {
        let answer = self.ask(what);
        assert_eq!(answer["failure"], Value::Null, "the conversation broke: {answer}");
        answer
    }

    /// Returns the longest time without a byte since the last call.
    pub fn gap(&mut self) -> Duration {
        Duration::from_secs_f64(self.ask_well("gap")["seconds"].as_f64().unwrap())
    }

    /// Waits until the conversation continues.
    pub fn goes_on(&mut self) {
        self.goes_on_for(1);
    }

    /// Waits until this many more bytes have come back.
    pub fn goes_on_for(&mut self, bytes: u64) {
        let received = |answer: Value| answer["received"].as_u64().unwrap();
        let before = received(self.ask_well("now"));
        until_within(MOMENT * 2, "the conversation goes on", || {
            received(self.ask_well("now")) >= before + bytes
        })
        .unwrap();
    }

    /// Ends the conversation, and checks that all sent bytes came back, then the end. Returns their number.
    pub fn end(mut self) -> u64 {
        let answer = self.ask_well("end");
        assert_eq!(answer["sent"], answer["received"], "bytes were lost");
        answer["sent"].as_u64().unwrap()
    }

    /// Waits until the conversation breaks, and returns its error.
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
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
