//! The command line: `slipway`.
//!
//! Each command is a file in `command/`, with its own arguments. Shared parts: `arguments` (arguments), `failure`
//! (errors), `progress` (JSON for the program that started a session). A session runs in the process of `connect` or
//! `run` (`hosting`). Every other command reads and controls sessions over their control sockets (`sessions`), or
//! looks at the cluster and the laptop (`this_laptop`) without a session. Printed text is made by pure functions, in a
//! folder beside the command.
//!
//! Exit codes: 0 for success, and for a session that was ended by Ctrl-C or SIGTERM; 2 for wrong usage; 255 for
//! Slipway's own failures; `run` passes on its command's; `doctor` has 128+N if signal N ended it.

mod agent_arguments;
mod arguments;
mod command;
mod command_line;
mod failure;
mod hosting;
mod method;
mod narration;
mod output;
mod progress;
mod repeated;
mod sessions;
mod table;
mod this_laptop;

use std::process::ExitCode;

use clap::Parser;

use crate::command_line::{Arguments, Command};
use crate::failure::{Failure, Uncoded};

fn main() -> ExitCode {
    // Before any thread starts: this process may be a re-executed copy of the program, which makes the capture's private
    // namespace or the doctor's trial namespace. Only a process with one thread can do that.
    slipway_capture::private_namespace::child_main_if_asked();
    command::doctor::try_if_asked();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => output::report_failure(&failure),
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Connect(arguments) => command::connect::run(arguments),
        Command::Run(arguments) => command::run::run(arguments),
        Command::Status(arguments) => blocking(command::status::run(&arguments)),
        Command::Change(arguments) => blocking(command::change::run(arguments)),
        Command::Disconnect(arguments) => blocking(command::disconnect::run(&arguments)),
        Command::Explain(arguments) => blocking(command::explain::run(&arguments)),
        Command::Names(arguments) => blocking(command::names::run(&arguments)),
        Command::Logs(arguments) => blocking(command::logs::run(&arguments)),
        Command::List(arguments) => blocking(command::list::run(arguments)),
        Command::Profiles(arguments) => blocking(command::profiles::run(arguments)),
        Command::Doctor(arguments) => command::doctor::run(arguments),
        Command::Helper(arguments) => blocking(command::helper::run(arguments)),
        Command::Cleanup(arguments) => blocking(command::cleanup::run(arguments)),
    }
}

/// Runs a command that hosts no session.
fn blocking(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .uncoded("Failed to start the runtime")?;
    let outcome = runtime.block_on(command);
    // A credential plugin or a getaddrinfo call that still waits must not delay the end.
    runtime.shutdown_background();
    outcome
}
