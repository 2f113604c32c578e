//! `slipway profiles edit`: a copy in the person's editor, saved when it is a profile.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::Command;

use slipway_control_api::Problem;
use slipway_problem::Fault;
use slipway_profile::{MAX_FILE_BYTES, ProfileName, Store};

use crate::failure::{Failure, Uncoded};
use crate::output;

/// How an edit ended.
pub(super) enum Edited {
    Saved,
    Unchanged,
}

/// Opens a copy, and again while it is no profile and the person wants to.
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
        if !again(&error).uncoded("Failed to ask")? {
            // The work is not lost with the copy.
            let (_, kept) = copy.keep().uncoded("Failed to keep the copy")?;
            let remedy = format!("Nothing was saved. The text is in {}.", kept.display());
            return Err(Problem::new(error.code(), error.to_string(), remedy).into());
        }
    }
}

/// The file's own text, also if it is no profile: that is when it needs an edit most.
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
    // By a shell, as everywhere: people set these to commands with options.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(path)
        .status()
        .uncoded(format!("Failed to start the editor `{editor}`"))?;
    if !status.success() {
        return Err(Failure::Uncoded(format!(
            "The editor `{editor}` failed ({status}); nothing was saved. Set VISUAL or EDITOR to another one"
        )));
    }
    Ok(())
}

/// Shows what is wrong, and asks whether to open it once more. Without a terminal there is nobody to ask.
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
