//! `slipway names`: the names that programs asked for recently, with the answers.

use std::process::ExitCode;

use slipway_control_api::{Answerer, NameEvent};

use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway names`.
#[derive(Debug, clap::Args)]
pub(crate) struct Names {
    /// Id or profile of the session, or the beginning of one; not needed if only one session runs
    session: Option<String>,
    /// Show only names without an answer
    #[arg(long)]
    failed: bool,
    /// Continue with every new name, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Print JSON, one line per name
    #[arg(long)]
    json: bool,
}

/// Prints the names that the session kept.
pub(crate) async fn run(arguments: &Names) -> Result<ExitCode, Failure> {
    let client = sessions::client(arguments.session.as_deref()).await?;
    let mut failure = None;
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let mut stop = Some(stop);
    let each = |event: Result<NameEvent, u64>| {
        let printed = match event {
            Ok(event) if arguments.json => output::print_json_line(&event),
            Ok(event) => output::print(&in_words(&event)),
            Err(missed) => {
                output::note(&format!("({missed} names were left out)"));
                Ok(())
            }
        };
        if let (Err(error), Some(stop)) = (printed, stop.take_if(|_| failure.is_none())) {
            failure = Some(error);
            // The receiver is gone if the command has ended.
            let _ = stop.send(());
        }
    };
    // A failed write ends the request; the session would otherwise send until Ctrl-C.
    tokio::select! {
        received = client.names(arguments.failed, arguments.follow, each) => received?,
        Ok(()) = &mut stopped => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn in_words(event: &NameEvent) -> String {
    let at = event.at.strftime("%FT%TZ");
    let NameEvent {
        name, kind, took_ms, ..
    } = event;
    let said = match (&event.problem, event.answer.as_slice()) {
        (Some(problem), _) => format!("{} ({}", problem.cause, problem.code),
        (None, []) => format!("no {kind} record ({}", by(event.answered_by)),
        (None, answer) => format!("{} ({}", answer.join(", "), by(event.answered_by)),
    };
    let asker = event.asked_by.as_ref();
    let asker = asker.map_or_else(String::new, |asker| format!(", for {}", asker.program));
    format!("{at} {name} {kind}: {said}, {took_ms} ms{asker})\n")
}

fn by(answerer: Answerer) -> &'static str {
    match answerer {
        Answerer::Cluster => "cluster",
        Answerer::Laptop => "laptop",
        Answerer::Nobody => "no server",
    }
}

#[cfg(test)]
mod tests {
    use slipway_control_api::Problem;

    use super::*;

    #[test]
    fn a_name_is_a_line_with_its_answer_or_reason() {
        let event = NameEvent {
            at: "2026-03-01T12:00:00.5Z".parse().unwrap(),
            name: "web.shop".into(),
            kind: "A".into(),
            answer: vec!["10.96.0.7".into()],
            answered_by: Answerer::Cluster,
            asked_by: None,
            took_ms: 3,
            problem: None,
        };
        let failed = NameEvent {
            answer: Vec::new(),
            problem: Some(Problem::new(
                "name-not-found",
                "No server knows this name.",
                "Look.",
            )),
            ..event.clone()
        };
        let empty = NameEvent {
            answer: Vec::new(),
            kind: "AAAA".into(),
            asked_by: Some(slipway_control_api::Asker {
                program: "curl".into(),
                pid: 7,
            }),
            ..event.clone()
        };
        insta::assert_snapshot!([event, failed, empty].iter().map(in_words).collect::<String>(), @r"
        2026-03-01T12:00:00Z web.shop A: 10.96.0.7 (cluster, 3 ms)
        2026-03-01T12:00:00Z web.shop A: No server knows this name. (name-not-found, 3 ms)
        2026-03-01T12:00:00Z web.shop AAAA: no AAAA record (cluster, 3 ms, for curl)
        ");
    }
}
