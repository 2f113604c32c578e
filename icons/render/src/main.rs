//! `slipway-icons [FOLDER]`: draws every icon, and prints those that changed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let icons = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("icons"), PathBuf::from);
    let written = slipway_icons::draw_all(&icons).and_then(|files| slipway_icons::write(&icons, &files));
    match written {
        Ok(written) => {
            for path in written {
                let _ = writeln!(io::stdout(), "{}", path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "slipway-icons: {error}");
            ExitCode::FAILURE
        }
    }
}
