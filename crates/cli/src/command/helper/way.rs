//! Ways to start the helper: which program gives it its privilege, with which arguments. No I/O.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use slipway_control_api::HelperStart;
use slipway_helper_api::{DEFAULT_SOCKET, Unguarded};
use slipway_helper_client::Started;

use super::error::NoWay;
use super::program::Unusable;

/// The service that packages install.
pub(super) const UNIT: &str = "slipway-helper.service";

/// What decides how the helper is started.
#[derive(Debug)]
pub(super) struct Facts {
    /// Where it is to listen.
    pub(super) socket: PathBuf,
    /// Whom it is to serve.
    pub(super) user: u32,
    /// The helper of another version that is to be replaced, if one listens.
    pub(super) other: Option<Started>,
    /// Whether systemd runs and has the service.
    pub(super) has_unit: bool,
    /// Whether a person can be asked at the terminal.
    pub(super) terminal: bool,
    /// Whether a person can be asked on the screen.
    pub(super) desktop: bool,
    pub(super) tools: Tools,
    /// The helper's program, if root may run it.
    pub(super) program: Result<PathBuf, Unusable>,
    /// Whether a helper of root would listen at the socket.
    pub(super) place: Result<(), Unguarded>,
}

/// Programs that can start the helper, if they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) systemctl: Option<PathBuf>,
    pub(super) pkexec: Option<PathBuf>,
    pub(super) sudo: Option<PathBuf>,
}

impl Tools {
    /// Returns those that `find` finds by name.
    pub(super) fn find(find: impl Fn(&str) -> Option<PathBuf>) -> Self {
        Self {
            systemctl: find("systemctl"),
            pkexec: find("pkexec"),
            sudo: find("sudo"),
        }
    }
}

/// A command that starts the helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) with: HelperStart,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// Decides how to start the helper.
pub(super) fn to_start(facts: Facts) -> Result<Way, NoWay> {
    let Facts {
        socket,
        user,
        other,
        has_unit,
        terminal,
        desktop,
        tools,
        program,
        place,
    } = facts;
    let asker = Asker {
        user,
        terminal,
        desktop,
    };
    let is_replacement = match other {
        None => false,
        Some(Started::InBackground) => true,
        Some(Started::Service { unit }) => {
            let systemctl = tools.systemctl.ok_or(NoWay::NoTool)?;
            return Ok(asker.systemd(systemctl, "restart", &unit));
        }
        Some(Started::ByHand { .. } | Started::Unknown) => return Err(NoWay::OtherByHand),
    };
    if has_unit
        && !is_replacement
        && socket == Path::new(DEFAULT_SOCKET)
        && let Some(systemctl) = tools.systemctl
    {
        return Ok(asker.systemd(systemctl, "start", UNIT));
    }
    let helper = match (program, place) {
        (Ok(program), Ok(())) => program,
        (Err(why), _) => return Err(NoWay::Program { why, socket }),
        (Ok(_), Err(why)) => return Err(NoWay::Place { why, socket }),
    };
    let mut arguments: Vec<OsString> = vec!["--socket".into(), socket.into()];
    arguments.extend([
        "--allow-uid".into(),
        user.to_string().into(),
        "--background".into(),
    ]);
    arguments.extend(is_replacement.then(|| "--replace".into()));
    asker.as_root(tools, helper, arguments)
}

/// Decides how to end the helper that listens, which was started like this.
pub(super) fn to_stop(facts: Facts, started: &Started) -> Result<Way, NoWay> {
    let Facts {
        socket,
        user,
        terminal,
        desktop,
        tools,
        program,
        ..
    } = facts;
    let asker = Asker {
        user,
        terminal,
        desktop,
    };
    match started {
        Started::Service { unit } => {
            let systemctl = tools.systemctl.ok_or(NoWay::NoTool)?;
            Ok(asker.systemd(systemctl, "stop", unit))
        }
        Started::InBackground | Started::ByHand { .. } | Started::Unknown => {
            let arguments = vec!["--socket".into(), socket.into(), "--stop".into()];
            asker.as_root(tools, program.map_err(NoWay::NotEnded)?, arguments)
        }
    }
}

/// Whom a program may ask for a password, and where.
#[derive(Clone, Copy)]
struct Asker {
    user: u32,
    terminal: bool,
    desktop: bool,
}

impl Asker {
    /// Returns the command by which systemd starts, restarts or stops a service.
    fn systemd(self, systemctl: PathBuf, verb: &str, unit: &str) -> Way {
        let quiet = (!self.terminal && !self.desktop).then_some("--no-ask-password");
        Way {
            with: HelperStart::Systemctl,
            program: systemctl,
            arguments: quiet
                .into_iter()
                .chain([verb, "--", unit])
                .map(OsString::from)
                .collect(),
        }
    }

