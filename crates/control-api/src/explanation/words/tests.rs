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
        refused: None,
    };
    Explanation {
        name: name.into(),
        answered_by: Answerer::Cluster,
        answer: addresses(said),
        programs: Some(addresses(got)),
        port: None,
        backing: None,
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
        refused: None,
    };
    let explanation = Explanation {
        name: "db.corp.example".into(),
        answered_by: Answerer::Nobody,
        answer: Vec::new(),
        programs: None,
        port: None,
        backing: None,
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

#[test]
fn a_short_name_of_another_namespace_can_be_looked_up_there() {
    let mut explanation = with_programs("orders", &[], &[]);
    explanation.answered_by = Answerer::Nobody;
    let Found::Name(facts) = &mut explanation.found else {
        unreachable!("it is a name");
    };
    facts.verdict = NameVerdict::Nowhere;
    facts.rule = NameRule::Short;
    facts.near = Some("orders.shop-test.svc.cluster.local".into());
    let namespace = "shop-test".to_owned();
    let add = Action::AddNamespace { namespace };
    assert_eq!(explanation.actions(), [add]);
    let remedy = explanation.remedy().unwrap();
    assert!(
        remedy.ends_with("run `slipway change --also-namespace shop-test`."),
        "{remedy}"
    );
}

fn withheld(rule: NameRule, refused: Option<&str>) -> Explanation {
    let mut explanation = with_programs("db", &[], &[]);
    explanation.answered_by = Answerer::Nobody;
    explanation.programs = None;
    let Found::Name(facts) = &mut explanation.found else {
        unreachable!("it is a name");
    };
    facts.verdict = NameVerdict::Withheld;
    facts.rule = rule;
    facts.withheld = Some("it is the laptop's gateway".into());
    facts.refused = refused.map(str::to_owned);
    explanation
}

#[test]
fn also_proxy_is_not_advised_where_it_is_in_vain() {
    let advised = withheld(NameRule::Short, None);
    assert!(
        advised
            .remedy()
            .unwrap()
            .contains("--also-proxy db.shop.svc.cluster.local")
    );
    for explanation in [
        withheld(NameRule::Short, Some("it is a gateway of this laptop")),
        withheld(NameRule::User, None),
    ] {
        assert_eq!(explanation.remedy(), None);
        assert_eq!(explanation.actions(), []);
    }
}

#[test]
fn a_laptop_that_could_not_be_asked_is_not_said_to_lack_a_name() {
    let mut explanation = with_programs("db", &[], &[]);
    let Found::Name(facts) = &mut explanation.found else {
        unreachable!("it is a name");
    };
    facts.verdict = NameVerdict::Nowhere;
    assert_eq!(
        explanation.cause(),
        "`db` was not found in namespace `shop`, and the laptop has no name server that could be asked."
    );
}

#[test]
fn what_stands_behind_a_name_comes_after_the_name() {
    let mut explanation = with_programs("db", &["10.96.0.7"], &["10.96.0.7"]);
    explanation.port = Some(8080);
    explanation.backing = Some(Box::new(crate::Backing {
        exists: Some(true),
        service: Some(crate::list::Service {
            namespace: "shop".into(),
            name: "db".into(),
            kind: "ClusterIP".into(),
            addresses: vec!["10.96.0.7".into()],
            external_name: None,
            ports: Vec::new(),
        }),
        ..crate::Backing::unknown("db", "shop", None)
    }));
    assert_eq!(
        explanation.cause(),
        "`db` is `db.shop.svc.cluster.local` in the cluster. Service `db` has no port 8080; it has no ports."
    );
    assert_eq!(explanation.backing_verdict(), Some(BackingVerdict::NoPort));
    assert_eq!(explanation.remedy().unwrap(), "Use a port of the service.");
}
