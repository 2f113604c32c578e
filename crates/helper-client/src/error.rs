//! Errors of the client, with their remedies.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use slipway_helper_api::frame::FrameError;
use slipway_helper_api::{DEFAULT_SOCKET, HelperRefusal, guarded};
use slipway_problem::{Action, Fault};

use crate::remedy::refusal_remedy;
use crate::started::Started;

/// Error of the conversation with the helper, or its refusal.
///
/// Its text is the cause; its remedies are ends of sentences.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No helper listens at the socket.
    #[error("slipway-helper does not run: no program listens at {} ({source})", socket.display())]
    NoHelper {
        /// The socket.
        socket: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The connection to the helper broke.
    #[error("slipway-helper closed the connection ({0})")]
    Gone(#[source] io::Error),
    /// The helper did not reply in time.
    #[error("slipway-helper does not answer")]
    Silent,
    /// The helper sent bytes that are not of this protocol.
    #[error("slipway-helper sent an invalid message")]
    Garbled(#[from] FrameError),
    /// The helper sent the reply to another kind of request.
    #[error("slipway-helper sent a reply to another request")]
    Unexpected,
    /// The helper refused the request. The connection can be used further.
    #[error("{0}")]
    Refused(HelperRefusal),
    /// The helper has another version.
    #[error("{refusal}")]
    OtherVersion {
        /// Its refusal.
        refusal: HelperRefusal,
        /// How it was started.
        started: Started,
    },
}

impl Fault for ClientError {
    fn code(&self) -> &str {
        match self {
            Self::NoHelper { .. } => "no-helper",
            Self::Gone(_) | Self::Silent | Self::Garbled(_) | Self::Unexpected => "helper-failed",
            Self::Refused(refusal) | Self::OtherVersion { refusal, .. } => refusal.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoHelper { socket, .. } => start_it(socket),
            Self::Gone(_) => {
                "start it again; `journalctl -u slipway-helper`, or the helper's terminal, shows why it ended"
                    .into()
            }
            Self::Silent => {
                "restart it with `sudo systemctl restart slipway-helper`, or in the helper's terminal".into()
            }
            Self::Garbled(_) | Self::Unexpected => {
                "reinstall Slipway, so that all its parts have one version".into()
            }
            Self::Refused(refusal) => refusal_remedy(refusal).into_owned(),
            Self::OtherVersion { refusal, started } => match started {
                Started::Service { unit } => {
                    format!("finish the update, then run `sudo systemctl restart {unit}` and connect again")
                }
                Started::InBackground => {
                    "finish the update, then run `slipway helper start`, which takes its place, and connect again".into()
                }
                Started::ByHand { command } => format!(
                    "finish the update, then end slipway-helper in its terminal, start it again with `sudo {command}`, and \
                     connect again"
                ),
                Started::Unknown => refusal_remedy(refusal).into_owned(),
            },
        }
    }

    fn actions(&self) -> Vec<Action> {
        match self {
            Self::NoHelper { .. }
            | Self::OtherVersion {
                started: Started::Service { .. } | Started::InBackground,
                ..
            } => vec![Action::StartHelper],
            Self::Gone(_)
            | Self::Silent
            | Self::Garbled(_)
            | Self::Unexpected
            | Self::Refused(_)
            | Self::OtherVersion { .. } => Vec::new(),
        }
    }
}

/// Returns how to start a helper at `socket`, or at the default socket if a helper of root would refuse to listen
/// there.
fn start_it(socket: &Path) -> String {
    let guarded = |folder: &Path| guarded(folder, 0).is_ok();
    let mut folders = socket.ancestors().skip(1).take(2);
    if folders.find(|folder| folder.exists()).is_some_and(guarded) {
        return format!(
            "start it with `slipway helper start`, with `sudo systemctl start slipway-helper` if a package installed it, \
             or by hand with `{}`",
            by_hand(socket)
        );
    }
    format!(
        "start it with `sudo systemctl start slipway-helper` if a package installed it, or by hand with `{}`, and \
         connect without SLIPWAY_HELPER_SOCKET and `--helper-socket`: as root, slipway-helper does not listen in \
         a folder that others can change",
        by_hand(Path::new(DEFAULT_SOCKET))
    )
}

/// Returns the command that starts a helper for this user only.
fn by_hand(socket: &Path) -> String {
    // sudo searches only its own folders, not the one that this program was started from.
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

    use slipway_helper_api::{Build, Conflict, ConflictWith, Operation, Version};

    use super::*;

    #[test]
    fn a_refusal_has_a_cause_and_a_remedy() {
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
                "leave these networks out of `also-proxy`, or disconnect from the other network"
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
                "`journalctl -u slipway-helper`, or the helper's terminal, shows details"
            )
        );
    }

    #[test]
    fn another_version_is_restarted_as_it_was_started() {
        let build = Build::ours;
        let remedy = |started: Started| {
            let refusal = HelperRefusal::VersionMismatch {
                client: Version::OURS,
                client_build: build(),
                helper: Version::OURS,
                helper_build: build(),
            };
            let error = ClientError::OtherVersion { refusal, started };
            assert_eq!(error.code(), "helper-version");
            error.remedy()
        };
        let service = remedy(Started::Service {
            unit: "slipway-helper.service".to_owned(),
        });
        assert!(
            service.contains("`sudo systemctl restart slipway-helper.service`"),
            "{service}"
        );
        let by_hand = remedy(Started::ByHand {
            command: "/opt/slipway-helper --allow-uid 1000".to_owned(),
        });
        assert!(
            by_hand.contains("`sudo /opt/slipway-helper --allow-uid 1000`"),
            "{by_hand}"
        );
        assert!(!by_hand.contains("systemctl"), "{by_hand}");
        assert!(remedy(Started::InBackground).contains("`slipway helper start`"));
        assert!(remedy(Started::Unknown).contains("finish the update"));
    }

    #[test]
    fn the_advised_socket_is_one_that_the_helper_accepts() {
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
