//! Problem of an attempt to replace an agent that failed, while the session itself tries again.
//!
//! The remedies of the errors are for a session that has ended. Here the session goes on: there is nothing to connect
//! again, and options and the profile count only for the next session.

use slipway_api_server::request::ApiError;
use slipway_carrier::CarrierError;
use slipway_cluster::placement::{PlaceError, UploadError};
use slipway_problem::{Fault, Problem};
use slipway_profile::ProfileName;

use crate::error::SessionError;

/// Returns the problem to show to users until an attempt succeeds. For a saved profile at fault, it offers to edit the
/// profile.
pub(crate) fn problem(error: &SessionError, profile: Option<&ProfileName>) -> Problem {
    let mut remedy = "The session tries again until you end it.".to_owned();
    let more = more(error);
    if !more.is_empty() {
        remedy = format!("{remedy} {more}");
    }
    if more.contains("`--") || more.contains("profile") {
        remedy.push_str(" Options and the profile take effect when you disconnect and connect again.");
    }
    let problem = Problem::new(error.code(), error.to_string(), remedy).with_actions(error.actions());
    error.editable(problem, profile)
}

/// Returns what the user can do beside waiting, in sentences; empty if there is nothing.
fn more(error: &SessionError) -> String {
    let text = match error {
        SessionError::Place(error) => return of_place(error),
        SessionError::Api(error) => return of_api(error),
        SessionError::Carrier(CarrierError::Forbidden { .. } | CarrierError::Login(_))
        | SessionError::Kubeconfig(_)
        | SessionError::Connect(_)
        | SessionError::Key(_)
        | SessionError::AgentSilent { .. }
        | SessionError::Method(_)
        | SessionError::Name(_) => return error.remedy(),
        SessionError::Carrier(_) => "Check that `kubectl port-forward` to a pod of this namespace works.",
        SessionError::Proof(_) => "Run `slipway cleanup` to remove agents that ended or never started.",
    };
    text.to_owned()
}

fn of_place(error: &PlaceError) -> String {
    let text = match error {
        PlaceError::Api(error) | PlaceError::Upload(UploadError::Api(error)) => return of_api(error),
        PlaceError::NamespaceMissing { .. } | PlaceError::NamespaceEnding { .. } => {
            "Create the namespace again, or connect to another namespace, with `--namespace` or in the profile."
        }
        PlaceError::Evicted { .. } | PlaceError::Gone => "",
        PlaceError::TooSlow { .. } => "If the error remains, check the namespace's events and the node.",
        PlaceError::Upload(UploadError::CutOff { .. } | UploadError::Stalled { .. }) => {
            "If the error remains, use a more stable connection; a proxy may also cut long requests."
        }
        PlaceError::Forbidden { .. }
        | PlaceError::Admission { .. }
        | PlaceError::Quota { .. }
        | PlaceError::LimitRange { .. }
        | PlaceError::Unschedulable { .. }
        | PlaceError::Image { .. }
        | PlaceError::Container { .. }
        | PlaceError::AddedContainer { .. }
        | PlaceError::Ended { .. }
        | PlaceError::Upload(UploadError::Shell { .. }) => return error.remedy(),
    };
    text.to_owned()
}

fn of_api(error: &ApiError) -> String {
    if let ApiError::Broken { .. } = error {
        return "If the error remains, check proxies and firewalls up to the API server.".to_owned();
    }
    error.remedy()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slipway_problem::Action;

    use super::*;

    fn remedy(error: PlaceError) -> String {
        problem(&error.into(), None).remedy
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn no_remedy_asks_for_what_the_session_does_itself() {
        for (error, more) in [
            (PlaceError::Gone, ""),
            (
                PlaceError::Evicted {
                    reason: text("Evicted"),
                    message: text(""),
                },
                "",
            ),
            (
                PlaceError::TooSlow {
                    waited: Duration::from_secs(120),
                    last: text("Pending"),
                },
                " If the error remains, check the namespace's events and the node.",
            ),
            (
                UploadError::CutOff { sent: 1, total: 2 }.into(),
                " If the error remains, use a more stable connection; a proxy may also cut long requests.",
            ),
            (
                PlaceError::Api(ApiError::Broken {
                    detail: text("reset"),
                }),
                " If the error remains, check proxies and firewalls up to the API server.",
            ),
        ] {
            let said = remedy(error);
            assert_eq!(said, format!("The session tries again until you end it.{more}"));
        }
        let refused = CarrierError::PodNotFound {
            message: text("pod x not found"),
        };
        let said = problem(&refused.into(), None).remedy;
        assert!(said.ends_with("to a pod of this namespace works."), "{said}");
    }

    #[test]
    fn settings_are_said_to_count_for_the_next_session() {
        let suffix = "Options and the profile take effect when you disconnect and connect again.";
        let image = || PlaceError::Image {
            image: text("nosuch"),
            reason: text("ErrImagePull"),
            message: text("not found"),
        };
        let namespace = PlaceError::NamespaceMissing {
            namespace: text("shop"),
        };
        for error in [image(), namespace] {
            let said = remedy(error);
            assert!(said.ends_with(suffix), "{said}");
        }
        let full = PlaceError::Quota {
            message: text("exceeded quota"),
            asked: text("requests"),
        };
        let said = remedy(full);
        assert!(!said.contains(suffix), "{said}");
        let profile: ProfileName = "shop".parse().unwrap();
        let saved = problem(&image().into(), Some(&profile));
        assert!(saved.remedy.contains(suffix), "{saved:?}");
        let edit = Action::EditProfile {
            profile: text("shop"),
        };
        assert_eq!(saved.actions, [edit]);
    }
}
