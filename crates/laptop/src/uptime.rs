//! Time since the laptop started.

use std::time::Duration;

/// File with that time (proc_uptime(5)).
const UPTIME: &str = "/proc/uptime";

/// Returns the time since the laptop started, including the time for which it slept. `None` if the kernel does not say it.
pub fn uptime() -> Option<Duration> {
    parse(&std::fs::read_to_string(UPTIME).ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let seconds: f64 = text.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_counts() {
        assert_eq!(
            parse("350735.47 234388.90\n"),
            Some(Duration::from_millis(350_735_470))
        );
        for bad in ["", "x 1", "-1 2"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        assert!(uptime().is_some());
    }
}
