//! Errors of the client, with what the user can do.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use slipway_helper_api::frame::FrameError;
use slipway_helper_api::{DEFAULT_SOCKET, HelperRefusal, guarded};
use slipway_problem::{Action, Fault};

use crate::remedy::refusal_remedy;

/// Why the helper could not be spoken with, or what it said.
///
/// Its text is the cause; its remedies are the ends of sentences.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.cause())]
pub enum ClientError {
    /// Nobody listens at the socket.
    NoHelper {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It listened and is gone.
    Gone(#[source] io::Error),
    /// It does not answer.
    Silent,
    /// What came is not of this protocol.
    Garbled(#[from] FrameError),
    /// It answered something else than what was asked.
    Unexpected,
    /// It understood and refused. The connection is as it was.
    Refused(HelperRefusal),
}

impl Fault for ClientError {
    fn code(&self) -> &str {
        match self {
            Self::NoHelper { .. } => "no-helper",
            Self::Gone(_) | Self::Silent | Self::Garbled(_) | Self::Unexpected => "helper-failed",
            Self::Refused(refusal) => refusal.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoHelper { socket, .. } => start_it(socket),
            Self::Gone(_) => {
                "start it again; `journalctl -u slipway-helper`, or its terminal, says why it ended".into()
            }
            Self::Silent => {
                "restart it with `sudo systemctl restart slipway-helper`, or in its terminal".into()
            }
            Self::Garbled(_) | Self::Unexpected => {
                "reinstall Slipway, so that all its parts are of one version".into()
            }
            Self::Refused(refusal) => refusal_remedy(refusal).into_owned(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        match self {
            Self::NoHelper { .. } => vec![Action::StartHelper],
            Self::Gone(_) | Self::Silent | Self::Garbled(_) | Self::Unexpected | Self::Refused(_) => {
                Vec::new()
            }
        }
    }
}

impl ClientError {
    fn cause(&self) -> String {
        match self {
            Self::NoHelper { socket, source } => {
                format!(
                    "slipway-helper does not run: nobody listens at {} ({source})",
                    socket.display()
                )
            }
            Self::Gone(error) => format!("slipway-helper is gone ({error})"),
            Self::Silent => "slipway-helper does not answer".to_owned(),
            Self::Garbled(_) => "slipway-helper was not understood".to_owned(),
            Self::Unexpected => "slipway-helper answered out of order".to_owned(),
            Self::Refused(refusal) => refusal.cause(),
        }
    }
}

/// How a person starts a helper at `socket`; at the usual place, where one of root's would refuse to listen there.
fn start_it(socket: &Path) -> String {
    let guarded = |folder: &Path| guarded(folder, 0).is_ok();
    let mut folders = socket.ancestors().skip(1).take(2);
    if folders.find(|folder| folder.exists()).is_some_and(guarded) {
        return format!(
            "start it with `{}`; where a package brought it, with `sudo systemctl start slipway-helper`",
            by_hand(socket)
        );
    }
    format!(
        "start it with `{}`, or where a package brought it with `sudo systemctl start slipway-helper`, and connect \
         without SLIPWAY_HELPER_SOCKET and `--helper-socket`: a helper of root's listens in no folder that others can \
         change",
        by_hand(Path::new(DEFAULT_SOCKET))
    )
}

/// How a person starts a helper for themselves.
fn by_hand(socket: &Path) -> String {
    // sudo searches folders of its own, and not the one that this program was started from.
    let beside = std::env::current_exe()
        .ok()
        .map(|program| program.with_file_name("slipway-helper"))
        .filter(|helper| helper.exists());
    let helper = beside.unwrap_or_else(|| PathBuf::from("slipway-helper"));
    format!(
        "sudo {} --socket {} --allow-uid {}",
        helper.display(),
        socket.display(),
        geteuid()
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use slipway_helper_api::{Conflict, ConflictWith, Operation};

    use super::*;

    #[test]
    fn a_refusal_says_cause_and_remedy() {
        let conflict = Conflict {
            range: "10.0.0.0/8".parse().expect("range"),
            route: "10.0.2.0/24".parse().expect("net"),
            device: "wlan0".to_owned(),
            with: ConflictWith::Attached,
        };
        let error = ClientError::Refused(HelperRefusal::Conflicts(vec![conflict]));
        assert_eq!(
            (error.to_string().as_str(), error.remedy().as_str()),
            (
                "the cluster's networks overlap networks that this laptop uses: 10.0.0.0/8 overlaps the attached \
                 network 10.0.2.0/24 on wlan0",
                "leave these parts out of the profile's ranges, or leave the other network"
            )
        );
        let refusal = HelperRefusal::Kernel {
            operation: Operation::AddRoute,
            errno: 1,
        };
        let error = ClientError::Refused(refusal);
        assert_eq!(
            (error.to_string().as_str(), error.remedy().as_str()),
            (
                "the kernel refused to add a route (Operation not permitted)",
                "`journalctl -u slipway-helper` says more"
            )
        );
    }

    #[test]
    fn advice_fits_what_the_helper_takes() {
        let ours = tempfile::tempdir().expect("folder");
        set_permissions(ours.path(), Permissions::from_mode(0o777)).expect("mode");
        let advised = |socket: &Path| {
            let source = io::ErrorKind::NotFound.into();
            let error = ClientError::NoHelper {
                socket: socket.to_owned(),
                source,
            };
            error.remedy()
        };
        let in_ours = advised(&ours.path().join("helper.sock"));
        assert!(
            in_ours.contains(&format!("--socket {DEFAULT_SOCKET} ")),
            "{in_ours}"
        );
        for guarded in ["/run/elsewhere/helper.sock", "/tmp/helper.sock"] {
            let advised = advised(Path::new(guarded));
            assert!(advised.contains(&format!("--socket {guarded} ")), "{advised}");
        }
    }
}
