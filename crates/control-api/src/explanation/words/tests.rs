//! Tests of words.

use super::*;

fn compared(got: &[&str], said: &[&str]) -> String {
    let explanation = with_programs("db", got, said);
    let remedy = explanation.remedy().unwrap_or_default();
    let steps = explanation.steps().join("\n");
    format!("{}\n{remedy}\n{steps}", explanation.cause())
}

fn with_programs(name: &str, got: &[&str], said: &[&str]) -> Explanation {
    let addresses =
        |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    let facts = NameFacts {
        asked: name.into(),
        search_domain: None,
        namespace: "shop".into(),
        rule: NameRule::Short,
        candidates: Vec::new(),
        cluster: Some(Said {
            outcome: NameOutcome::Found,
            asked: "db.shop.svc.cluster.local".into(),
            addresses: addresses(said),
            took_ms: 2,
        }),
        laptop: None,
        verdict: NameVerdict::Answered,
        near: None,
        withheld: None,
    };
    Explanation {
        name: name.into(),
        answered_by: Answerer::Cluster,
        answer: addresses(said),
        programs: Some(addresses(got)),
        found: Found::Name(Box::new(facts)),
    }
}

#[test]
fn programs_that_get_the_dns_answer_are_not_mentioned() {
    let text = compared(&["10.96.0.7"], &["10.96.0.7", "fd00::7"]);
    let expected = "`db` is `db.shop.svc.cluster.local` in the cluster.\n\n\
                        The cluster: `db.shop.svc.cluster.local` found (2 ms)\nPrograms get 10.96.0.7";
    assert_eq!(text, expected);
}

#[test]
fn other_addresses_for_programs_are_reported() {
    let text = compared(&["127.0.0.1"], &["10.96.0.7"]);
    let news = "But programs get 127.0.0.1, not 10.96.0.7: another source on this laptop answers them first.";
    assert!(text.contains(news), "{text}");
    assert!(text.contains("grep -wFe 'db' /etc/hosts"), "{text}");
}

#[test]
fn no_address_for_programs_is_reported() {
    let text = compared(&[], &["10.96.0.7"]);
    assert!(text.contains("But programs do not find `db`."), "{text}");
    assert!(text.contains("Programs: not found"), "{text}");
}

#[test]
fn actions_do_what_the_remedy_says() {
    let run = |command: &str| {
        vec![Action::Run {
            command: command.to_owned(),
        }]
    };
    let hidden = with_programs("db", &["127.0.0.1"], &["10.96.0.7"]);
    assert_eq!(hidden.actions(), run("grep -wFe 'db' /etc/hosts"));
    let unasked = with_programs("db.shop", &[], &["10.96.0.7"]);
    assert!(unasked.remedy().unwrap().contains("db.NAMESPACE.svc"));
    assert_eq!(unasked.actions(), []);
    let unfound = with_programs("db", &[], &["10.96.0.7"]);
    assert_eq!(unfound.actions(), run("slipway doctor"));
    let quoted = with_programs("x';reboot;'", &["127.0.0.1"], &["10.96.0.7"]);
    assert_eq!(quoted.actions(), run("grep -wFe 'x;reboot;' /etc/hosts"));
}

#[test]
fn a_name_that_only_the_cluster_has_can_be_sent_there() {
    let facts = NameFacts {
        asked: "db.corp.example".into(),
        search_domain: None,
        namespace: "shop".into(),
        rule: NameRule::Public,
        candidates: Vec::new(),
        cluster: None,
        laptop: None,
        verdict: NameVerdict::OnlyInCluster,
        near: None,
        withheld: None,
    };
    let explanation = Explanation {
        name: "db.corp.example".into(),
        answered_by: Answerer::Nobody,
        answer: Vec::new(),
        programs: None,
        found: Found::Name(Box::new(facts)),
    };
    let host = "db.corp.example".to_owned();
    assert_eq!(explanation.actions(), [Action::AddAlsoProxy { host }]);
    assert!(
        explanation
            .remedy()
            .unwrap()
            .contains("--also-proxy db.corp.example")
    );
}
