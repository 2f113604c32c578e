//! Facts of this laptop that decide how the helper is started.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use slipway_helper_api::{Unguarded, guarded};
use slipway_helper_client::Started;

use super::program;
use super::way::{Facts, Tools, UNIT};

/// Folders of systemd's units, of administrators and packages (systemd.unit(5)).
const UNIT_FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Exists only while systemd is the system's first process (sd_booted(3)).
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// Reads the facts. `other` is the helper of another version that listens at the socket, if there is one.
pub(super) fn read(socket: &Path, other: Option<Started>) -> Facts {
    Facts {
        socket: socket.to_owned(),
        user: nix::unistd::geteuid().as_raw(),
        other,
        has_unit: Path::new(SYSTEMD_RUNS).is_dir()
            && UNIT_FOLDERS
                .iter()
                .any(|folder| Path::new(folder).join(UNIT).exists()),
        terminal: at_terminal(),
        desktop: on_screen(),
        tools: Tools::find(|name| in_path(name, env::var_os("PATH").as_deref())),
        program: program::find(),
        place: place(socket),
    }
}

/// Whether a person can be asked at the terminal.
pub(super) fn at_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether a person can be asked on the screen.
fn on_screen() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Returns a program of an absolute folder of PATH.
fn in_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(is_program)
}

/// Checks that a helper of root would listen at the socket: in a folder that only root can change. It makes the last folder
/// itself.
fn place(socket: &Path) -> Result<(), Unguarded> {
    let mut folders = socket.ancestors().skip(1).take(2);
    let folder = folders.find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    guarded(folder, 0).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    #[test]
    fn only_programs_of_absolute_folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sudo");
        write(&file, "").unwrap();
        let path = env::join_paths([Path::new("relative"), folder.path()]).unwrap();
        let found = || in_path("sudo", Some(&path));
        set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(found(), None, "it is not a program");
        set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found(), Some(file));
        assert_eq!(in_path("sudo", Some(OsStr::new("relative"))), None);
        assert_eq!(in_path("sudo", None), None);
    }

    #[test]
    fn a_socket_in_a_folder_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(place(&folder.path().join("helper.sock")).is_err());
        assert!(place(Path::new("/run/slipway-helper-test/helper.sock")).is_ok());
    }
}
