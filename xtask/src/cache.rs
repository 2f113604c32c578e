//! `cargo xtask cache`: sizes of the caches, and their limit.
//!
//! Only files that can be made again are removed. Files that the last complete `cargo xtask test` used stay, and so do
//! those that a running bed or another cargo uses.

mod in_use;
mod sweep;

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

pub(crate) use self::in_use::InUse;
use self::sweep::{Sweep, Swept};
use crate::{folders, say};

/// Limit of all caches together, in bytes.
const CAP: u64 = 20_000_000_000;

#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// Remove the files that were unused for longest, until the caches are within their limit
    #[arg(long)]
    clean: bool,
}

pub(crate) fn run(arguments: &Cache) -> anyhow::Result<ExitCode> {
    let root = folders::cache()?;
    if arguments.clean {
        let in_use = InUse::load(&root);
        tell(&sweep(SystemTime::now(), &in_use)?);
    }
    say(&format!("{}:", root.display()));
    let mut all = 0;
    for (name, bytes) in sweep::parts(&root)? {
        say(&format!("{:>8}  {name}", gigabytes(bytes)));
        all += bytes;
    }
    say(&format!(
        "{:>8}  in total; the limit is {}",
        gigabytes(all),
        gigabytes(CAP)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Brings the caches within their limit after a run that began at `since` and used these artefacts.
///
/// # Errors
///
/// When the caches cannot be read, or a file cannot be removed.
pub(crate) fn keep_within_cap(since: SystemTime, in_use: &InUse) -> anyhow::Result<()> {
    in_use.save(&folders::cache()?)?;
    let swept = sweep(since, in_use)?;
    if swept.before > CAP {
        tell(&swept);
    }
    Ok(())
}

fn sweep(since: SystemTime, in_use: &InUse) -> anyhow::Result<Swept> {
    Sweep {
        root: &folders::cache()?,
        cap: CAP,
        since,
        in_use,
    }
    .run()
}

fn tell(swept: &Swept) {
    say(&format!(
        "Caches: {}, of which {} were removed.",
        gigabytes(swept.before),
        gigabytes(swept.before - swept.after)
    ));
    for folder in &swept.busy {
        say(&format!(
            "Another cargo builds in {}; nothing in it was removed.",
            folder.display()
        ));
    }
    if swept.after > CAP {
        say("The remaining files are in use, and larger than the limit.");
    }
}

fn gigabytes(bytes: u64) -> String {
    let hundredths = bytes / 10_000_000;
    format!("{}.{:02} GB", hundredths / 100, hundredths % 100)
}
