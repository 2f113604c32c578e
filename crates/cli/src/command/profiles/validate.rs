//! `slipway profiles validate`: the mistakes in a profile's text.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use slipway_profile::{InvalidValue, Mistake, Profile, ProfileName, Store, read_bounded, read_text};

use crate::failure::{Failure, OURS};
use crate::output;

/// Arguments of `slipway profiles validate`.
#[derive(Debug, clap::Args)]
pub(super) struct Validate {
    /// The profile; `-` reads standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    name: Option<Source>,
    /// A file in place of a saved profile
    #[arg(long)]
    file: Option<PathBuf>,
    /// Print JSON: an array with an object for each mistake
    #[arg(long)]
    json: bool,
}

/// A saved profile or standard input.
#[derive(Clone, Debug)]
enum Source {
    Saved(ProfileName),
    StandardInput,
}

impl FromStr for Source {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "-" => Ok(Self::StandardInput),
            name => name.parse().map(Self::Saved),
        }
    }
}

/// Prints every mistake. The exit code is 255 if there is one.
pub(super) fn run(store: &Store, arguments: &Validate) -> Result<ExitCode, Failure> {
    let (name, text) = match (&arguments.file, &arguments.name) {
        (Some(file), _) => (file.display().to_string(), read_text(file)?),
        (None, Some(Source::Saved(name))) => (name.to_string(), store.text(name)?),
        (None, Some(Source::StandardInput) | None) => {
            let name = "standard input";
            (
                name.to_owned(),
                read_bounded(io::stdin().lock(), Path::new(name))?,
            )
        }
    };
    let mistakes = mistakes(&text)?;
    if arguments.json {
        output::print_json(&mistakes)?;
    } else {
        output::print(&in_words(&name, &mistakes))?;
    }
    Ok(match &mistakes[..] {
        [] => ExitCode::SUCCESS,
        [..] => ExitCode::from(OURS),
    })
}

/// Returns the mistakes of a text. Its name does not matter.
fn mistakes(text: &str) -> Result<Vec<Mistake>, Failure> {
    match Profile::from_toml(Profile::unsaved().name, text) {
        Ok(_) => Ok(Vec::new()),
        Err(error) => match error.mistakes() {
            none if none.is_empty() => Err(error.into()),
            mistakes => Ok(mistakes),
        },
    }
}

fn in_words(name: &str, mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return format!("{name} is a valid profile.\n");
    }
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "method = \"vpn\"\nalso-proxy = [\"a..b\"]\n[agent]\ngrace-seconds = 1\n";

    #[test]
    fn each_mistake_has_its_line() {
        insta::assert_snapshot!(in_words("shop", &mistakes(TEXT).unwrap()));
        let none = mistakes("version = 1\n").unwrap();
        assert_eq!(in_words("shop", &none), "shop is a valid profile.\n");
    }

    #[test]
    fn mistakes_keep_their_form_as_json() {
        insta::assert_json_snapshot!(mistakes(TEXT).unwrap());
    }
}
