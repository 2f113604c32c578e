//! Desktop in a tray, with a session that it started.

use std::process::Stdio;

use nix::unistd::Pid;

use crate::{CONNECTING, Desk, Running, path_text, program, until_within};

/// A desktop whose session is connected.
pub struct Tray {
    running: Running,
    /// The desktop's process.
    pub desktop: Pid,
}

impl Tray {
    /// Connects by a click, and returns when the page was fetched.
    pub fn connect(desk: &Desk<'_>, page: &str) -> Tray {
        Tray::connect_with(desk, page, &[])
    }

    /// The same with more variables in the desktop's environment.
    pub fn connect_with(desk: &Desk<'_>, page: &str, variables: &[(&str, &str)]) -> Tray {
        let (driver, desktop) = (program("slipway-tray-driver"), program("slipway-desktop"));
        let arguments = ["--desktop", path_text(&desktop), "--page", page, "--hold"];
        let mut command = desk.command(path_text(&driver), &arguments);
        command.stdin(Stdio::null()).envs(variables.iter().copied());
        let running = Running::start(command);
        let mut pid = None;
        until_within(CONNECTING * 2, "the tray holds a session", || {
            assert!(running.is_alive(), "{}", running.said());
            pid = running.said().lines().find_map(|line| {
                let (_, pid) = line.split_once("Holding. The desktop is process ")?;
                pid.trim_end_matches('.').parse().ok()
            });
            pid.is_some()
        })
        .unwrap_or_else(|why| panic!("{why}: {}", running.said()));
        Tray {
            running,
            desktop: Pid::from_raw(pid.unwrap()),
        }
    }

    /// Returns the driver's output so far.
    pub fn said(&self) -> String {
        self.running.said()
    }

    /// Returns the texts that the menu has had, each from top to bottom in one line; the present one is the last.
    pub fn menus(&self) -> Vec<String> {
        let said = self.said();
        said.lines()
            .filter_map(|line| line.strip_prefix("The menu says: "))
            .map(str::to_owned)
            .collect()
    }
}
