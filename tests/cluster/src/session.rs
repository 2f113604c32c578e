//! Sessions that tests start, watch and end.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{CONNECTING, Desk, Running, path_text, program, until_within};

impl Desk<'_> {
    /// Connects, and returns when programs reach the cluster. The agent's grace is short, unless the arguments set it.
    pub fn connect(&self, arguments: &[&str]) -> Session<'_> {
        self.start_connecting(arguments).until_connected()
    }

    /// Connects with more variables in the environment.
    pub fn connect_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Session<'_> {
        let mut command = self.slipway(&[&["connect", "--agent-grace", "5"], arguments].concat());
        command.envs(variables.iter().copied());
        let running = Running::start(command);
        Session { desk: self, running }.until_connected()
    }

    /// Connects with limits of open files, as options of `ulimit`.
    pub fn connect_with_limit(&self, ulimit: &str, arguments: &[&str]) -> Session<'_> {
        let connect = [&["connect", "--agent-grace", "5"], arguments].concat();
        let running = Running::start(self.limited(ulimit, &connect));
        Session { desk: self, running }.until_connected()
    }

    /// Returns the command `slipway` with these arguments and limits of open files, as options of `ulimit`.
    pub fn limited(&self, ulimit: &str, arguments: &[&str]) -> Command {
        let script = format!("ulimit {ulimit} && exec \"$0\" \"$@\"");
        let slipway = program("slipway");
        let shell = ["-c", &script, path_text(&slipway)];
        self.command("sh", &[&shell[..], arguments].concat())
    }

    /// Connects in the background, and returns when the command reports the connection.
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

    /// Starts to connect, as [`Desk::connect`] does, and returns at once.
    pub fn start_connecting(&self, arguments: &[&str]) -> Session<'_> {
        let grace: &[&str] = if arguments.contains(&"--agent-grace") {
            &[]
        } else {
            &["--agent-grace", "5"]
        };
        self.start_session(&[&["connect"], grace, arguments].concat())
    }

    /// Starts a session: `slipway` with these arguments.
    pub fn start_session(&self, arguments: &[&str]) -> Session<'_> {
        let running = Running::start(self.slipway(arguments));
        Session { desk: self, running }
    }

    /// Watches the state of the session from now on, including short states.
    pub fn states(&self) -> States {
        States(Running::start(self.slipway(&["status", "--watch", "--json"])))
    }

    /// Returns the sessions of `slipway status --json`.
    pub fn status(&self) -> Vec<serde_json::Value> {
        let output = self.slipway(&["status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// Returns the codes of a session's problems, from its status.
pub fn problems(status: &serde_json::Value) -> Vec<&str> {
    let problems = status["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| problem["code"].as_str().unwrap())
        .collect()
}

/// A session in the background. When this is dropped, all sessions of the laptop end.
pub struct Detached<'a> {
    desk: &'a Desk<'a>,
    /// The output until it was connected.
    pub said: String,
}

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        let _ = self.desk.slipway(&["disconnect", "--all"]).output();
    }
}

/// A running session.
pub struct Session<'a> {
    desk: &'a Desk<'a>,
    /// Its process.
    pub running: Running,
}

impl<'a> Session<'a> {
    fn until_connected(self) -> Session<'a> {
        let connected = until_within(CONNECTING, "the session is connected", || {
            assert!(
                self.running.is_alive(),
                "the session ended: {}",
                self.running.said()
            );
            self.state().as_deref() == Some("connected")
        });
        connected.unwrap_or_else(|why| panic!("{why}: {}", self.running.said()));
        self
    }
}

impl Session<'_> {
    /// Returns its state from the status.
    pub fn state(&self) -> Option<String> {
        self.status()?.get("state")?.as_str().map(str::to_owned)
    }

    /// Returns the address of its agent's pod.
    pub fn agent_address(&self) -> String {
        let status = self.status().unwrap();
        let pod = format!("pods/{}", status["agent"]["pod"].as_str().unwrap());
        self.desk.address(&pod, "{.status.podIP}")
    }

    /// Returns its status, as in `slipway status --json`.
    pub fn status(&self) -> Option<serde_json::Value> {
        self.desk.status().into_iter().next()
    }

    /// Ends it with SIGINT, as Ctrl-C does.
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

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.running.kill();
    }
}

/// The states of a session, in their order.
pub struct States(Running);

impl States {
    /// Returns the states up to now; empty without a session.
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

    /// Waits until the last state is this one.
    ///
    /// # Errors
    ///
    /// The states that were seen, if it did not come within the limit.
    pub fn wait(&self, limit: Duration, state: &str) -> Result<(), String> {
        until_within(limit, &format!("the session is {state}"), || {
            self.seen().last().map(String::as_str) == Some(state)
        })
        .map_err(|why| format!("{why}: {:?}", self.seen()))
    }
}
