//! `slipway status`: the running sessions.

mod history;
mod text;

use std::process::ExitCode;

use jiff::Timestamp;
use slipway_control::{RuntimeFolder, Watcher};
use slipway_control_api::{SessionStatus, Subscription, WatchedNames};

use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Id or profile of the session, or the beginning of one; without one, every session
    session: Option<String>,
    /// Print JSON: an array with an object for each session
    #[arg(long)]
    json: bool,
    /// Continue with every change, until Ctrl-C; with --json, one array per line
    #[arg(long)]
    watch: bool,
    /// Show what happened within the last hour instead
    #[arg(long, conflicts_with = "watch")]
    history: bool,
}

/// Shows the sessions once, or until Ctrl-C.
pub(crate) async fn run(arguments: &Status) -> Result<ExitCode, Failure> {
    if arguments.watch {
        return watch(arguments).await;
    }
    let running = sessions::all().await?;
    if arguments.history {
        return show_history(arguments, &running).await;
    }
    let shown = match &arguments.session {
        Some(wanted) => match sessions::pick(&running, Some(wanted)) {
            Ok(session) => vec![session.clone()],
            Err(problem) => vec![sessions::ended(Some(wanted))?.ok_or(problem)?.status],
        },
        None => running,
    };
    if arguments.json {
        output::print_json(&shown)?;
    } else {
        output::print(&in_words(arguments, &shown))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_history(arguments: &Status, running: &[SessionStatus]) -> Result<ExitCode, Failure> {
    let shown = match &arguments.session {
        Some(wanted) => std::slice::from_ref(sessions::pick(running, Some(wanted))?),
        None => running,
    };
    let histories = history::of(shown).await?;
    if arguments.json {
        output::print_json(&histories)?;
    } else {
        output::print(&history::in_words(&histories, Timestamp::now()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(arguments: &Status) -> Result<ExitCode, Failure> {
    let subscription = Subscription {
        names: WatchedNames::None,
        figures: true,
    };
    let mut watcher = Watcher::start(RuntimeFolder::of_user()?, subscription)?;
    let mut last = None;
    loop {
        let picture = tokio::select! {
            picture = watcher.next() => picture,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(picture) = picture else {
            return Ok(ExitCode::SUCCESS);
        };
        let mut running: Vec<SessionStatus> = picture.sessions.into_values().collect();
        running.sort_by_key(SessionStatus::age_order);
        if let Some(wanted) = &arguments.session {
            // A session that has ended is no longer shown.
            running = sessions::pick(&running, Some(wanted))
                .map(|session| vec![session.clone()])
                .unwrap_or_default();
        }
        // The change may be of a session that is not shown.
        if last.as_ref() == Some(&running) {
            continue;
        }
        if arguments.json {
            output::print_json_line(&running)?;
        } else {
            output::print_picture(&in_words(arguments, &running))?;
        }
        last = Some(running);
    }
}

fn in_words(arguments: &Status, shown: &[SessionStatus]) -> String {
    let now = Timestamp::now();
    match (shown, &arguments.session) {
        ([one], Some(_)) => text::one(one, now),
        _ => {
            let ended = RuntimeFolder::of_user().map(|folder| folder.last_words());
            text::all(shown, &ended.unwrap_or_default(), now)
        }
    }
}
