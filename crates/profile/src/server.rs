//! API server of a profile without a kubeconfig.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;
use crate::value::{DomainName, check_line, text_value};

/// Longest text of certificates that is accepted, in bytes. A cluster's authority has about two thousand.
const MAX_CERTIFICATES: usize = 64 * 1024;

/// Line that begins a certificate in PEM format (RFC 7468).
const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Address of an API server, as in `https://10.0.0.1:6443` or `https://rancher.example.com/k8s/clusters/c-1`. Only `https`,
/// because a token is sent there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = r"^https://[^\s/?#@]+(/[^\s?#@]*)?$", "maxLength" = 1024)))]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl(String);

impl ServerUrl {
    /// The address as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host, with the port if there is one, as users know the cluster.
    pub fn authority(&self) -> &str {
        authority(&self.0).unwrap_or(&self.0)
    }
}

/// Returns the part between the scheme and the path.
fn authority(url: &str) -> Option<&str> {
    url.strip_prefix("https://")?.split('/').next()
}

/// Splits `HOST:PORT` or `[ADDRESS]:PORT`. `None` if the port is not one.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some(host),
        Some(port) if port.parse::<u16>().is_ok() => Some(host),
        Some(_) | None => None,
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |why: &str| InvalidValue::new("server", text, why);
        check_line("server", text)?;
        let form = "write it as in https://10.0.0.1:6443";
        let authority = authority(text).ok_or_else(|| invalid(form))?;
        if text.contains(['?', '#', '@']) || text.chars().any(char::is_whitespace) {
            return Err(invalid("it may have only a host, a port and a path"));
        }
        let host = host(authority).ok_or_else(|| invalid("its port is not a number up to 65535"))?;
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match address {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_host(host),
        }
        .then(|| Self(text.to_owned()))
        .ok_or_else(|| invalid("its host is neither a name nor an address"))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(ServerUrl);

/// Name in the API server's certificate, if that is another one than the server's address has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = 254)))]
#[serde(try_from = "String", into = "String")]
pub struct TlsServerName(String);

impl TlsServerName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TlsServerName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match is_host(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidValue::new(
                "server name",
                text,
                "it must be a host name or an address",
            )),
        }
    }
}

impl fmt::Display for TlsServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(TlsServerName);

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<DomainName>().is_ok()
}

/// Certificates in PEM format.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "-----BEGIN CERTIFICATE-----", "maxLength" = 65536)))]
#[serde(try_from = "String", into = "String")]
pub struct Certificates(String);

impl Certificates {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Certificates {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // The text may be a key that was pasted into the wrong field, so the error does not repeat it.
        let invalid = |why| Err(InvalidValue::unsaid("certificate", why));
        if text.len() > MAX_CERTIFICATES {
            return invalid("it is longer than 64 KiB");
        }
        if !text.contains(BEGIN_CERTIFICATE) {
            return invalid("it has no line -----BEGIN CERTIFICATE-----");
        }
        if text.contains("PRIVATE KEY-----") {
            return invalid("it has a private key, which must not stand in a profile");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(Certificates);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_https_addresses() {
        for (good, authority) in [
            ("https://10.0.0.1:6443", "10.0.0.1:6443"),
            ("https://api.example.com", "api.example.com"),
            ("https://[fd00::1]:6443/", "[fd00::1]:6443"),
            (
                "https://rancher.example.com/k8s/clusters/c-1",
                "rancher.example.com",
            ),
        ] {
            let server: ServerUrl = good.parse().unwrap();
            assert_eq!((server.as_str(), server.authority()), (good, authority));
        }
        for bad in [
            "",
            "10.0.0.1:6443",
            "http://10.0.0.1",
            "https://",
            "https:///x",
            "https://a b",
            "https://user:secret@host",
            "https://host:port",
            "https://host:70000",
            "https://[fd00::1",
            "https://fd00::1",
            "https://10.0.0.300",
            "https://host/?x=1",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_server_name_is_a_name_or_an_address() {
        for good in ["kubernetes.default.svc", "10.0.0.1", "fd00::1"] {
            assert_eq!(good.parse::<TlsServerName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "https://x", "10.0.0.300"] {
            assert!(bad.parse::<TlsServerName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_pasted_key_is_not_repeated() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert!(certificate.parse::<Certificates>().is_ok());
        let key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
        for bad in [key, &format!("{certificate}{key}"), "MIIE"] {
            let refused = bad.parse::<Certificates>().unwrap_err().to_string();
            assert!(!refused.contains("MIIE"), "{refused}");
        }
        assert!("x".repeat(70_000).parse::<Certificates>().is_err());
    }
}
