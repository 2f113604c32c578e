//! `slipway explain`: whose name it is, who answered, why it failed.

mod address;
mod programs;
mod typed;

use std::process::ExitCode;

use futures_util::future::join_all;
use slipway_control::{Client, RuntimeFolder};
use slipway_control_api::{Answerer, Explained, Explanation, SessionId};

use self::typed::Typed;
use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The name, as a program would ask for it; or a URL, or an address
    name: String,
    /// Ask this session only
    #[arg(long)]
    session: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Asks every session, or the one that was named, and shows the answer that counts.
pub(crate) async fn run(arguments: &Explain) -> Result<ExitCode, Failure> {
    let running = sessions::all().await?;
    let asked = match &arguments.session {
        Some(wanted) => vec![sessions::pick(&running, Some(wanted))?.id.clone()],
        None => running.into_iter().map(|session| session.id).collect(),
    };
    let explained = match Typed::parse(&arguments.name) {
        Typed::Name(name) => of_name(asked, &name).await?,
        Typed::Address(address) => {
            let session = asked.into_iter().next().ok_or_else(sessions::nothing)?;
            Explained {
                session,
                explanation: address::explain(address).await?,
            }
        }
    };
    if arguments.json {
        output::print_json(&explained)?;
    } else {
        output::print(&in_words(&explained.explanation))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn of_name(asked: Vec<SessionId>, name: &str) -> Result<Explained, Failure> {
    let folder = RuntimeFolder::of_user()?;
    let ask = |id: SessionId| {
        let folder = &folder;
        async move {
            let explanation = Client::connect(folder, &id).await?.explain(name).await?;
            Ok::<_, slipway_control::Error>(Explained {
                session: id,
                explanation,
            })
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
    let Some(mut explained) = decisive(said) else {
        return Err(failed.map_or_else(|| sessions::nothing().into(), Failure::from));
    };
    if let Some(got) = got {
        programs::compare(&got, &mut explained.explanation);
    }
    Ok(explained)
}

/// The oldest session that has an answer counts, for a program as well; else what the oldest says.
fn decisive(mut said: Vec<Explained>) -> Option<Explained> {
    let place = said
        .iter()
        .position(|one| one.explanation.answered_by == Answerer::Cluster)
        .or_else(|| {
            said.iter()
                .position(|one| one.explanation.answered_by != Answerer::Nobody)
        })
        .unwrap_or(0);
    (place < said.len()).then(|| said.swap_remove(place))
}

fn in_words(explanation: &Explanation) -> String {
    let by = match explanation.answered_by {
        Answerer::Cluster => "the cluster",
        Answerer::Laptop => "the laptop's name servers",
        Answerer::Nobody => "nobody",
    };
    let mut text = format!("{}\n", explanation.cause);
    if let Some(remedy) = &explanation.remedy {
        text.push_str(&format!("{remedy}\n"));
    }
    if !explanation.answer.is_empty() {
        text.push_str(&format!("Answered by {by}: {}\n", explanation.answer.join(", ")));
    }
    for step in &explanation.steps {
        text.push_str(&format!("  {step}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(session: &str, answered_by: Answerer) -> Explained {
        Explained {
            session: session.parse().unwrap(),
            explanation: Explanation {
                name: "orders".into(),
                answered_by,
                answer: Vec::new(),
                cause: "`orders` was not found in namespace shop, nor by the laptop's name servers.".into(),
                remedy: Some("Perhaps `orders.shop-test` was meant.".into()),
                steps: vec!["The cluster does not know it (asked for orders.shop.svc, 2 ms)".into()],
            },
        }
    }

    #[test]
    fn the_cause_comes_first_then_the_remedy_then_who_answered_then_what_was_looked_at() {
        insta::assert_snapshot!(in_words(&explained("a", Answerer::Nobody).explanation), @r"
        `orders` was not found in namespace shop, nor by the laptop's name servers.
        Perhaps `orders.shop-test` was meant.
          The cluster does not know it (asked for orders.shop.svc, 2 ms)
        ");
    }

    #[test]
    fn scripts_find_the_session_beside_the_explanation() {
        insta::assert_json_snapshot!(explained("shop-a1", Answerer::Nobody), @r#"
        {
          "session": "shop-a1",
          "name": "orders",
          "answered_by": "nobody",
          "answer": [],
          "cause": "`orders` was not found in namespace shop, nor by the laptop's name servers.",
          "remedy": "Perhaps `orders.shop-test` was meant.",
          "steps": [
            "The cluster does not know it (asked for orders.shop.svc, 2 ms)"
          ]
        }
        "#);
    }

    #[test]
    fn a_session_that_knows_the_name_goes_before_one_that_does_not() {
        let session = |said| decisive(said).map(|one| one.session.to_string());
        assert_eq!(session(Vec::new()), None);
        let several = |first, second| vec![explained("a", first), explained("b", second)];
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
