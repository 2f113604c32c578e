//! Sessions of Slipway, as a person starts, watches and ends them.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{CONNECTING, Desk, Running, until_within};

impl Desk<'_> {
    /// Connects and returns when programs reach the cluster. The agent does not wait long, unless the arguments say so.
    pub fn connect(&self, arguments: &[&str]) -> Session<'_> {
        let session = self.start_connecting(arguments);
        let connected = until_within(CONNECTING, "the session is connected", || {
            assert!(
                session.running.is_alive(),
                "the session ended: {}",
                session.running.said()
            );
            session.state().as_deref() == Some("connected")
        });
        connected.unwrap_or_else(|why| panic!("{why}: {}", session.running.said()));
        session
    }

    /// Connects in the background, and returns when that is said to be connected.
    pub fn connect_detached(&self, arguments: &[&str]) -> Detached<'_> {
        let arguments = [&["connect", "--detach", "--agent-grace", "5"], arguments].concat();
        let output = self.slipway(&arguments).output().unwrap();
        let session = Detached {
            desk: self,
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
        };
        assert!(output.status.success(), "{output:?}");
        session
    }

    /// Begins to connect, as [`Desk::connect`] does, and returns at once.
    pub fn start_connecting(&self, arguments: &[&str]) -> Session<'_> {
        let grace: &[&str] = if arguments.contains(&"--agent-grace") {
            &[]
        } else {
            &["--agent-grace", "5"]
        };
        self.start_session(&[&["connect"], grace, arguments].concat())
    }

    /// Starts `slipway` with these arguments, which make it a session.
    pub fn start_session(&self, arguments: &[&str]) -> Session<'_> {
        let running = Running::start(self.slipway(arguments));
        Session { desk: self, running }
    }

    /// Watches the state of the session from now on, however short it is in one.
    pub fn states(&self) -> States {
        States(Running::start(self.slipway(&["status", "--watch", "--json"])))
    }

    /// The sessions, as `slipway status --json` tells them.
    pub fn status(&self) -> Vec<serde_json::Value> {
        let output = self.slipway(&["status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// The codes of what is wrong with a session, by its status.
pub fn problems(status: &serde_json::Value) -> Vec<&str> {
    let problems = status["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| problem["code"].as_str().unwrap())
        .collect()
}

/// A session in the background. With this, all of the laptop's end.
pub struct Detached<'a> {
    desk: &'a Desk<'a>,
    /// What was said until it was connected.
    pub said: String,
}

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        let _nothing_is_connected = self.desk.slipway(&["disconnect", "--all"]).output();
    }
}

/// A running session.
pub struct Session<'a> {
    desk: &'a Desk<'a>,
    /// Its process.
    pub running: Running,
}

impl Session<'_> {
    /// Its state, as scripts see it.
    pub fn state(&self) -> Option<String> {
        self.status()?.get("state")?.as_str().map(str::to_owned)
    }

    /// What scripts see of it.
    pub fn status(&self) -> Option<serde_json::Value> {
        self.desk.status().into_iter().next()
    }

    /// Ends it as a person would, by Ctrl-C.
    pub fn disconnect(mut self) {
        self.running.signal(Signal::SIGINT);
        let code = self.running.wait();
        assert_eq!(
            code,
            Some(0),
            "a session ended by Ctrl-C succeeds: {}",
            self.running.said()
        );
    }

    /// Ends it as the kernel would.
    pub fn kill(mut self) {
        self.running.kill();
    }
}

/// The states that a session was in, in their order.
pub struct States(Running);

impl States {
    /// Up to now. Where there was no session it is empty.
    pub fn seen(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.0.said().lines() {
            let sessions: serde_json::Value = serde_json::from_str(line).unwrap();
            let state = sessions[0]["state"].as_str().unwrap_or_default().to_owned();
            if seen.last() != Some(&state) {
                seen.push(state);
            }
        }
        seen
    }

    /// Waits until the last one is this.
    ///
    /// # Errors
    ///
    /// What was seen instead, when it did not come about within the limit.
    pub fn wait(&self, limit: Duration, state: &str) -> Result<(), String> {
        until_within(limit, &format!("the session is {state}"), || {
            self.seen().last().map(String::as_str) == Some(state)
        })
        .map_err(|why| format!("{why}: {:?}", self.seen()))
    }
}
