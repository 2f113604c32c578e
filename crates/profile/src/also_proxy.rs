//! Extra destinations that are reached through the cluster.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;
use crate::value::{DomainName, text_value};

/// One extra destination that is reached through the cluster, as in `db.corp.internal`, `10.3.0.7` or `10.3.0.0/16`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum AlsoProxy {
    /// A host; the cluster resolves its name.
    Host(DomainName),
    /// One address.
    Ip(IpAddr),
    /// A range without host bits.
    Cidr(IpNet),
}

impl FromStr for AlsoProxy {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(address));
        }
        if text.contains('/') {
            return range(text).map(Self::Cidr);
        }
        text.parse().map(Self::Host)
    }
}

impl fmt::Display for AlsoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::Ip(address) => address.fmt(f),
            Self::Cidr(range) => range.fmt(f),
        }
    }
}

text_value!(AlsoProxy);

fn range(text: &str) -> Result<IpNet, InvalidValue> {
    let Ok(range) = text.parse::<IpNet>() else {
        return Err(InvalidValue::new(
            "range",
            text,
            "a range has the form 10.3.0.0/16 or fd00::/8",
        ));
    };
    if range.trunc() != range {
        // Not corrected silently: the user may mean one host or the whole network.
        let why = format!(
            "it has host bits after its prefix; write {} for the whole range",
            range.trunc()
        );
        return Err(InvalidValue::new("range", text, why));
    }
    if range.prefix_len() == 0 {
        return Err(InvalidValue::new("range", text, "it covers every address"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> AlsoProxy {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_addresses_and_ranges_are_distinguished() {
        assert!(matches!(parse("db.corp.internal"), AlsoProxy::Host(_)));
        assert!(matches!(parse("10.3.0.7"), AlsoProxy::Ip(_)));
        assert!(matches!(parse("fd00::7"), AlsoProxy::Ip(_)));
        assert!(matches!(parse("10.3.0.7/32"), AlsoProxy::Cidr(_)));
        assert!(matches!(parse("fd00::/8"), AlsoProxy::Cidr(_)));
    }

    #[test]
    fn a_range_with_host_bits_is_refused_with_the_range() {
        let error = "10.3.1.2/16".parse::<AlsoProxy>().unwrap_err();
        assert!(error.to_string().contains("10.3.0.0/16"), "{error}");
    }

    #[test]
    fn invalid_destinations_are_refused() {
        for bad in [
            "",
            "10.0.0.300",
            "10.0.0.0/33",
            "0.0.0.0/0",
            "::/0",
            "http://db",
            "db:5432",
            "db/x",
        ] {
            assert!(bad.parse::<AlsoProxy>().is_err(), "{bad:?} was taken");
        }
    }
}
