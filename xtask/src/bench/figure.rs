//! Figures that are measured, with their names and units.

use std::fmt;

/// A measured figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    BulkDown,
    BulkUp,
    /// The sum of eight flows at the same time.
    EightDown,
    /// The largest deviation of one of the eight flows from an eighth.
    EightUneven,
    /// One flow while the reader of another connection stands still.
    BesideStalled,
    DelayedDown,
    DelayedUp,
    RoundTrip,
    /// While another connection downloads.
    BesideBulkMedian,
    BesideBulkWorse,
    ConnectMedian,
    ConnectWorst,
    Burst,
    HalfClose,
    DnsCached,
    DnsAlone,
    DnsCrowd,
    ConnectedCold,
    ConnectedKept,
    CutGap,
    GoneBack,
    SessionMemory,
    NamespaceMemory,
    HelperMemory,
    AgentMemory,
    DesktopMemory,
    /// While many connections are open.
    CrowdedSessionMemory,
    CrowdedAgentMemory,
    BinarySize,
}

impl Figure {
    /// All figures, in the order of the table's rows.
    pub(crate) const ALL: [Figure; 29] = [
        Figure::BulkDown,
        Figure::BulkUp,
        Figure::EightDown,
        Figure::EightUneven,
        Figure::BesideStalled,
        Figure::DelayedDown,
        Figure::DelayedUp,
        Figure::RoundTrip,
        Figure::BesideBulkMedian,
        Figure::BesideBulkWorse,
        Figure::ConnectMedian,
        Figure::ConnectWorst,
        Figure::Burst,
        Figure::HalfClose,
        Figure::DnsCached,
        Figure::DnsAlone,
        Figure::DnsCrowd,
        Figure::ConnectedCold,
        Figure::ConnectedKept,
        Figure::CutGap,
        Figure::GoneBack,
        Figure::SessionMemory,
        Figure::NamespaceMemory,
        Figure::HelperMemory,
        Figure::AgentMemory,
        Figure::DesktopMemory,
        Figure::CrowdedSessionMemory,
        Figure::CrowdedAgentMemory,
        Figure::BinarySize,
    ];

    /// Returns its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Figure::BulkDown => "bulk, one flow, down",
            Figure::BulkUp => "bulk, one flow, up",
            Figure::EightDown => "eight flows, down, in sum",
            Figure::EightUneven => "eight flows, the most uneven share",
            Figure::BesideStalled => "one flow, down, beside a stalled reader",
            Figure::DelayedDown => "bulk with 20 ms on the carrier, down",
            Figure::DelayedUp => "bulk with 20 ms on the carrier, up",
            Figure::RoundTrip => "a byte there and back, p50",
            Figure::BesideBulkMedian => "a byte there and back beside a download, p50",
            Figure::BesideBulkWorse => "a byte there and back beside a download, p95",
            Figure::ConnectMedian => "connect and one byte back, p50",
            Figure::ConnectWorst => "connect and one byte back, p99",
            Figure::Burst => "2,000 new connections, 32 in parallel",
            Figure::HalfClose => "an answer after our FIN",
            Figure::DnsCached => "DNS, cached, 32 in flight",
            Figure::DnsAlone => "DNS, uncached, one in flight, p50",
            Figure::DnsCrowd => "DNS, uncached, 32 in flight, p50",
            Figure::ConnectedCold => "connected, nothing in the cluster",
            Figure::ConnectedKept => "connected, agent kept",
            Figure::CutGap => "API connection killed, longest silence",
            Figure::GoneBack => "API gone for 20 s, conversation back after",
            Figure::SessionMemory => "resident memory, session",
            Figure::NamespaceMemory => "resident memory, its private namespace",
            Figure::HelperMemory => "resident memory, helper",
            Figure::AgentMemory => "resident memory, agent",
            Figure::DesktopMemory => "resident memory, tray",
            Figure::CrowdedSessionMemory => "10,000 open connections, memory of the session",
            Figure::CrowdedAgentMemory => "10,000 open connections, memory of the agent",
            Figure::BinarySize => "binary with the agent",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Figure::BulkDown
            | Figure::BulkUp
            | Figure::EightDown
            | Figure::BesideStalled
            | Figure::DelayedDown
            | Figure::DelayedUp => "MB/s",
            Figure::EightUneven => "%",
            Figure::RoundTrip
            | Figure::BesideBulkMedian
            | Figure::BesideBulkWorse
            | Figure::ConnectMedian
            | Figure::ConnectWorst
            | Figure::DnsAlone
            | Figure::DnsCrowd
            | Figure::CutGap => "ms",
            Figure::Burst | Figure::DnsCached => "a second",
            Figure::HalfClose => "whole",
            Figure::ConnectedCold | Figure::ConnectedKept | Figure::GoneBack => "s",
            Figure::SessionMemory
            | Figure::NamespaceMemory
            | Figure::HelperMemory
            | Figure::AgentMemory
            | Figure::DesktopMemory
            | Figure::CrowdedSessionMemory
            | Figure::CrowdedAgentMemory
            | Figure::BinarySize => "MB",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name(), self.unit())
    }
}
