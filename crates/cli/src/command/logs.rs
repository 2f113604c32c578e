//! `slipway logs`: what a session logged, or one that ended by itself left.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Its id, its profile, or the beginning of one; not needed if only one session runs
    session: Option<String>,
    /// Go on with every new line
    #[arg(short, long)]
    follow: bool,
}

/// Prints the lines that the session kept; of one that ended by itself, those it left.
pub(crate) async fn run(arguments: &Logs) -> Result<ExitCode, Failure> {
    let wanted = arguments.session.as_deref();
    let client = match sessions::client(wanted).await {
        Ok(client) => client,
        Err(error) => match sessions::ended(wanted)? {
            Some(words) => {
                output::print(
                    &words
                        .log
                        .iter()
                        .map(|line| format!("{line}\n"))
                        .collect::<String>(),
                )?;
                return Ok(ExitCode::SUCCESS);
            }
            None => return Err(error),
        },
    };
    let (failed, mut failure) = tokio::sync::oneshot::channel();
    let mut failed = Some(failed);
    let each = |line: &str| {
        if let Err(error) = output::print(&format!("{line}\n"))
            && let Some(failed) = failed.take()
        {
            // Nobody takes it where we have ended.
            let _ = failed.send(error);
        }
    };
    // The session would go on telling a reader that is gone.
    tokio::select! {
        told = client.logs(arguments.follow, each) => told?,
        Ok(error) = &mut failure => return Err(error),
        _ = tokio::signal::ctrl_c() => {}
    }
    match failure.try_recv() {
        Ok(error) => Err(error),
        Err(_) => Ok(ExitCode::SUCCESS),
    }
}
