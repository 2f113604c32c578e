//! `slipway connect`: a session in the foreground, or one that goes on in the background.

mod detached;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use slipway_control::State;

use crate::arguments::Session;
use crate::hosting::{Hosted, Signals, block_on, host};
use crate::narration::{Otherwise, Teller};

/// Arguments of `slipway connect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) session: Session,
    /// Return once connected; the session goes on in the background
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Connects, and in the foreground stays until the session is over.
pub(crate) fn run(arguments: Connect) -> anyhow::Result<ExitCode> {
    let verbose = arguments.session.verbose;
    if arguments.detach {
        return match detached::role() {
            detached::Role::Starter => detached::start(arguments.session),
            detached::Role::Session => detached::run(arguments.session),
        };
    }
    let options = arguments.session.options(io::stdin().is_terminal())?;
    let outcome = block_on(async {
        let signals = Signals::new()?;
        host(options, verbose, |hosted| foreground(hosted, signals, verbose)).await
    })?;
    match outcome?.0 {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problem) => Err(problem.into()),
    }
}

async fn foreground(mut hosted: Hosted, mut signals: Signals, verbose: u8) {
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
