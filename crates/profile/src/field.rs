//! Path of a field in a profile's text.

use std::fmt;

/// One step of a path: into a table or into a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Key of a table.
    Key(String),
    /// Index of a list, from 0.
    Index(usize),
}

/// Path of a field, as TOML spells it: `agent.labels."example.com/team"`, `also-proxy[2]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field(pub(crate) Vec<Step>);

impl Field {
    /// Returns the path of nested keys.
    pub(crate) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(at) => write!(f, "[{at}]")?,
                Step::Key(key) => {
                    if index > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare(key) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns whether a key needs no quotes in TOML.
fn is_bare(key: &str) -> bool {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !key.is_empty() && key.bytes().all(is_bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_spelled_as_in_toml() {
        let mut field = Field::of(&["agent", "labels", "example.com/team"]);
        assert_eq!(field.to_string(), "agent.labels.\"example.com/team\"");
        field = Field::of(&["also-proxy"]);
        field.0.push(Step::Index(2));
        assert_eq!(field.to_string(), "also-proxy[2]");
    }
}
