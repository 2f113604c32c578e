//! Values of a profile. Each is checked once, when it is parsed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;

/// Longest DNS name in text, without the final dot (RFC 1035, 2.3.4).
const MAX_DOMAIN: usize = 253;
/// Longest DNS label (RFC 1035, 2.3.4); Kubernetes limits namespaces to one label.
const MAX_LABEL: usize = 63;
/// Longest context name, image or path that is accepted, in bytes. Far longer than usual ones; limits messages and
/// menus.
const MAX_TEXT: usize = 1024;

/// Implements the conversions that serde needs, for a newtype over text with `FromStr` and `Display`.
macro_rules! text_value {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<Self, InvalidValue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use text_value;

/// A DNS name in lower case, without a final dot: a host, or a suffix of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$", "maxLength" = 254)))]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

impl DomainName {
    /// Returns the name, in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |why| Err(InvalidValue::new("host name", text, why));
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return invalid("it is empty");
        }
        if name.len() > MAX_DOMAIN {
            return invalid("it is longer than 253 characters");
        }
        for label in name.split('.') {
            if label.is_empty() {
                return invalid("it has two dots in a row, or begins with a dot");
            }
            if label.len() > MAX_LABEL {
                return invalid("a part between two dots is longer than 63 characters");
            }
            // RFC 952 does not allow underscores in host names, but real names (SRV, some Windows hosts) have them.
            if !label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            {
                return invalid("it may have only letters, digits, '-', '_' and '.'");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return invalid("a part between two dots begins or ends with '-'");
            }
        }
        // A last part of digits is a mistyped address (RFC 3696, 2: top-level names are not all-numeric).
        if name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        {
            return invalid("it looks like an IP address, but is not one");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(DomainName);

/// A Kubernetes namespace: one lower-case DNS label (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")))]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    /// The namespace's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |why| Err(InvalidValue::new("namespace", text, why));
        if text.is_empty() || text.len() > MAX_LABEL {
            return invalid("it must have 1 to 63 characters");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return invalid("it may have only lower-case letters, digits and '-'");
        }
        if text.starts_with('-') || text.ends_with('-') {
            return invalid("it must not begin or end with '-'");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(Namespace);

/// Name of a kubeconfig context. Kubernetes has no rule for it; cloud tools use slashes, colons and '@' in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = 1024)))]
#[serde(try_from = "String", into = "String")]
pub struct ContextName(String);

impl ContextName {
    /// The context's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContextName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_line("context", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(ContextName);

/// Reference of a container image. Only checked to be one word; the registry decides about its form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^[^\s-]\S*$", "maxLength" = 1024)))]
#[serde(try_from = "String", into = "String")]
pub struct Image(String);

impl Image {
    /// The reference as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Image {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_line("image", text)?;
        if text.chars().any(char::is_whitespace) {
            return Err(InvalidValue::new("image", text, "it has a blank"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(Image);

/// How long the agent waits for its client to return before it ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minimum" = Self::MIN_SECONDS, "maximum" = Self::MAX_SECONDS)))]
#[serde(try_from = "u32", into = "u32")]
pub struct Grace(u32);

impl Grace {
    /// Shortest grace in seconds. A shorter one would end the agent at an ordinary change of network.
    pub const MIN_SECONDS: u32 = 5;
    /// Longest grace in seconds: one day.
    pub const MAX_SECONDS: u32 = 86_400;

    /// The grace in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// The grace as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl TryFrom<u32> for Grace {
    type Error = InvalidValue;

    fn try_from(seconds: u32) -> Result<Self, InvalidValue> {
        if !(Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(&seconds) {
            return Err(InvalidValue::new(
                "grace",
                seconds,
                "it must be 5 to 86400 seconds",
            ));
        }
        Ok(Self(seconds))
    }
}

impl From<Grace> for u32 {
    fn from(grace: Grace) -> Self {
        grace.0
    }
}

/// Checks that a text is one short line without control characters, for menus, messages and process arguments.
pub(crate) fn check_line(what: &'static str, text: &str) -> Result<(), InvalidValue> {
    if text.is_empty() {
        return Err(InvalidValue::new(what, text, "it is empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(InvalidValue::new(what, text, "it is longer than 1024 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidValue::new(what, text, "it has a control character"));
    }
    if text.starts_with('-') {
        // Programs get it as an argument, and would read it as an option.
        return Err(InvalidValue::new(what, text, "it must not begin with '-'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_lower_case_and_lose_the_final_dot() {
        let name: DomainName = "DB.Corp.Internal.".parse().unwrap();
        assert_eq!(name.as_str(), "db.corp.internal");
    }

    #[test]
    fn invalid_domain_names_are_refused() {
        for bad in [
            "",
            ".",
            "a..b",
            ".corp",
            "-a.b",
            "a-.b",
            "a b",
            "a/b",
            "10.0.0.300",
            &"a".repeat(64),
            "*.corp",
        ] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad:?} was taken");
        }
        assert!(
            [["abcdefgh"; 29].join("."), "x".into()]
                .join(".")
                .parse::<DomainName>()
                .is_err()
        );
    }

    #[test]
    fn invalid_namespaces_are_refused() {
        assert_eq!("shop-test".parse::<Namespace>().unwrap().as_str(), "shop-test");
        for bad in ["", "Shop", "-shop", "shop-", "a.b", &"n".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn context_names_of_cloud_tools_are_accepted() {
        for good in [
            "arn:aws:eks:eu-west-1:1234:cluster/prod",
            "kubernetes-admin@kubernetes",
            "my cluster",
        ] {
            assert_eq!(good.parse::<ContextName>().unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "--kubeconfig=x"] {
            assert!(bad.parse::<ContextName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn grace_has_a_minimum_and_a_maximum() {
        assert_eq!(Grace::try_from(120).unwrap().duration(), Duration::from_secs(120));
        assert!(Grace::try_from(Grace::MIN_SECONDS).is_ok());
        assert!(Grace::try_from(Grace::MIN_SECONDS - 1).is_err());
        assert!(Grace::try_from(Grace::MAX_SECONDS + 1).is_err());
    }
}
