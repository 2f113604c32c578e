//! Status of the capture, by method.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// How programs are captured, by method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CaptureStatus {
    /// The whole laptop is captured.
    VpnTcp(VpnTcpStatus),
    /// A method that this version does not know.
    #[serde(other)]
    Unknown,
}

impl CaptureStatus {
    /// Returns the details of vpn-tcp, if that is the method.
    pub fn vpn_tcp(&self) -> Option<&VpnTcpStatus> {
        match self {
            Self::VpnTcp(status) => Some(status),
            Self::Unknown => None,
        }
    }
}

/// How the whole laptop is captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VpnTcpStatus {
    /// The networks that are routed to the cluster.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub routes: Vec<IpNet>,
    /// The DNS mode, as text for users.
    pub dns: String,
    /// The address at which the session's resolver answers, for programs that ask it themselves.
    pub resolver: IpAddr,
    /// How packets are turned into TCP connections.
    pub back_end: BackEnd,
}

/// How packets are turned into TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BackEnd {
    /// By the kernel, in a private network namespace of the session.
    PrivateNamespace,
    /// By rewriting packets, if the kernel refuses namespaces.
    Rewriting,
    /// By a back end that this version does not know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for BackEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateNamespace => "private-namespace",
            Self::Rewriting => "rewriting",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_and_its_details_are_in_one_object() {
        let status = CaptureStatus::VpnTcp(VpnTcpStatus {
            routes: vec!["10.96.0.0/16".parse().unwrap()],
            dns: "redirect of port 53".into(),
            resolver: "198.19.0.2".parse().unwrap(),
            back_end: BackEnd::Rewriting,
        });
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["method"], "vpn-tcp");
        assert_eq!(json["routes"][0], "10.96.0.0/16");
        assert_eq!(json["back_end"], BackEnd::Rewriting.to_string());
        assert_eq!(serde_json::from_value::<CaptureStatus>(json).unwrap(), status);
    }

    #[test]
    fn an_unknown_method_is_read_as_unknown() {
        let text = r#"{"method":"inject-tcp","programs":["curl"]}"#;
        let read: CaptureStatus = serde_json::from_str(text).unwrap();
        assert_eq!(read, CaptureStatus::Unknown);
    }
}
