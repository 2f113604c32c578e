//! `slipway connect`: a session in the foreground or the background.

mod detached;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use slipway_control_api::State;

use crate::arguments::Session;
use crate::command::helper::offer;
use crate::failure::Failure;
use crate::hosting::{Hosted, Signals, block_on, host};
use crate::narration::{Otherwise, Teller};
use crate::progress::{BackgroundWriter, ProgressWriter};

/// Arguments of `slipway connect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) session: Session,
    /// Return once connected; the session continues in the background, and `slipway status` shows the problems that it
    /// finds later
    #[arg(long)]
    pub(crate) detach: bool,
    /// Write progress and failure to standard output as JSON, one event per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Connects. In the foreground, returns when the session has ended.
pub(crate) fn run(arguments: Connect) -> Result<ExitCode, Failure> {
    let Connect {
        session,
        detach,
        json,
    } = arguments;
    if detach && let detached::Role::Session = detached::role() {
        return detached::run(session);
    }
    let mut progress = json.then(ProgressWriter::on_stdout);
    let outcome = if detach {
        detached::start(session, progress.as_mut())
    } else {
        in_foreground(session, progress.as_mut())
    };
    match &mut progress {
        Some(progress) => progress.conclude(outcome),
        None => outcome,
    }
}

fn in_foreground(
    session: Session,
    progress: Option<&mut ProgressWriter<BackgroundWriter>>,
) -> Result<ExitCode, Failure> {
    let verbose = session.verbose;
    let helper = session.helper_socket();
    let (options, method) = session.options(io::stdin().is_terminal())?;
    // A program that reads the progress has the action of the failure.
    if progress.is_none() {
        offer(&options.profile, &helper)?;
    }
    let outcome = block_on(async {
        let signals = Signals::new()?;
        host(options, method, verbose, |hosted| async move {
            match progress {
                Some(progress) => report(hosted, signals, progress).await,
                None => narrate(hosted, signals, verbose).await,
            }
        })
        .await
    })?;
    outcome?.0?;
    Ok(ExitCode::SUCCESS)
}

async fn narrate(mut hosted: Hosted, mut signals: Signals, verbose: u8) {
    let mut teller = Teller::new(verbose, Otherwise::Stdout);
    let mut hinted = false;
    loop {
        let status = hosted.changes.borrow_and_update().clone();
        teller.tell(&status);
        if status.state == State::Connected && !hinted {
            hinted = true;
            teller.line("Press Ctrl-C to disconnect.");
        }
        if status.state == State::Ended {
            return;
        }
        tokio::select! {
            changed = hosted.changes.changed() => if changed.is_err() { return },
            _ = signals.next() => hosted.stop.cancel(),
        }
    }
}

async fn report(mut hosted: Hosted, mut signals: Signals, progress: &mut ProgressWriter<BackgroundWriter>) {
    loop {
        let status = hosted.changes.borrow_and_update().clone();
        if let Err(error) = progress.status(&status) {
            // The session does not depend on the reader: `slipway status` shows it, and `slipway disconnect` ends it.
            tracing::debug!(%error, "progress could not be written");
        }
        if status.state == State::Ended {
            return;
        }
        tokio::select! {
            changed = hosted.changes.changed() => if changed.is_err() { return },
            _ = signals.next() => hosted.stop.cancel(),
        }
    }
}
