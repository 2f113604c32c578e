//! Results of the rounds.

use std::collections::BTreeMap;

use super::figure::Figure;
use super::transport::Transport;

/// Every figure of every transport, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Results(BTreeMap<(Figure, Transport), Vec<f64>>);

impl Results {
    pub(crate) fn add(&mut self, figure: Figure, transport: Transport, value: f64) {
        self.0.entry((figure, transport)).or_default().push(value);
    }

    pub(crate) fn of(&self, figure: Figure, transport: Transport) -> &[f64] {
        self.0.get(&(figure, transport)).map_or(&[], Vec::as_slice)
    }

    /// Returns the median of the ratios within the same round.
    pub(crate) fn ratio(&self, one: (Figure, Transport), other: (Figure, Transport)) -> Option<f64> {
        let pairs = self.of(one.0, one.1).iter().zip(self.of(other.0, other.1));
        median(&pairs.map(|(one, other)| one / other).collect::<Vec<_>>())
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let rows = self.0.iter().map(|((figure, transport), values)| {
            serde_json::json!({
                "figure": figure.name(),
                "unit": figure.unit(),
                "transport": transport.to_string(),
                "rounds": values,
                "median": median(values),
            })
        });
        rows.collect()
    }
}

/// Returns the median; for an even number, the mean of the two middle values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        let mut results = Results::default();
        for (one, other) in [(10.0, 20.0), (100.0, 100.0), (30.0, 10.0)] {
            results.add(Figure::BulkDown, Transport::Slipway, one);
            results.add(Figure::BulkDown, Transport::Raw, other);
        }
        let ratio = results.ratio(
            (Figure::BulkDown, Transport::Slipway),
            (Figure::BulkDown, Transport::Raw),
        );
        assert_eq!(ratio, Some(1.0), "0.5, 1 and 3; of the medians it would be 1.5");
        assert_eq!(
            results.ratio(
                (Figure::BulkUp, Transport::Slipway),
                (Figure::BulkDown, Transport::Raw)
            ),
            None
        );
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
