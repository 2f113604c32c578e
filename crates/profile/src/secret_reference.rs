//! References to secrets: a profile says where a secret is, and never has it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::file_path::FilePath;
use crate::invalid_value::InvalidValue;
use crate::value::{check_line, text_value};

/// Where a secret of a profile is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^(keyring|env:[A-Za-z_][A-Za-z0-9_]*|file:(/|~/).*|exec:.+)$")))]
#[serde(try_from = "String", into = "String")]
pub enum SecretReference {
    /// In the user's keyring, under the profile's identity: `keyring`.
    Keyring,
    /// In an environment variable: `env:NAME`.
    Environment(VariableName),
    /// In a file that only its owner may read: `file:PATH`.
    File(FilePath),
    /// On the standard output of a program: `exec:PROGRAM ARGUMENT...`.
    Program(ProgramLine),
}

impl FromStr for SecretReference {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once(':') {
            None if text == "keyring" => Ok(Self::Keyring),
            Some(("env", name)) => name.parse().map(Self::Environment),
            Some(("file", path)) => path.parse().map(Self::File),
            Some(("exec", line)) => line.parse().map(Self::Program),
            // The text may be the secret itself, so the error does not repeat it.
            Some(_) | None => Err(InvalidValue::unsaid(
                "reference to a secret",
                "write keyring, env:NAME, file:PATH or exec:COMMAND, not the secret itself",
            )),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("keyring"),
            Self::Environment(name) => write!(f, "env:{}", name.as_str()),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Program(line) => write!(f, "exec:{}", line.as_str()),
        }
    }
}

text_value!(SecretReference);

/// Name of an environment variable (POSIX, 8.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariableName(String);

impl VariableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VariableName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_line("name of a variable", text)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !text.bytes().all(is_name) || text.starts_with(|first: char| first.is_ascii_digit()) {
            let why = "it may have only letters, digits and '_', and no digit at its beginning";
            return Err(InvalidValue::new("name of a variable", text, why));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A program with its arguments, split into words as a shell does, but run without one: quotes and backslashes count,
/// variables and patterns do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProgramLine {
    text: String,
    words: Vec<String>,
}

impl ProgramLine {
    /// The line as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The program.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The arguments.
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

impl FromStr for ProgramLine {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_line("command", text)?;
        let invalid = |why| InvalidValue::new("command", text, why);
        let words = shlex::split(text).ok_or_else(|| invalid("a quote is not closed"))?;
        if words.first().is_none_or(String::is_empty) {
            return Err(invalid("it names no program"));
        }
        Ok(Self {
            text: text.to_owned(),
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written() {
        for text in [
            "keyring",
            "env:SHOP_TOKEN",
            "file:/run/secrets/token",
            "file:~/.config/shop/token",
            "exec:pass show 'shop/api token'",
        ] {
            let reference: SecretReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
    }

    #[test]
    fn a_pasted_secret_is_refused_and_not_repeated() {
        for secret in ["eyJhbGciOi.J9.x", "token:eyJhbGciOi", "keyring:eyJhbGciOi", ""] {
            let refused = secret.parse::<SecretReference>().unwrap_err().to_string();
            assert!(!refused.contains("eyJ"), "{refused}");
        }
    }

    #[test]
    fn invalid_references_are_refused() {
        for bad in [
            "env:",
            "env:A B",
            "env:1A",
            "env:A=1",
            "file:token",
            "file:",
            "exec:",
            "exec: ",
            "exec:''",
            "exec:pass 'show",
            "exec:a\nb",
        ] {
            assert!(bad.parse::<SecretReference>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_command_is_split_into_words_without_a_shell() {
        let line: ProgramLine = r#"sh -c 'echo "$HOME" | tr a b' a\ b ~/x *.txt"#.parse().unwrap();
        assert_eq!(line.program(), "sh");
        let arguments = ["-c", "echo \"$HOME\" | tr a b", "a b", "~/x", "*.txt"];
        assert_eq!(line.arguments(), arguments);
    }
}
