//! `slipway disconnect`: ends sessions and waits until they have ended.

use std::process::ExitCode;

use futures_util::future::join_all;
use slipway_control::{Client, RuntimeFolder};
use slipway_control_api::SessionStatus;

use crate::failure::Failure;
use crate::narration::place;
use crate::{output, sessions};

/// Arguments of `slipway disconnect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Disconnect {
    /// Id or profile of the session, or the beginning of one; not needed if only one session runs
    #[arg(conflicts_with = "all")]
    session: Option<String>,
    /// End every session
    #[arg(long)]
    all: bool,
}

/// Ends one session or all. It is a failure only if the user named a session that does not run.
pub(crate) async fn run(arguments: &Disconnect) -> Result<ExitCode, Failure> {
    let running = sessions::all().await?;
    if running.is_empty() && arguments.session.is_none() {
        output::print("No session is connected.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.all {
        let last = sessions::client(arguments.session.as_deref())
            .await?
            .disconnect()
            .await?;
        output::print(&farewell(last.as_ref()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = RuntimeFolder::of_user()?;
    let end = |session: SessionStatus| {
        let folder = folder.clone();
        async move { Client::connect(&folder, &session.id).await?.disconnect().await }
    };
    let mut code = ExitCode::SUCCESS;
    for ended in join_all(running.into_iter().map(end)).await {
        match ended {
            Ok(last) => output::print(&farewell(last.as_ref()))?,
            // The session has ended by itself.
            Err(slipway_control::Error::NoSession(_)) => {}
            Err(error) => code = output::report_failure(&error.into()),
        }
    }
    Ok(code)
}

fn farewell(last: Option<&SessionStatus>) -> String {
    match last {
        Some(last) => {
            let mut text = format!("Disconnected {} ({}).\n", last.title(), place(last));
            if let Some(failure) = &last.failure {
                text.push_str(&format!("It ended with a problem: {}\n", failure.cause));
            }
            text
        }
        None => "Disconnected.\n".to_owned(),
    }
}
