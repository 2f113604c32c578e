//! Time after which a session ends by itself.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::invalid_value::InvalidValue;
use crate::value::text_value;

/// Units in minutes, the largest first.
const UNITS: [(char, u32); 3] = [('d', 24 * 60), ('h', 60), ('m', 1)];

/// Time after which a session ends by itself, counted from its first connection: whole minutes, written as in `30m`,
/// `1h30m` or `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?$", "minLength" = 2)))]
#[serde(try_from = "String", into = "String")]
pub struct DisconnectAfter(#[cfg_attr(feature = "schema", schemars(with = "String"))] u32);

impl DisconnectAfter {
    /// Shortest time in minutes.
    pub const MIN_MINUTES: u32 = 1;
    /// Longest time in minutes: seven days.
    pub const MAX_MINUTES: u32 = 7 * 24 * 60;

    /// The time as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0) * 60)
    }
}

impl FromStr for DisconnectAfter {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |why| Err(InvalidValue::new("time", text, why));
        let Some(minutes) = minutes(text) else {
            return invalid("write it in minutes, hours and days, as in 30m, 1h30m or 2d");
        };
        if !(Self::MIN_MINUTES..=Self::MAX_MINUTES).contains(&minutes) {
            return invalid("it must be 1 minute to 7 days");
        }
        Ok(Self(minutes))
    }
}

/// Adds up the parts of a text; the larger units come first, each at most once. `None` if it is no such text.
fn minutes(text: &str) -> Option<u32> {
    let mut rest = text;
    let mut total: u32 = 0;
    for (unit, length) in UNITS {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        if let Some(after) = after.strip_prefix(unit) {
            let number: u32 = number.parse().ok()?;
            total = total.checked_add(number.checked_mul(length)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

impl fmt::Display for DisconnectAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, length) in UNITS {
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

text_value!(DisconnectAfter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, minutes, written) in [
            ("1m", 1, "1m"),
            ("30m", 30, "30m"),
            ("90m", 90, "1h30m"),
            ("1h30m", 90, "1h30m"),
            ("7d", 10_080, "7d"),
            ("1d1m", 1441, "1d1m"),
        ] {
            let time: DisconnectAfter = text.parse().unwrap();
            assert_eq!(time.duration(), Duration::from_secs(minutes * 60), "{text}");
            assert_eq!(time.to_string(), written);
        }
    }

    #[test]
    fn other_times_are_refused() {
        for bad in [
            "",
            "30",
            "m",
            "0m",
            "7d1m",
            "8d",
            "30s",
            "30m1h",
            "1h1h",
            "-5m",
            "1.5h",
            "1 h",
            "99999999999m",
            "9999999d",
        ] {
            assert!(bad.parse::<DisconnectAfter>().is_err(), "{bad:?} was taken");
        }
    }
}
