//! A connection to the user's session bus: the part of D-Bus that a Secret Service needs
//! (<https://dbus.freedesktop.org/doc/dbus-specification.html>).
//!
//! Calls block, each for a limited time, so the connection belongs in a thread of its own.

mod address;
mod message;
mod reader;
mod writer;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

pub(crate) use message::{Call, Message};
pub(crate) use writer::Writer;

/// Limit of one call.
pub(crate) const CALL_PATIENCE: Duration = Duration::from_secs(10);

/// Longest line of the handshake, in bytes.
const MAX_LINE: usize = 1024;

/// The bus itself, as a destination of calls.
const BUS: &str = "org.freedesktop.DBus";

/// Errors with which the bus says that nobody answers to a name.
const NOBODY: [&str; 5] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.TimedOut",
    "org.freedesktop.DBus.Error.UnknownMethod",
];

/// Beginning of the errors of a service that could not be started.
const NOT_STARTED: &str = "org.freedesktop.DBus.Error.Spawn.";

/// Reason for which a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BusError {
    /// There is no bus, or no service of the name.
    #[error("{0}")]
    Absent(String),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The service answered with an error.
    #[error("{name}: {message}")]
    Refused { name: String, message: String },
    /// What came is not D-Bus.
    #[error("{0}")]
    Broken(&'static str),
}

/// A connection to the session bus.
pub(crate) struct Bus {
    stream: UnixStream,
    serial: u32,
}

/// Time at which a wait ends, and its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    /// The deadline of a wait that begins now.
    pub(crate) fn of(patience: Duration) -> Self {
        Self {
            at: Instant::now() + patience,
            patience,
        }
    }

    fn left(self) -> Result<Duration, BusError> {
        let left = self.at.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(BusError::Slow(self.patience)),
            false => Ok(left),
        }
    }

    fn failed(self, error: &io::Error) -> BusError {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return BusError::Slow(self.patience);
        }
        BusError::Absent(format!("the connection to the session bus broke: {error}"))
    }
}

impl Bus {
    /// Connects and logs in.
    pub(crate) fn connect() -> Result<Self, BusError> {
        let stream = address::connect()?;
        let mut bus = Self { stream, serial: 0 };
        let deadline = Deadline::of(CALL_PATIENCE);
        bus.log_in(deadline)?;
        bus.call_within(deadline, &bus_call("Hello"), Writer::default())?;
        Ok(bus)
    }

    /// Logs in as the user of this process, whom the kernel names to the bus.
    fn log_in(&mut self, deadline: Deadline) -> Result<(), BusError> {
        let id: String = geteuid()
            .to_string()
            .bytes()
            .map(|digit| format!("{digit:02x}"))
            .collect();
        self.write(deadline, format!("\0AUTH EXTERNAL {id}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() >= MAX_LINE {
                return Err(BusError::Broken("the session bus does not speak D-Bus"));
            }
            let mut byte = [0];
            self.read(deadline, &mut byte)?;
            line.extend(byte);
        }
        if !line.starts_with(b"OK ") {
            return Err(BusError::Absent("the session bus refuses this user".to_owned()));
        }
        self.write(deadline, b"BEGIN\r\n")
    }

    /// Makes a call, and returns the answer.
    pub(crate) fn call(&mut self, call: &Call<'_>, body: Writer) -> Result<Message, BusError> {
        self.call_within(Deadline::of(CALL_PATIENCE), call, body)
    }

    fn call_within(
        &mut self,
        deadline: Deadline,
        call: &Call<'_>,
        body: Writer,
    ) -> Result<Message, BusError> {
        let serial = self.send(deadline, call, body)?;
        loop {
            let message = self.receive(deadline)?;
            if message.answers(serial) {
                return message.into_answer();
            }
        }
    }

    /// Makes a call after which `path` emits the signal `member` of `interface`, and returns that signal.
    pub(crate) fn call_until_signal(
        &mut self,
        deadline: Deadline,
        call: &Call<'_>,
        body: Writer,
        member: &str,
    ) -> Result<Message, BusError> {
        let mut rule = Writer::default();
        rule.text(&format!(
            "type='signal',interface='{}',member='{member}',path='{}'",
            call.interface, call.path
        ));
        self.call(&bus_call("AddMatch").of("s"), rule)?;
        let serial = self.send(deadline, call, body)?;
        loop {
            let message = self.receive(deadline)?;
            if message.answers(serial) {
                // The signal may have come before the answer, but not before the error.
                message.into_answer()?;
            } else if message.is_signal(call.path, member) {
                return Ok(message);
            }
        }
    }

    fn send(&mut self, deadline: Deadline, call: &Call<'_>, body: Writer) -> Result<u32, BusError> {
        self.serial = self.serial.wrapping_add(1).max(1);
        let head = call.head(self.serial, body.len());
        self.write(deadline, head.bytes_so_far())?;
        self.write(deadline, body.bytes_so_far())?;
        Ok(self.serial)
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Message, BusError> {
        Message::read(|buffer| self.read(deadline, buffer))
    }

    fn write(&mut self, deadline: Deadline, bytes: &[u8]) -> Result<(), BusError> {
        let left = deadline.left()?;
        let written = self.stream.set_write_timeout(Some(left));
        let written = written.and_then(|()| self.stream.write_all(bytes));
        written.map_err(|error| deadline.failed(&error))
    }

    fn read(&mut self, deadline: Deadline, mut buffer: &mut [u8]) -> Result<(), BusError> {
        // Each part may take the time that is left, so that a slow peer does not extend the limit.
        while !buffer.is_empty() {
            let left = deadline.left()?;
            let read = self.stream.set_read_timeout(Some(left));
            match read.and_then(|()| self.stream.read(buffer)) {
                Ok(0) => {
                    return Err(BusError::Absent(
                        "the session bus closed the connection".to_owned(),
                    ));
                }
                Ok(length) => buffer = buffer.get_mut(length..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(deadline.failed(&error)),
            }
        }
        Ok(())
    }
}

/// Returns a call of the bus itself.
fn bus_call(member: &str) -> Call<'_> {
    Call {
        destination: BUS,
        path: "/org/freedesktop/DBus",
        interface: BUS,
        member,
        signature: "",
    }
}

/// Returns the reason behind an error that the peer answered.
fn refusal(name: String, message: String) -> BusError {
    if NOBODY.contains(&&*name) || name.starts_with(NOT_STARTED) {
        return BusError::Absent(if message.is_empty() { name } else { message });
    }
    BusError::Refused { name, message }
}
