//! Path of a file that a profile names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;
use crate::value::{check_line, text_value};

/// Path of a file: absolute, or below the home folder as `~/...`, so that a profile can be shared.
///
/// A relative path is refused, because the tray and a terminal would read different files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^(/|~/)", "maxLength" = 1024)))]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// Returns the absolute path for the home folder `home`.
    pub fn resolve(&self, home: &Path) -> PathBuf {
        match self.0.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(&self.0),
        }
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_line("path", text)?;
        if !text.starts_with('/') && !text.starts_with("~/") {
            return Err(InvalidValue::new("path", text, "it must begin with '/' or '~/'"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(FilePath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_home_is_resolved_in_any_home() {
        let path: FilePath = "~/.kube/staging".parse().unwrap();
        assert_eq!(
            path.resolve(Path::new("/home/me")),
            Path::new("/home/me/.kube/staging")
        );
        let absolute: FilePath = "/etc/kube".parse().unwrap();
        assert_eq!(absolute.resolve(Path::new("/home/me")), Path::new("/etc/kube"));
        for bad in ["kube/config", "", "~", "/a\nb"] {
            assert!(bad.parse::<FilePath>().is_err(), "{bad:?} was taken");
        }
    }
}