    /// Returns the command that runs the helper's program as root.
    fn as_root(self, tools: Tools, helper: PathBuf, mut arguments: Vec<OsString>) -> Result<Way, NoWay> {
        if self.user == 0 {
            return Ok(Way {
                with: HelperStart::Root,
                program: helper,
                arguments,
            });
        }
        let (with, tool, options): (_, _, &[&str]) =
            match (self.terminal, self.desktop, tools.sudo, tools.pkexec) {
                (true, _, Some(sudo), _) => (HelperStart::Sudo, sudo, &["--"]),
                // It asks at the terminal by itself if the screen has no program for it.
                (true, _, None, Some(pkexec)) => (HelperStart::Pkexec, pkexec, &[]),
                (false, true, _, Some(pkexec)) => {
                    (HelperStart::Pkexec, pkexec, &["--disable-internal-agent"])
                }
                // Nobody can be asked, but a rule may allow it without a question.
                (false, _, Some(sudo), _) => (HelperStart::Sudo, sudo, &["--non-interactive", "--"]),
                (true, _, None, None) | (false, _, None, _) => return Err(NoWay::NoTool),
            };
        let mut words: Vec<OsString> = options.iter().map(OsString::from).collect();
        words.push(helper.into());
        words.append(&mut arguments);
        Ok(Way {
            with,
            program: tool,
            arguments: words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ordinary user at a terminal, with every tool and a helper that root owns.
    fn facts() -> Facts {
        Facts {
            socket: DEFAULT_SOCKET.into(),
            user: 1000,
            other: None,
            has_unit: false,
            terminal: true,
            desktop: true,
            tools: Tools::find(|name| Some(PathBuf::from("/usr/bin").join(name))),
            program: Ok("/opt/slipway/slipway-helper".into()),
            place: Ok(()),
        }
    }

    fn words(facts: Facts) -> String {
        let way = to_start(facts).unwrap();
        let words = way.arguments.iter().map(|word| word.to_string_lossy());
        let words: Vec<_> = std::iter::once(way.program.to_string_lossy())
            .chain(words)
            .collect();
        words.join(" ")
    }

    #[test]
    fn a_helper_is_ended_as_it_was_started() {
        let ended = |started| {
            let way = to_stop(facts(), &started).unwrap();
            let words: Vec<_> = way.arguments.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        };
        let unit = "slipway-helper.service".to_owned();
        assert_eq!(ended(Started::Service { unit }), "stop -- slipway-helper.service");
        assert_eq!(
            ended(Started::InBackground),
            "-- /opt/slipway/slipway-helper --socket /run/slipway-helper/helper.sock --stop"
        );
    }

    const FOR_1000: &str =
        "/opt/slipway/slipway-helper --socket /run/slipway-helper/helper.sock --allow-uid 1000 --background";

    #[test]
    fn an_installed_service_is_started_by_systemd() {
        let installed = || Facts {
            has_unit: true,
            ..facts()
        };
        let start = "/usr/bin/systemctl start -- slipway-helper.service";
        assert_eq!(words(installed()), start);
        let unasked = Facts {
            terminal: false,
            desktop: false,
            ..installed()
        };
        assert_eq!(
            words(unasked),
            "/usr/bin/systemctl --no-ask-password start -- slipway-helper.service"
        );
        let elsewhere = Facts {
            socket: "/run/other/helper.sock".into(),
            ..installed()
        };
        assert!(
            words(elsewhere).contains("--socket /run/other/helper.sock"),
            "it does not listen there"
        );
    }

    #[test]
    fn a_terminal_has_sudo_and_a_screen_pkexec() {
        assert_eq!(words(facts()), format!("/usr/bin/sudo -- {FOR_1000}"));
        let on_the_screen = || Facts {
            terminal: false,
            ..facts()
        };
        assert_eq!(
            words(on_the_screen()),
            format!("/usr/bin/pkexec --disable-internal-agent {FOR_1000}")
        );
        let without_sudo = Facts {
            tools: Tools {
                sudo: None,
                ..facts().tools
            },
            ..facts()
        };
        assert_eq!(words(without_sudo), format!("/usr/bin/pkexec {FOR_1000}"));
        let with_nobody = Facts {
            desktop: false,
            ..on_the_screen()
        };
        assert_eq!(
            words(with_nobody),
            format!("/usr/bin/sudo --non-interactive -- {FOR_1000}")
        );
        let root = Facts { user: 0, ..facts() };
        assert!(words(root).starts_with("/opt/slipway/slipway-helper --socket"));
    }

    #[test]
    fn another_version_is_replaced_as_it_was_started() {
        let beside = |other| Facts {
            other: Some(other),
            has_unit: true,
            ..facts()
        };
        let unit = "slipway-helper.service".to_owned();
        assert_eq!(
            words(beside(Started::Service { unit })),
            "/usr/bin/systemctl restart -- slipway-helper.service"
        );
        assert_eq!(
            words(beside(Started::InBackground)),
            format!("/usr/bin/sudo -- {FOR_1000} --replace")
        );
        let command = "/opt/slipway-helper".to_owned();
        for other in [Started::ByHand { command }, Started::Unknown] {
            assert!(matches!(to_start(beside(other)), Err(NoWay::OtherByHand)));
        }
    }

    #[test]
    fn nothing_is_run_that_is_not_roots() {
        let refused = Facts {
            program: Err(Unusable::Missing {
                beside: "/home/dev/slipway-helper".into(),
            }),
            ..facts()
        };
        assert!(matches!(to_start(refused), Err(NoWay::Program { .. })));
        let in_a_home = Facts {
            place: Err(Unguarded::Owned {
                folder: "/home/dev".into(),
                owner: 1000,
            }),
            ..facts()
        };
        assert!(matches!(to_start(in_a_home), Err(NoWay::Place { .. })));
        let without_tools = Facts {
            tools: Tools::default(),
            ..facts()
        };
        assert!(matches!(to_start(without_tools), Err(NoWay::NoTool)));
    }
}
