//! Table of results, in Markdown.

use std::fmt::Write as _;
use std::fs;

use super::figure::Figure;
use super::goals::Goal;
use super::results::{Results, median};
use super::transport::Transport;

/// Returns the processors and the kernel of this machine.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    format!("{cores} cores ({model}), Linux {}", kernel.trim())
}

/// Returns a row for each measured figure: its median on each transport, with minimum and maximum.
pub(crate) fn of(results: &Results, goals: &[Goal]) -> String {
    let transports: Vec<Transport> = Transport::ALL
        .into_iter()
        .filter(|transport| {
            Figure::ALL
                .iter()
                .any(|figure| !results.of(*figure, *transport).is_empty())
        })
        .collect();
    let mut text = String::from("| measure |");
    for transport in &transports {
        let _ = write!(text, " {transport} |");
    }
    text.push_str(" to reach | reached |\n|---|");
    text.push_str(&"---|".repeat(transports.len() + 2));
    text.push('\n');
    for figure in Figure::ALL {
        if transports
            .iter()
            .all(|transport| results.of(figure, *transport).is_empty())
        {
            continue;
        }
        let _ = write!(text, "| {figure} |");
        for transport in &transports {
            let _ = write!(text, " {} |", cell(figure, results.of(figure, *transport)));
        }
        let own: Vec<&Goal> = goals.iter().filter(|goal| goal.figure() == figure).collect();
        let words: Vec<String> = own.iter().map(|goal| goal.words()).collect();
        let judged: Vec<String> = own.iter().map(|goal| verdict(goal, results)).collect();
        let _ = writeln!(text, " {} | {} |", words.join("; "), judged.join("; "));
    }
    text
}

fn verdict(goal: &Goal, results: &Results) -> String {
    match goal.judge(results) {
        None => "-".to_owned(),
        Some((reached, ratio)) => {
            let word = if reached { "yes" } else { "**no**" };
            ratio.map_or_else(|| word.to_owned(), |ratio| format!("{word} ({ratio:.2})"))
        }
    }
}

fn cell(figure: Figure, values: &[f64]) -> String {
    let Some(middle) = median(values) else {
        return String::new();
    };
    if figure == Figure::HalfClose {
        let whole = values.iter().all(|whole| *whole > 0.5);
        return if whole { "whole" } else { "lost" }.to_owned();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() == 1 {
        number(middle)
    } else {
        format!("{} ({}..{})", number(middle), number(least), number(most))
    }
}

/// Formats a number with three significant digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_and_whether_the_goal_is_reached() {
        let mut results = Results::default();
        for (raw, ours) in [(400.0, 320.0), (380.0, 310.0), (390.0, 280.0)] {
            results.add(Figure::BulkDown, Transport::Raw, raw);
            results.add(Figure::BulkDown, Transport::Slipway, ours);
        }
        let goals = [Goal::Times(
            Figure::BulkDown,
            0.75,
            (Figure::BulkDown, Transport::Raw),
        )];
        assert_eq!(
            of(&results, &goals),
            "| measure | raw SPDY | Slipway | to reach | reached |\n\
             |---|---|---|---|---|\n\
             | bulk, one flow, down, MB/s | 390 (380..400) | 310 (280..320) | 0.75 x raw SPDY | yes (0.80) |\n"
        );
    }
}
