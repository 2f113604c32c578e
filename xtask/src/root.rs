//! Root privileges: requested once per command, and dropped for programs that do not need them.
//!
//! A command requests root at its beginning; sudo then starts it again with the same environment. Builds run as the
//! calling user, so that no file in the user's caches belongs to root.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use nix::unistd::{Gid, Uid};

use crate::{folders, say};

/// Environment variable with the calling user, for the program that sudo starts: `UID:GID`.
const CALLER: &str = "SLIPWAY_XTASK_CALLER";

/// Environment variables that are passed through sudo. Not all, because every user can see the arguments of sudo.
const KEPT: &[&str] = &[
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_TERM_COLOR",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "GOFLAGS",
    "GOPROXY",
    "GOSUMDB",
    "HOME",
    "KUBECONFIG",
    "LANG",
    "PATH",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "TERM",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
];

/// Whether this process is root.
pub(crate) fn is() -> bool {
    Uid::effective().is_root()
}

/// Prints what root is needed for, and starts this command again with sudo. Returns only if this is root already, or if
/// the user refuses.
///
/// # Errors
///
/// When the command cannot be started again.
pub(crate) fn ask(what_for: &str) -> anyhow::Result<()> {
    // If sudo did not give root, it is not tried again.
    if is() || caller().is_some() {
        return Ok(());
    }
    say(&format!("Root is needed {what_for}."));
    if !is_given()? {
        return Ok(());
    }
    // Created now, so that it belongs to the user.
    std::fs::create_dir_all(folders::cache()?).context("Failed to make the folder of caches")?;
    let own = std::env::current_exe().context("the path of this program is not known")?;
    let failed = Command::new("sudo")
        .args(["--", "env"])
        .args(surroundings(|name| std::env::var_os(name)))
        .arg(format!("{CALLER}={}:{}", Uid::current(), Gid::current()))
        .arg(own)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(failed).context("Failed to start this command again with sudo")
}

/// As [`ask`], for commands that cannot run without root.
///
/// # Errors
///
/// When the user refuses.
pub(crate) fn require(what_for: &str) -> anyhow::Result<()> {
    ask(what_for)?;
    ensure!(is(), "This command needs root: allow sudo, or run it as root");
    Ok(())
}

/// Runs `sudo --validate`, which asks for the password if there is a terminal.
fn is_given() -> anyhow::Result<bool> {
    let mut sudo = Command::new("sudo");
    sudo.arg("--validate");
    if !std::io::stdin().is_terminal() {
        sudo.arg("--non-interactive").stderr(Stdio::null());
    }
    match sudo.status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("Failed to start sudo"),
    }
}

fn surroundings(value: impl Fn(&str) -> Option<OsString>) -> Vec<OsString> {
    let set = KEPT.iter().filter_map(|name| Some((name, value(name)?)));
    set.map(|(name, value)| {
        let mut word = OsString::from(format!("{name}="));
        word.push(value);
        word
    })
    .collect()
}

/// Makes a command run as the calling user, if sudo started this process.
pub(crate) fn give_up_for(command: &mut Command) {
    if let Some((user, group)) = caller().filter(|_| is()) {
        command.uid(user).gid(group);
    }
}

/// Returns user and group of the caller, if sudo started this process.
pub(crate) fn caller() -> Option<(u32, u32)> {
    parse(&std::env::var(CALLER).ok()?)
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':')?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_a_user_and_a_group() {
        assert_eq!(parse("1000:1001"), Some((1000, 1001)));
        assert_eq!(parse("1000"), None);
        assert_eq!(parse("root:0"), None);
    }

    #[test]
    fn only_set_variables_are_passed() {
        let set = |name: &str| (name == "HOME").then(|| "/home/me".into());
        assert_eq!(surroundings(set), [OsString::from("HOME=/home/me")]);
    }
}
