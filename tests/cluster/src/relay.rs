//! Relays to the API server on a laptop.

use crate::{Desk, LaptopFile, Running, until};

/// A relay on an address of the laptop, until this is dropped.
pub struct Relay {
    running: Running,
}

impl Relay {
    /// Address and port of every relay.
    pub const ADDRESS: &'static str = "127.0.0.1:3128";

    /// Starts a proxy that takes CONNECT. It leads to the API server, whatever address is asked for.
    pub fn proxy(desk: &Desk<'_>) -> Relay {
        Relay::start(desk, &[])
    }

    /// Starts a server of TLS with its own certificate, which passes on requests to the API server.
    pub fn with_certificate(desk: &Desk<'_>, certificate: &LaptopFile<'_>, key: &LaptopFile<'_>) -> Relay {
        Relay::start(desk, &[&certificate.path, &key.path])
    }

    fn start(desk: &Desk<'_>, files: &[&str]) -> Relay {
        let server = format!("{}:6443", desk.laptop.node());
        let arguments = [&["-c", include_str!("relay.py"), Relay::ADDRESS, &server], files].concat();
        let running = Running::start(desk.laptop.command_as_root("python3", arguments));
        until("the relay listens", || {
            assert!(running.is_alive(), "{}", running.said());
            running.said().contains("listening")
        })
        .unwrap();
        Relay { running }
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        let said = self.running.said();
        said.lines()
            .filter(|line| line.starts_with("connection:"))
            .count()
    }
}
