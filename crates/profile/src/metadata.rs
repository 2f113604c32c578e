//! Labels, annotations and names of Kubernetes objects, as a profile sets them for the agent's pod.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;
use crate::value::text_value;

/// Longest name in a key, longest label value and longest DNS label (`apimachinery/pkg/util/validation`).
const MAX_NAME: usize = 63;
/// Longest prefix of a key, and longest name of an object: a DNS subdomain.
const MAX_SUBDOMAIN: usize = 253;
/// Longest annotation that is accepted, in bytes. Far longer than usual ones; limits the profile's file.
const MAX_ANNOTATION: usize = 8192;

/// Keys that Slipway sets itself: with them it finds its agents again, and keeps them on nodes that can run them.
const OURS: [&str; 4] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/managed-by",
    "kubernetes.io/os",
    "kubernetes.io/arch",
];

/// Prefix of all other keys that Slipway sets itself.
const OUR_PREFIX: &str = "slipway.dev";

/// Key of a label, an annotation or a node selector, such as `team` or `sidecar.istio.io/inject`. It is none that
/// Slipway uses itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct MetadataKey(String);

impl MetadataKey {
    /// The key as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MetadataKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_key("key", text)?;
        let prefix = text.split_once('/').map(|(prefix, _)| prefix);
        let is_ours = |prefix: &str| {
            prefix
                .strip_suffix(OUR_PREFIX)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if OURS.contains(&text) || prefix.is_some_and(is_ours) {
            return Err(InvalidValue::new("key", text, "Slipway sets it itself"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MetadataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(MetadataKey);

/// Value of a label or a node selector; may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$")))]
#[serde(try_from = "String", into = "String")]
pub struct LabelValue(String);

impl LabelValue {
    /// The value as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelValue {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if !text.is_empty() {
            check_name("label value", text, text)?;
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(LabelValue);

/// Value of an annotation: any text without control characters other than line ends and tabs; may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("maxLength" = 8192)))]
#[serde(try_from = "String", into = "String")]
pub struct AnnotationValue(String);

impl AnnotationValue {
    /// The value as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AnnotationValue {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |why| Err(InvalidValue::new("annotation", text, why));
        if text.len() > MAX_ANNOTATION {
            return invalid("it is longer than 8192 bytes");
        }
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return invalid("it has a control character");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AnnotationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(AnnotationValue);

/// Name of an object in the session's namespace, such as a Secret or a service account: a DNS subdomain (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", "maxLength" = 253)))]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(String);

impl ObjectName {
    /// The object's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        check_subdomain("name of an object", text, text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(ObjectName);

/// Checks a key: `NAME`, or `PREFIX/NAME` with a DNS subdomain as prefix.
pub(crate) fn check_key(what: &'static str, text: &str) -> Result<(), InvalidValue> {
    match text.split_once('/') {
        Some((prefix, name)) => {
            check_subdomain(what, text, prefix)?;
            check_name(what, text, name)
        }
        None => check_name(what, text, text),
    }
}

/// Checks a part of `text`: a name in a key, or a label value.
pub(crate) fn check_name(what: &'static str, text: &str, name: &str) -> Result<(), InvalidValue> {
    let invalid = |why| Err(InvalidValue::new(what, text, why));
    if name.is_empty() || name.len() > MAX_NAME {
        return invalid("it must have 1 to 63 characters");
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return invalid("it may have only letters, digits, '-', '_' and '.'");
    }
    let is_end = |end: Option<u8>| end.is_some_and(|b| b.is_ascii_alphanumeric());
    if !is_end(name.bytes().next()) || !is_end(name.bytes().last()) {
        return invalid("it must begin and end with a letter or digit");
    }
    Ok(())
}

fn check_subdomain(what: &'static str, text: &str, domain: &str) -> Result<(), InvalidValue> {
    let invalid = |why| Err(InvalidValue::new(what, text, why));
    if domain.is_empty() || domain.len() > MAX_SUBDOMAIN {
        return invalid("it must have 1 to 253 characters");
    }
    for label in domain.split('.') {
        let is_middle = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let is_end = |end: Option<u8>| end.is_some_and(is_middle);
        if !is_end(label.bytes().next())
            || !is_end(label.bytes().last())
            || !label.bytes().all(|b| is_middle(b) || b == b'-')
        {
            return invalid(
                "it may have only lower-case letters, digits, '-' and '.', and no '-' beside a '.'",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_and_without_prefix_are_accepted() {
        for good in [
            "team",
            "Cost_Center.1",
            "sidecar.istio.io/inject",
            "app.kubernetes.io/part-of",
            "notslipway.dev/x",
        ] {
            assert_eq!(good.parse::<MetadataKey>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/x",
            "a/",
            "a/b/c",
            "-a",
            "a b",
            "A.example/x",
            "a..b/x",
            &"k".repeat(64),
        ] {
            assert!(bad.parse::<MetadataKey>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn keys_that_slipway_sets_itself_are_refused() {
        for ours in [
            "app.kubernetes.io/name",
            "app.kubernetes.io/managed-by",
            "slipway.dev/session",
            "x.slipway.dev/y",
            "kubernetes.io/arch",
        ] {
            let refused = ours.parse::<MetadataKey>().unwrap_err().to_string();
            assert!(refused.contains("Slipway sets it itself"), "{refused}");
        }
    }

    #[test]
    fn values_keep_to_the_rules_of_kubernetes() {
        for good in ["", "shop", "1.2_x-y"] {
            assert_eq!(good.parse::<LabelValue>().unwrap().as_str(), good);
        }
        for bad in ["a b", "-a", "a/b", &"v".repeat(64)] {
            assert!(bad.parse::<LabelValue>().is_err(), "{bad:?} was taken");
        }
        let lines = "concurrency: 1\nlog: debug";
        assert_eq!(lines.parse::<AnnotationValue>().unwrap().as_str(), lines);
        assert!("\u{1b}[31m".parse::<AnnotationValue>().is_err());
        assert!("a".repeat(9000).parse::<AnnotationValue>().is_err());
    }

    #[test]
    fn names_of_objects_are_dns_subdomains() {
        for good in ["regcred", "my.secret-1"] {
            assert_eq!(good.parse::<ObjectName>().unwrap().as_str(), good);
        }
        for bad in ["", "Regcred", "a_b", "-a", "a-.b", "a/b"] {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad:?} was taken");
        }
    }
}
