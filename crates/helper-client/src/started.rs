//! How a running helper was started, from its entries in /proc, so that a remedy can say how to start it again.

use std::path::Path;

use tokio::net::UnixStream;

/// How a helper was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// As a system service of systemd.
    Service {
        /// The unit.
        unit: String,
    },
    /// By `slipway helper start`, in the background.
    InBackground,
    /// By a person, with this command.
    ByHand {
        /// The command line, quoted for a shell.
        command: String,
    },
    /// Not known: the helper runs where this process cannot see it.
    Unknown,
}

/// Returns how the program at the other end of a connection was started.
pub(crate) fn of_peer(stream: &UnixStream) -> Started {
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    // The kernel gives 0 for a process that is not visible here.
    match pid.filter(|pid| *pid > 0) {
        Some(pid) => of_entries(&Path::new("/proc").join(pid.to_string())),
        None => Started::Unknown,
    }
}

fn of_entries(entries: &Path) -> Started {
    let read = |name: &str| std::fs::read(entries.join(name)).unwrap_or_default();
    let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
    if let Some(unit) = groups.lines().find_map(service) {
        return Started::Service { unit };
    }
    let words = read("cmdline");
    let words: Vec<String> = words
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| quoted(&String::from_utf8_lossy(word)))
        .collect();
    if words.is_empty() {
        return Started::Unknown;
    }
    if words.iter().any(|word| word == "--background") {
        return Started::InBackground;
    }
    Started::ByHand {
        command: words.join(" "),
    }
}

/// Returns the unit of a system service from a line of /proc/PID/cgroup, as in `0::/system.slice/slipway-helper.service`
/// (cgroups(7)).
fn service(line: &str) -> Option<String> {
    let path = line.splitn(3, ':').nth(2)?;
    let unit = path.strip_prefix("/system.slice/")?;
    (unit.ends_with(".service") && !unit.contains('/')).then(|| unit.to_owned())
}

/// Quotes a word for a shell, if it needs that.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(cgroup: &str, cmdline: &str) -> Started {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("cgroup"), cgroup).expect("written");
        std::fs::write(folder.path().join("cmdline"), cmdline).expect("written");
        of_entries(folder.path())
    }

    #[test]
    fn a_service_is_told_from_a_command() {
        let words = [
            "/opt/my tools/slipway-helper",
            "--socket",
            "/run/h.sock",
            "--allow-uid",
            "1000",
            "",
        ];
        let command = &words.join("\0");
        assert_eq!(
            started("0::/system.slice/slipway-helper.service\n", command),
            Started::Service {
                unit: "slipway-helper.service".to_owned()
            }
        );
        let terminal = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope\n";
        assert_eq!(
            started(terminal, command),
            Started::ByHand {
                command: "'/opt/my tools/slipway-helper' --socket /run/h.sock --allow-uid 1000".to_owned()
            }
        );
        assert_eq!(
            started(terminal, &format!("{command}\0--background")),
            Started::InBackground
        );
        assert_eq!(of_entries(Path::new("/nowhere")), Started::Unknown);
    }

    #[tokio::test]
    async fn the_peer_is_found_by_its_process() {
        let (here, _there) = UnixStream::pair().expect("a pair");
        let Started::ByHand { command } = of_peer(&here) else {
            // A test that runs within a service of systemd.
            return;
        };
        let own = std::env::args().next().expect("a name");
        assert!(command.starts_with(&quoted(&own)), "{command}");
    }
}
