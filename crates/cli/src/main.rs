//! The command line: `slipway`.
//!
//! One file for each command in `command/`; what they share of the arguments is in `arguments`, what they say when
//! they fail in `failure`. A session runs in the process of `connect` or `run`; every other command reads and steers
//! sessions over their control sockets, or looks at the cluster and the laptop without a session.

mod arguments;
mod command;
mod failure;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    // Before any thread: the capture's private namespace is a re-executed copy of this program.
    slipway_capture::private_namespace::child_main_if_asked();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Connect(arguments) => command::connect::run(arguments),
    }
}
