//! Root: asked for once, by whoever runs a command that needs it, and given up for what does not.
//!
//! A command asks at its beginning, and is then started again by sudo with the surroundings it had. What builds goes
//! back to being the person, so that no cache of theirs ends up with files that are root's.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use nix::unistd::{Gid, Uid};

use crate::{folders, say};

/// Tells the program that sudo starts for whom it is: `UID:GID`.
const CALLER: &str = "SLIPWAY_XTASK_CALLER";

/// What of the person's surroundings goes along. Not all: arguments of sudo are seen by everybody.
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

/// Whether this is root.
pub(crate) fn is() -> bool {
    Uid::effective().is_root()
}

/// Asks the person for root, saying what for, and starts this command again with it. Comes back only where this is root
/// already, or the person does not give it.
///
/// # Errors
///
/// When the command cannot be started again.
pub(crate) fn ask(what_for: &str) -> anyhow::Result<()> {
    // A sudo that does not make root of us is not asked again.
    if is() || caller().is_some() {
        return Ok(());
    }
    say(&format!("Root is needed {what_for}."));
    if !is_given()? {
        return Ok(());
    }
    // Made now, so that it is the person's.
    std::fs::create_dir_all(folders::cache()?).context("Failed to make the folder of caches")?;
    let own = std::env::current_exe().context("This program is in no file")?;
    let failed = Command::new("sudo")
        .args(["--", "env"])
        .args(surroundings(|name| std::env::var_os(name)))
        .arg(format!("{CALLER}={}:{}", Uid::current(), Gid::current()))
        .arg(own)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(failed).context("Failed to start this command again with sudo")
}

/// The same, for what is nothing without root.
///
/// # Errors
///
/// When it is not given.
pub(crate) fn require(what_for: &str) -> anyhow::Result<()> {
    ask(what_for)?;
    ensure!(
        is(),
        "Without root there is nothing to do: allow it, or run this as root"
    );
    Ok(())
}

/// Asks for the password where somebody can be asked.
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

/// Has a program run as the person, where this command was started again for one.
pub(crate) fn give_up_for(command: &mut Command) {
    if let Some((user, group)) = caller().filter(|_| is()) {
        command.uid(user).gid(group);
    }
}

/// For whom this command was started again: user and group.
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
    fn only_what_is_set_goes_along() {
        let set = |name: &str| (name == "HOME").then(|| "/home/me".into());
        assert_eq!(surroundings(set), [OsString::from("HOME=/home/me")]);
    }
}
