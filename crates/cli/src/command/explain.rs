//! `slipway explain`: who answers for a name or address, and why it fails.

mod address;
mod programs;
mod refused;
mod typed;

use std::process::ExitCode;

use futures_util::future::join_all;
use slipway_control::{Client, RuntimeFolder};
use slipway_control_api::{Answerer, Explained, Explanation, Found, NameVerdict, SessionId};

use self::typed::Typed;
use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Name as a program asks for it, with a port if you like, URL, or address
    name: String,
    /// Id or profile of the session to ask, or the beginning of one; without one, every session
    #[arg(long)]
    session: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks every session, or the named one, and shows the answer that programs get.
pub(crate) async fn run(arguments: &Explain) -> Result<ExitCode, Failure> {
    let running = sessions::all().await?;
    let asked = match &arguments.session {
        Some(wanted) => vec![sessions::pick(&running, Some(wanted))?.id.clone()],
        None => running.into_iter().map(|session| session.id).collect(),
    };
    let explained = match Typed::parse(&arguments.name) {
        Typed::Name(name, port) => of_name(asked, &name, port).await?,
        Typed::Address(address) => {
            let session = asked.into_iter().next().ok_or_else(sessions::nothing)?;
            Explained::new(session, address::explain(address).await?)
        }
    };
    if arguments.json {
        output::print_json(&explained)?;
    } else {
        output::print(&in_words(&explained))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn of_name(asked: Vec<SessionId>, name: &str, port: Option<u16>) -> Result<Explained, Failure> {
    let folder = RuntimeFolder::of_user()?;
    let ask = |id: SessionId| {
        let folder = &folder;
        async move {
            let explanation = Client::connect(folder, &id).await?.explain(name).await?;
            Ok::<_, slipway_control::Error>((id, explanation))
        }
    };
    let (answers, got) = tokio::join!(join_all(asked.into_iter().map(ask)), programs::get(name));
    let mut said = Vec::new();
    let mut failed = None;
    for answer in answers {
        match answer {
            Ok(explained) => said.push(explained),
            Err(error) => failed = Some(error),
        }
    }
    let Some((session, mut explanation)) = decisive(said) else {
        return Err(failed.map_or_else(|| sessions::nothing().into(), Failure::from));
    };
    explanation.programs = got;
    explanation.port = port;
    if let Found::Name(facts) = &mut explanation.found
        && facts.verdict == NameVerdict::Withheld
    {
        let addresses = facts.cluster.iter().flat_map(|said| &said.addresses);
        facts.refused = refused::why_any(addresses).await;
    }
    Ok(Explained::new(session, explanation))
}

/// Selects the answer that programs get: that of the oldest session that has one, else the oldest session's.
fn decisive(mut said: Vec<(SessionId, Explanation)>) -> Option<(SessionId, Explanation)> {
    let place = said
        .iter()
        .position(|one| one.1.answered_by == Answerer::Cluster)
        .or_else(|| said.iter().position(|one| one.1.answered_by != Answerer::Nobody))
        .unwrap_or(0);
    (place < said.len()).then(|| said.swap_remove(place))
}

fn in_words(explained: &Explained) -> String {
    let Explained {
        explanation,
        cause,
        remedy,
        ..
    } = explained;
    let by = match explanation.answered_by {
        Answerer::Cluster => "the cluster",
        Answerer::Laptop => "the laptop's name servers",
        Answerer::Nobody => "no server",
    };
    let mut text = format!("{cause}\n");
    if let Some(remedy) = remedy {
        text.push_str(&format!("{remedy}\n"));
    }
    if !explanation.answer.is_empty() {
        let answer: Vec<String> = explanation.answer.iter().map(ToString::to_string).collect();
        text.push_str(&format!("Answered by {by}: {}\n", answer.join(", ")));
    }
    for step in explanation.steps() {
        text.push_str(&format!("  {step}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use slipway_control_api::{NameFacts, NameOutcome, NameRule, Said};

    use super::*;

    fn said(session: &str, answered_by: Answerer) -> (SessionId, Explanation) {
        let facts = NameFacts {
            asked: "orders".into(),
            search_domain: None,
            namespace: "shop".into(),
            rule: NameRule::Short,
            candidates: vec!["orders.shop.svc.cluster.local".into()],
            cluster: Some(Said {
                outcome: NameOutcome::NotFound,
                asked: "orders.shop.svc.cluster.local".into(),
                addresses: Vec::new(),
                took_ms: 2,
            }),
            laptop: Some(Said {
                outcome: NameOutcome::NotFound,
                asked: "orders".into(),
                addresses: Vec::new(),
                took_ms: 7,
            }),
            verdict: NameVerdict::Nowhere,
            near: Some("orders.shop-test.svc.cluster.local".into()),
            withheld: None,
            refused: None,
        };
        let explanation = Explanation {
            name: "orders".into(),
            answered_by,
            answer: Vec::new(),
            programs: Some(Vec::new()),
            port: None,
            backing: None,
            found: Found::Name(Box::new(facts)),
        };
        (session.parse().unwrap(), explanation)
    }

    fn explained() -> Explained {
        let (session, explanation) = said("shop-a1", Answerer::Nobody);
        Explained::new(session, explanation)
    }

    #[test]
    fn the_cause_comes_first_and_the_checks_last() {
        insta::assert_snapshot!(in_words(&explained()), @r"
        `orders` was not found in namespace `shop`, nor by the laptop's name servers.
        Did you mean `orders.shop-test.svc.cluster.local`? To look up `orders` in that namespace too, run `slipway change --also-namespace shop-test`.
          The cluster: `orders.shop.svc.cluster.local` not found (2 ms)
          The laptop's name servers: `orders` not found (7 ms)
          Programs: not found
        ");
    }

    #[test]
    fn an_explanation_keeps_its_form_as_json() {
        insta::assert_json_snapshot!(explained());
    }

    #[test]
    fn a_session_that_knows_the_name_decides() {
        let session = |said| decisive(said).map(|one| one.0.to_string());
        assert_eq!(session(Vec::new()), None);
        let several = |first, second| vec![said("a", first), said("b", second)];
        assert_eq!(
            session(several(Answerer::Nobody, Answerer::Cluster)),
            Some("b".into())
        );
        assert_eq!(
            session(several(Answerer::Laptop, Answerer::Cluster)),
            Some("b".into())
        );
        assert_eq!(
            session(several(Answerer::Cluster, Answerer::Cluster)),
            Some("a".into())
        );
        assert_eq!(
            session(several(Answerer::Nobody, Answerer::Nobody)),
            Some("a".into())
        );
    }
}
