//! systemd-resolved on a laptop, with a system bus, and polkitd, which decides who may change the resolver. They have
//! exactly the users, bus policies and actions of their packages.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::Addresses;
use crate::machine::{Machine, Runner};
use crate::processes::{self, Daemon};

const READY_LIMIT: Duration = Duration::from_secs(30);

/// Folders of polkitd's rules, which it reads again when they change. The first is for administrators, the second for
/// packages.
const RULES: [&str; 2] = ["/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"];

/// Starts the services, and waits until names resolve.
pub(crate) fn start(machine: &Machine, addresses: Addresses, logs: &Path) -> Result<Vec<Daemon>> {
    machine.run("systemd-sysusers", &[])?;
    // The host's own rules do not apply to the laptop.
    for folder in RULES {
        machine.run(
            "find",
            &[folder, "-type", "f", "!", "-name", "50-default.rules", "-delete"],
        )?;
        machine.run("chown", &["-R", "polkitd:root", folder])?;
        machine.run("chmod", &["0700", folder])?;
    }
    // The second folder tells libraries that systemd runs, as on every machine with resolved.
    machine.run("install", &["--directory", "/run/dbus", "/run/systemd/system"])?;

    let bus = daemon(
        machine,
        logs,
        "dbus-daemon",
        &["--system", "--nofork", "--nopidfile"],
    )?;
    bus.wait_until("ready", READY_LIMIT, || {
        machine
            .run("test", &["-S", "/run/dbus/system_bus_socket"])
            .is_ok()
    })?;
    let polkit = daemon(machine, logs, "/usr/lib/polkit-1/polkitd", &["--no-debug"])?;
    polkit.wait_until("on the bus", READY_LIMIT, || {
        has_owner(machine, "org.freedesktop.PolicyKit1")
    })?;

    let settings = format!(
        "[Resolve]\nDNS={}\nFallbackDNS=\nDomains=corp.internal\n",
        addresses.node()
    );
    machine.write("/etc/systemd/resolved.conf", &settings)?;
    machine.run(
        "ln",
        &["-sf", "/run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf"],
    )?;
    let resolved = daemon(machine, logs, "/usr/lib/systemd/systemd-resolved", &[])?;
    resolved.wait_until("resolving", READY_LIMIT, || {
        has_owner(machine, "org.freedesktop.resolve1")
            && machine.run("getent", &["ahosts", "www.public.test"]).is_ok()
    })?;
    Ok(vec![bus, polkit, resolved])
}

fn daemon(machine: &Machine, logs: &Path, program: &str, arguments: &[&str]) -> Result<Daemon> {
    let name = program.rsplit('/').next().unwrap_or(program);
    Daemon::start(
        name,
        logs,
        &mut machine.command(Runner::Root, Path::new("/"), program, arguments),
    )
}

fn has_owner(machine: &Machine, name: &str) -> bool {
    let question = [
        "--system",
        "--print-reply=literal",
        "--dest=org.freedesktop.DBus",
        "/",
        "org.freedesktop.DBus.NameHasOwner",
        &format!("string:{name}"),
    ];
    let mut command = machine.command(Runner::Root, Path::new("/"), "dbus-send", question);
    processes::output(&mut command)
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("true"))
}
