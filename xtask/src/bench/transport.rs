//! Transport: what carries the bytes that are measured.

use std::fmt;

/// A transport from a program to the `echo` pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Transport {
    /// From the node itself: nothing in between.
    Direct,
    /// One of our carriers, without a tunnel.
    Raw,
    /// The same, framed for proxies that know WebSocket only.
    RawWebSocket,
    /// `kubectl port-forward`, as it comes.
    Kubectl,
    /// The same, with the framing that it had before.
    KubectlSpdy,
    /// A connected session.
    Slipway,
}

impl Transport {
    /// In the order of the table's columns.
    pub(crate) const ALL: [Transport; 6] = [
        Transport::Direct,
        Transport::Raw,
        Transport::RawWebSocket,
        Transport::Kubectl,
        Transport::KubectlSpdy,
        Transport::Slipway,
    ];

    /// Those that are measured unless all are asked for.
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
