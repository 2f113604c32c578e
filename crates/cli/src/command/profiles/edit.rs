//! `slipway profiles edit`: edits a copy, and saves it if it is a valid profile.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;

use slipway_control_api::Problem;
use slipway_problem::Fault;
use slipway_profile::{MAX_FILE_BYTES, ProfileName, Store};

use crate::failure::{Failure, Uncoded};
use crate::output;

/// Outcome of an edit.
pub(super) enum Edited {
    Saved,
    Unchanged,
}

/// Opens a copy in the editor, again as long as it is not a valid profile and the user agrees.
pub(super) fn run(store: &Store, name: &ProfileName) -> Result<Edited, Failure> {
    let before = current(store, name)?;
    let mut copy = tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .suffix(".toml")
        .tempfile()
        .uncoded("Failed to make a copy to edit")?;
    copy.write_all(before.as_bytes())
        .and_then(|()| copy.flush())
        .uncoded("Failed to write a copy to edit")?;
    loop {
        open(copy.path())?;
        let after = read(copy.path())?;
        if after == before {
            return Ok(Edited::Unchanged);
        }
        let error = match store.save_text(name, &after) {
            Ok(_) => return Ok(Edited::Saved),
            Err(error) => error,
        };
        if !again(&error).uncoded("Failed to read the answer")? {
            // The copy keeps the user's changes.
            let (_, kept) = copy.keep().uncoded("Failed to keep the copy")?;
            let remedy = format!("The profile was not changed. Your text is in {}.", kept.display());
            return Err(Problem::new(error.code(), error.to_string(), remedy).into());
        }
    }
}

/// Returns the text of the profile's file, also if it is not a valid profile.
fn current(store: &Store, name: &ProfileName) -> Result<String, Failure> {
    let path = store.path(name);
    if !path.exists() {
        return Err(slipway_profile::Error::Missing(name.clone()).into());
    }
    read(&path)
}

fn read(path: &Path) -> Result<String, Failure> {
    // Opened anew each time: many editors replace the file.
    let file = std::fs::File::open(path).uncoded(format!("Failed to read {}", path.display()))?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .uncoded(format!("Failed to read {}", path.display()))?;
    Ok(text)
}

fn open(path: &Path) -> Result<(), Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL")
        .or_else(|| set("EDITOR"))
        .unwrap_or_else(|| "vi".to_owned());
    // In a shell, because the variables may contain a command with options.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(path)
        .status()
        .uncoded(format!("Failed to start the editor `{editor}`"))?;
    if !status.success() {
        return Err(Failure::Uncoded(format!(
            "The editor `{editor}` failed ({status}), and the profile was not changed. To use another editor, set VISUAL or EDITOR"
        )));
    }
    Ok(())
}

/// Shows the error, and asks whether to edit again. Without a terminal the answer is no.
fn again(error: &slipway_profile::Error) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    output::tell(&format!("{error}\nEdit again? [Y/n] "));
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        return Ok(false);
    }
    Ok(!matches!(answer.trim(), "n" | "N" | "no"))
}
