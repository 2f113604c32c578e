//! Goals of the measured figures.

use super::figure::Figure;
use super::results::{Results, median};
use super::transport::Transport;

/// A goal of a Slipway figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(Figure, f64),
    AtMost(Figure, f64),
    /// A multiple of another transport's figure.
    Times(Figure, f64, (Figure, Transport)),
    /// One of two goals.
    Either(Figure, &'static Goal, &'static Goal),
}

/// All goals; a figure may have several.
pub(crate) const ALL: [Goal; 28] = [
    Goal::Times(Figure::BulkDown, 0.75, (Figure::BulkDown, Transport::Raw)),
    Goal::Times(Figure::BulkDown, 1.2, (Figure::BulkDown, Transport::Kubectl)),
    Goal::Times(Figure::BulkUp, 0.75, (Figure::BulkUp, Transport::Raw)),
    Goal::Times(Figure::BulkUp, 1.2, (Figure::BulkUp, Transport::Kubectl)),
    // Lower by the noise of one flow's figure.
    Goal::Times(Figure::EightDown, 0.95, (Figure::BulkDown, Transport::Slipway)),
    Goal::AtMost(Figure::EightUneven, 20.0),
    Goal::Times(Figure::BesideStalled, 0.9, (Figure::BulkDown, Transport::Slipway)),
    Goal::Either(
        Figure::DelayedDown,
        &Goal::AtLeast(Figure::DelayedDown, 150.0),
        &Goal::Times(Figure::DelayedDown, 0.8, (Figure::DelayedDown, Transport::Raw)),
    ),
    Goal::Either(
        Figure::DelayedUp,
        &Goal::AtLeast(Figure::DelayedUp, 150.0),
        &Goal::Times(Figure::DelayedUp, 0.8, (Figure::DelayedUp, Transport::Raw)),
    ),
    Goal::AtMost(Figure::BesideBulkMedian, 2.0),
    Goal::AtMost(Figure::BesideBulkWorse, 8.0),
    Goal::AtMost(Figure::ConnectMedian, 0.6),
    Goal::AtMost(Figure::ConnectWorst, 2.5),
    Goal::AtLeast(Figure::Burst, 4000.0),
    Goal::AtLeast(Figure::HalfClose, 1.0),
    Goal::AtLeast(Figure::DnsCached, 50_000.0),
    Goal::AtMost(Figure::DnsAlone, 1.0),
    Goal::AtMost(Figure::DnsCrowd, 1.0),
    Goal::AtMost(Figure::ConnectedCold, 3.0),
    Goal::AtMost(Figure::ConnectedKept, 0.5),
    Goal::AtMost(Figure::CutGap, 500.0),
    Goal::AtMost(Figure::GoneBack, 2.0),
    Goal::AtMost(Figure::SessionMemory, 30.0),
    Goal::AtMost(Figure::NamespaceMemory, 30.0),
    Goal::AtMost(Figure::HelperMemory, 6.0),
    Goal::AtMost(Figure::AgentMemory, 16.0),
    Goal::AtMost(Figure::DesktopMemory, 60.0),
    Goal::AtMost(Figure::BinarySize, 25.0),
];

impl Goal {
    /// Returns the figure of the goal.
    pub(crate) fn figure(&self) -> Figure {
        match self {
            Goal::AtLeast(figure, _)
            | Goal::AtMost(figure, _)
            | Goal::Times(figure, ..)
            | Goal::Either(figure, ..) => *figure,
        }
    }

    /// Returns the goal as text.
    pub(crate) fn words(&self) -> String {
        match self {
            Goal::AtLeast(Figure::HalfClose, _) => "whole".to_owned(),
            Goal::AtLeast(_, least) => format!("at least {least}"),
            Goal::AtMost(_, most) => format!("at most {most}"),
            Goal::Times(figure, times, (other, transport)) if figure == other => {
                format!("{times} x {transport}")
            }
            Goal::Times(_, times, (other, _)) => format!("{times} x {}", other.name()),
            Goal::Either(_, one, other) => format!("{}, or {}", one.words(), other.words()),
        }
    }

    /// Returns whether the goal was reached, with the ratio if it has one; `None` if nothing was measured.
    pub(crate) fn judge(&self, results: &Results) -> Option<(bool, Option<f64>)> {
        match self {
            Goal::AtLeast(figure, least) => {
                let value = median(results.of(*figure, Transport::Slipway))?;
                Some((value >= *least, None))
            }
            Goal::AtMost(figure, most) => {
                let value = median(results.of(*figure, Transport::Slipway))?;
                Some((value <= *most, None))
            }
            Goal::Times(figure, times, other) => {
                let ratio = results.ratio((*figure, Transport::Slipway), *other)?;
                Some((ratio >= *times, Some(ratio)))
            }
            Goal::Either(_, one, other) => match (one.judge(results), other.judge(results)) {
                (Some((one, _)), Some((other, ratio))) => Some((one || other, ratio)),
                (one, other) => one.or(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_of_two_goals_is_enough() {
        let mut results = Results::default();
        let goal = ALL
            .iter()
            .find(|goal| goal.figure() == Figure::DelayedUp)
            .unwrap();
        assert_eq!(goal.judge(&results), None, "nothing was measured");
        results.add(Figure::DelayedUp, Transport::Slipway, 85.0);
        assert_eq!(goal.judge(&results), Some((false, None)));
        results.add(Figure::DelayedUp, Transport::Raw, 100.0);
        assert_eq!(goal.judge(&results), Some((true, Some(0.85))));
        assert_eq!(goal.words(), "at least 150, or 0.8 x raw SPDY");
    }
}
