//! Helper of a test, run as the packaged service runs it.

use slipway_bed::Laptop;

use crate::{Running, program, until};

/// Socket of the helper.
pub(crate) const SOCKET: &str = "/tmp/slipway-test-helper.sock";

/// Starts a helper, and returns when it listens.
pub(crate) fn start(laptop: &Laptop) -> Running {
    let path = program("slipway-helper");
    let arguments = ["--socket", SOCKET, "--allow-uid", "2000"];
    let helper = Running::start(laptop.command_as_helper(path.to_str().unwrap(), arguments));
    until("the helper listens", || {
        assert!(helper.is_alive(), "the helper ended: {}", helper.said());
        helper.said().contains("listening for sessions")
    })
    .unwrap_or_else(|why| panic!("{why}: {}", helper.said()));
    helper
}
