//! What bytes go over.

use std::fmt;

/// A way from a program to the `echo` pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Way {
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

impl Way {
    /// In the order of the table's columns.
    pub(crate) const ALL: [Way; 6] = [
        Way::Direct,
        Way::Raw,
        Way::RawWebSocket,
        Way::Kubectl,
        Way::KubectlSpdy,
        Way::Slipway,
    ];

    /// Those that are measured unless all are asked for.
    pub(crate) const FEW: [Way; 4] = [Way::Direct, Way::Raw, Way::Kubectl, Way::Slipway];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Direct => "direct",
            Way::Raw => "raw SPDY",
            Way::RawWebSocket => "raw WebSocket",
            Way::Kubectl => "kubectl",
            Way::KubectlSpdy => "kubectl, SPDY",
            Way::Slipway => "Slipway",
        })
    }
}
