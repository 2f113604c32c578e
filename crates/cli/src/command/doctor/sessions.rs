//! Checks of running sessions of the same profile or place: what they report.

use slipway_api_server::kubeconfig::choose;
use slipway_control_api::{Check, Finding, Problem, SessionStatus, State};
use slipway_profile::ProfileId;

use super::subject::Subject;
use crate::arguments::{chosen, kubeconfig_variable};
use crate::failure::Failure;
use crate::sessions;

/// Codes of the problems with which a connected session reaches nothing by name: those of its self-check.
const REACHES_NOTHING: [&str; 3] = ["agent-blocked", "cluster-dns-silent", "cluster-domain-not-served"];

/// Sessions to check.
struct Wanted {
    /// Identity of the profile, if sessions can know it.
    profile: Option<ProfileId>,
    /// Context and namespace, if the kubeconfig can be read.
    place: Option<(String, String)>,
    /// Value of `KUBECONFIG` with the context.
    kubeconfig: Option<String>,
}

/// Returns the findings about running sessions; none if there is no such session.
pub(super) async fn check(subject: &Subject) -> Vec<Finding> {
    let checked = async {
        let wanted = Wanted::of(subject)?;
        let running = sessions::all().await?;
        let those = running.iter().filter(|session| wanted.is(session));
        Ok::<_, Failure>(those.flat_map(of_session).collect())
    };
    match checked.await {
        Ok(findings) => findings,
        Err(failure) => vec![Finding::problem(Check::Session, failure.into_problem())],
    }
}

impl Wanted {
    fn of(subject: &Subject) -> Result<Wanted, Failure> {
        let (sources, choice) = chosen(&subject.profile, false)?;
        Ok(Wanted {
            profile: subject.identity,
            place: choose(&sources, &choice)
                .ok()
                .map(|target| (target.context, target.namespace)),
            kubeconfig: kubeconfig_variable(&sources),
        })
    }

    fn is(&self, session: &SessionStatus) -> bool {
        let is_profiles = self.profile.is_some() && self.profile == session.profile_id;
        let place = session.context.clone().zip(session.namespace.clone());
        let is_at_place = place.is_some() && self.place == place && self.kubeconfig == session.kubeconfig;
        is_profiles || is_at_place
    }
}

fn of_session(session: &SessionStatus) -> Vec<Finding> {
    if matches!(session.state, State::Ending | State::Ended) {
        return Vec::new();
    }
    if session.problems.is_empty() {
        return vec![without_problem(session)];
    }
    let reported = session.problems.iter().map(|problem| {
        let reaches_nothing =
            session.state != State::Connected || REACHES_NOTHING.contains(&problem.code.as_str());
        let problem = Problem {
            cause: format!("Session {} reports: {}", session.id, problem.cause),
            ..problem.clone()
        };
        if reaches_nothing {
            Finding::problem(Check::Session, problem)
        } else {
            Finding::warning(Check::Session, problem)
        }
    });
    reported.collect()
}

fn without_problem(session: &SessionStatus) -> Finding {
    let id = &session.id;
    match session.state {
        State::Connected => Finding::ok(
            Check::Session,
            format!("Session {id} is connected, and reports no problem."),
        ),
        // Without a capture it was never connected.
        State::Preparing | State::Placing | State::Connecting if session.capture.is_none() => {
            Finding::ok(Check::Session, format!("Session {id} is not connected yet."))
        }
        State::Preparing
        | State::Placing
        | State::Connecting
        | State::Reconnecting
        | State::Ending
        | State::Ended => {
            let step = session.step.as_deref();
            let step = step.map_or_else(String::new, |step| format!(": {step}"));
            Finding::warn(
                Check::Session,
                format!("Session {id} has lost its connection to the cluster{step}."),
                format!(
                    "Wait: the session connects again by itself. `slipway logs {id}` shows what it tries."
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_control_api::{Action, Verdict};
    use slipway_profile::Method;

    use super::*;
    use crate::command::doctor::text::in_words;

    fn session() -> SessionStatus {
        let mut session = status_of_this_process("shop-a1".parse().unwrap(), None, Method::VpnTcp);
        session.context = Some("staging".into());
        session.namespace = Some("shop".into());
        session.kubeconfig = Some("/home/dev/.kube/config".into());
        session.state = State::Connected;
        session
    }

    fn problem(code: &str) -> Problem {
        let command = "kubectl get pods".to_owned();
        Problem::new(code, "it broke", "mend it").with_actions([Action::Run { command }])
    }

    #[test]
    fn sessions_of_the_profile_or_the_place_are_checked() {
        let mut session = session();
        let at = |context: &str, namespace: &str, kubeconfig: &str| Wanted {
            profile: None,
            place: Some((context.into(), namespace.into())),
            kubeconfig: Some(kubeconfig.into()),
        };
        assert!(at("staging", "shop", "/home/dev/.kube/config").is(&session));
        assert!(!at("staging", "blog", "/home/dev/.kube/config").is(&session));
        assert!(!at("staging", "shop", "/tmp/other").is(&session));
        let of_profile = |name: &str| Wanted {
            profile: Some(ProfileId::of_name(&name.parse().unwrap())),
            place: None,
            kubeconfig: None,
        };
        assert!(!of_profile("shop").is(&session));
        session.profile_id = Some(ProfileId::of_name(&"shop".parse().unwrap()));
        assert!(of_profile("shop").is(&session));
        assert!(!of_profile("blog").is(&session));
        // A session that has not chosen its cluster yet is at no place.
        session.context = None;
        let nowhere = Wanted {
            profile: None,
            place: None,
            kubeconfig: session.kubeconfig.clone(),
        };
        assert!(!nowhere.is(&session));
    }

    #[test]
    fn what_a_session_reports_is_found_with_its_remedy() {
        let mut session = session();
        session.problems = vec![problem("agent-blocked"), problem("range-not-routed")];
        let found = of_session(&session);
        let verdicts: Vec<Verdict> = found.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Fail, Verdict::Warn]);
        for finding in &found {
            assert_eq!(finding.detail, "Session shop-a1 reports: It broke.");
            assert_eq!(finding.remedy.as_deref(), Some("Mend it."));
            assert_eq!(finding.actions.len(), 1);
        }
        assert_eq!(found[0].code.as_deref(), Some("agent-blocked"));
        session.state = State::Reconnecting;
        let fails = |finding: Finding| finding.verdict == Verdict::Fail;
        assert!(of_session(&session).into_iter().all(fails));
    }

    #[test]
    fn a_session_without_problems_is_one_row() {
        let mut session = session();
        let twice = [of_session(&session), of_session(&session)].concat();
        assert_eq!(in_words(&twice).lines().count(), 1, "sessions are folded");
        session.state = State::Reconnecting;
        session.step = Some("Waiting for the network".into());
        let lost = of_session(&session);
        assert_eq!(lost[0].verdict, Verdict::Warn);
        assert!(lost[0].detail.ends_with(": Waiting for the network."), "{lost:?}");
        session.state = State::Placing;
        assert_eq!(of_session(&session)[0].verdict, Verdict::Ok, "it is new");
        session.state = State::Ending;
        assert_eq!(of_session(&session), []);
    }
}
