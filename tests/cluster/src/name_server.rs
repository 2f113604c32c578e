//! Name servers on a laptop, as a home router or a company has them.

use crate::{Desk, Frozen, Running, until};

/// A name server on an address of the laptop, until this is dropped.
pub struct NameServer<'a> {
    desk: &'a Desk<'a>,
    address: &'static str,
    running: Running,
}

impl<'a> NameServer<'a> {
    /// Starts it with records `NAME=ADDRESS` or `NAME=servfail`. It denies all other names.
    pub fn start(desk: &'a Desk<'a>, address: &'static str, records: &[&str]) -> NameServer<'a> {
        desk.as_root(
            "ip",
            &["address", "replace", &format!("{address}/32"), "dev", "lo"],
        );
        let arguments = [&["-c", include_str!("name_server.py"), address], records].concat();
        let running = Running::start(desk.laptop.command_as_root("python3", arguments));
        let server = NameServer {
            desk,
            address,
            running,
        };
        until("the name server listens", || {
            assert!(server.running.is_alive(), "{}", server.running.said());
            server.running.said().contains("listening")
        })
        .unwrap();
        server
    }

    /// Makes it silent, until the result is dropped.
    pub fn freeze(&self) -> Frozen {
        Frozen::new(self.running.pid())
    }
}

impl Drop for NameServer<'_> {
    fn drop(&mut self) {
        let address = format!("{}/32", self.address);
        self.desk
            .output_as_root("ip", &["address", "delete", &address, "dev", "lo"]);
    }
}
