//! Transports whose bytes are measured.

use std::fmt;

/// A transport from a program to the `echo` pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Transport {
    /// From the node itself, directly.
    Direct,
    /// One Slipway carrier, without a tunnel.
    Raw,
    /// The same with WebSocket framing, for proxies that know only WebSocket.
    RawWebSocket,
    /// `kubectl port-forward` with its default framing.
    Kubectl,
    /// The same with its earlier framing, SPDY.
    KubectlSpdy,
    /// A connected Slipway session.
    Slipway,
}

impl Transport {
    /// All transports, in the order of the table's columns.
    pub(crate) const ALL: [Transport; 6] = [
        Transport::Direct,
        Transport::Raw,
        Transport::RawWebSocket,
        Transport::Kubectl,
        Transport::KubectlSpdy,
        Transport::Slipway,
    ];

    /// The transports that are measured by default.
    pub(crate) const FEW: [Transport; 4] = [
        Transport::Direct,
        Transport::Raw,
        Transport::Kubectl,
        Transport::Slipway,
    ];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Direct => "direct",
            Transport::Raw => "raw SPDY",
            Transport::RawWebSocket => "raw WebSocket",
            Transport::Kubectl => "kubectl",
            Transport::KubectlSpdy => "kubectl, SPDY",
            Transport::Slipway => "Slipway",
        })
    }
}
