//! DNS suffixes: domains whose names a session answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Domain whose names a session answers: `cluster.local`, `svc`, `default`, `example.com`.
///
/// Lower case, without a dot at either end, of one or more labels of letters, digits, hyphens and underscores (RFC
/// 1123, and the underscore of RFC 2782's service names). Never the root and never a domain that the laptop itself
/// answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsSuffix(String);

impl DnsSuffix {
    /// Returns the suffix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DnsSuffix {
    type Error = SuffixError;

    fn try_from(mut text: String) -> Result<Self, Self::Error> {
        if text.ends_with('.') {
            text.pop();
        }
        text.make_ascii_lowercase();
        if text.is_empty() {
            return Err(SuffixError::Root);
        }
        if text.len() > MAX_NAME || !text.split('.').all(is_label) {
            return Err(SuffixError::Malformed);
        }
        if KEPT.contains(&text.as_str()) {
            return Err(SuffixError::Kept { suffix: text });
        }
        // Resolvers would read a numeric last label as an IPv4 address (RFC 3696 section 2).
        if text
            .rsplit('.')
            .next()
            .is_some_and(|top| top.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(SuffixError::Malformed);
        }
        Ok(Self(text))
    }
}

impl FromStr for DnsSuffix {
    type Err = SuffixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<DnsSuffix> for String {
    fn from(suffix: DnsSuffix) -> Self {
        suffix.0
    }
}

impl fmt::Display for DnsSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reason why a session cannot answer a suffix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuffixError {
    /// The root, which covers every name.
    #[error("the DNS root cannot be routed into a tunnel: name the domains")]
    Root,
    /// Not a domain name.
    #[error("not a domain name: use letters, digits and hyphens between dots, as in cluster.local")]
    Malformed,
    /// A domain that the laptop answers itself.
    #[error("the laptop itself answers {suffix}: name a domain below it")]
    Kept {
        /// The domain.
        suffix: String,
    },
}

/// Maximum length of a name as text, without the last dot (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
/// Maximum length of a label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// Domains that the laptop answers: multicast DNS (RFC 6762), special names (RFC 6761), and roots of the reverse trees.
const KEPT: &[&str] = &[
    "local",
    "localhost",
    "invalid",
    "arpa",
    "in-addr.arpa",
    "ip6.arpa",
];

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= MAX_LABEL
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_cluster_domains_in_one_spelling() {
        for (given, kept) in [
            ("cluster.local", "cluster.local"),
            ("SVC", "svc"),
            ("Default.svc.Cluster.Local.", "default.svc.cluster.local"),
            ("96.10.in-addr.arpa", "96.10.in-addr.arpa"),
            ("_tcp.example.com", "_tcp.example.com"),
        ] {
            assert_eq!(given.parse::<DnsSuffix>().map(String::from), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn refuses_the_root_and_the_laptops_own_domains() {
        assert_eq!(".".parse::<DnsSuffix>(), Err(SuffixError::Root));
        assert_eq!("".parse::<DnsSuffix>(), Err(SuffixError::Root));
        for kept in ["local", "LOCAL.", "localhost", "arpa", "in-addr.arpa", "ip6.arpa"] {
            assert!(
                matches!(kept.parse::<DnsSuffix>(), Err(SuffixError::Kept { .. })),
                "{kept}"
            );
        }
    }

    #[test]
    fn refuses_malformed_names() {
        let long_label = "a".repeat(64);
        let long_name = ["abcdefghi"; 26].join(".");
        for text in [
            "a..b",
            "..",
            ".a",
            "-a",
            "a-",
            "a b",
            "a/b",
            "~svc",
            "*.svc",
            "é",
            "10.0.0.1",
            &long_label,
            &long_name,
        ] {
            assert_eq!(text.parse::<DnsSuffix>(), Err(SuffixError::Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn accepted_suffixes_parse_to_themselves(text in "\\PC{0,80}") {
            if let Ok(suffix) = text.parse::<DnsSuffix>() {
                prop_assert_eq!(suffix.as_str().parse(), Ok(suffix.clone()));
                prop_assert!(!suffix.as_str().is_empty());
            }
        }
    }
}
