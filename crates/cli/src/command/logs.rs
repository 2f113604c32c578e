//! `slipway logs`: the log of a session, also of one that ended by itself.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::{output, sessions};

/// Arguments of `slipway logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Id or profile of the session, or the beginning of one; not needed if only one session runs
    session: Option<String>,
    /// Continue with every new line, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

/// Prints the log that the session keeps, or that it saved when it ended by itself.
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
            // The receiver is gone if the command has ended.
            let _ = failed.send(error);
        }
    };
    // A failed write ends the request; the session would otherwise send until Ctrl-C.
    tokio::select! {
        received = client.logs(arguments.follow, each) => received?,
        Ok(error) = &mut failure => return Err(error),
        _ = tokio::signal::ctrl_c() => {}
    }
    match failure.try_recv() {
        Ok(error) => Err(error),
        Err(_) => Ok(ExitCode::SUCCESS),
    }
}
