//! Check that `docs/waits.md` has every time limit of the sources with its value.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A limit: the file below `crates/`, and the name in it.
type Limit = (String, String);

/// One row of the table.
#[derive(Debug)]
struct Row {
    value: String,
    kind: String,
    shown_by: String,
}

#[test]
fn every_limit_of_the_sources_is_in_the_table() {
    let (table, sources) = (table(), limits());
    assert!(sources.len() > 80, "the sources were not found: {sources:?}");
    let values: BTreeMap<_, _> = table
        .iter()
        .map(|(limit, row)| (limit.clone(), row.value.clone()))
        .collect();
    let missing: Vec<_> = sources.iter().filter(|entry| !holds(&values, entry)).collect();
    let stale: Vec<_> = values.iter().filter(|entry| !holds(&sources, entry)).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/waits.md\nlacks {missing:#?}\nand has {stale:#?}"
    );
}

#[test]
fn every_wait_in_the_table_has_a_test_or_a_reason() {
    let tests = names_of_tests();
    let mut wrong = Vec::new();
    for (limit, row) in table() {
        let right = match row.kind.as_str() {
            "wait" if row.shown_by.starts_with("none: ") => true,
            "wait" => {
                let mut named = row.shown_by.split(", ").peekable();
                named.peek().is_some() && named.all(|name| tests.contains(name.trim_matches('`')))
            }
            "pause" | "age" => row.shown_by.is_empty(),
            _ => false,
        };
        if !right {
            wrong.push((limit, row));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_wait_is_without_a_name() {
    let unnamed: Vec<_> = sources()
        .iter()
        .flat_map(|(path, text)| {
            let lines = text.lines().enumerate();
            let unnamed = lines.filter(|(_, line)| is_a_duration(line) && declared(line).is_none());
            unnamed.map(move |(number, line)| format!("{path}:{}: {}", number + 1, line.trim()))
        })
        .collect();
    assert!(unnamed.is_empty(), "give these a name: {unnamed:#?}");
}

fn holds(all: &BTreeMap<Limit, String>, (limit, value): &(&Limit, &String)) -> bool {
    all.get(*limit) == Some(*value)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn table() -> BTreeMap<Limit, Row> {
    let text = fs::read_to_string(root().join("docs/waits.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [limit, value, kind, _, shown_by] = cells[..] else {
            panic!("not five cells: {line}")
        };
        let (path, name) = limit.split_once(' ').unwrap();
        let limit = (
            path.trim_matches('`').to_owned(),
            name.trim_matches('`').to_owned(),
        );
        let row = Row {
            value: value.trim_matches('`').to_owned(),
            kind: kind.to_owned(),
            shown_by: shown_by.to_owned(),
        };
        assert!(rows.insert(limit, row).is_none(), "twice: {line}");
    }
    rows
}

fn limits() -> BTreeMap<Limit, String> {
    let mut limits = BTreeMap::new();
    for (path, text) in sources() {
        for line in text.lines() {
            if let Some((name, value)) = declared(line) {
                let before = limits.insert((path.clone(), name.to_owned()), shown(value));
                assert!(before.is_none(), "{path} has two of {name}");
            }
        }
    }
    limits
}

/// Returns name and value of a limit that a line declares: a constant, or a field of the tunnel's limits.
fn declared(line: &str) -> Option<(&str, &str)> {
    if let Some((_, constant)) = line.split_once("const ") {
        let (name, rest) = constant.split_once(':')?;
        let (kind, value) = rest.split_once('=')?;
        return kind
            .contains("Duration")
            .then(|| (name, value.trim().trim_end_matches(';')));
    }
    let (name, value) = line.trim().split_once(": ")?;
    let is_field = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let value = value.strip_suffix(',')?;
    (is_field && value.starts_with("Duration::from_")).then_some((name, value))
}

/// Formats a value: `3 s` for `Duration::from_secs(3)`, and so on; other expressions are not changed.
fn shown(value: &str) -> String {
    let plain = |value: &str| {
        let (unit, rest) = value.trim().strip_prefix("Duration::from_")?.split_once('(')?;
        let number = rest.strip_suffix(')')?.replace('_', "");
        let unit = match unit {
            "secs" => "s",
            "millis" => "ms",
            "micros" => "us",
            _ => return None,
        };
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| format!("{number} {unit}"))
    };
    let parts = value.trim_matches(['[', ']']).split(", ");
    let shown: Option<Vec<_>> = parts.map(plain).collect();
    shown.map_or_else(|| value.to_owned(), |shown| shown.join(", "))
}

/// Whether a line makes a duration from a number without a name.
fn is_a_duration(line: &str) -> bool {
    !line.trim_start().starts_with("//")
        && line.split("Duration::from_").skip(1).any(|rest| {
            let argument = rest.split_once('(').map_or("", |(_, argument)| argument);
            argument.starts_with(|c: char| c.is_ascii_digit())
        })
}

/// Returns the sources of the programs, by path below `crates/`, without tests.
fn sources() -> Vec<(String, String)> {
    let crates = root().join("crates");
    let mut files = Vec::new();
    for entry in fs::read_dir(&crates).unwrap() {
        rust_files(&entry.unwrap().path().join("src"), &mut files);
    }
    rust_files(&root().join("src-tauri/src"), &mut files);
    let mut sources = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let is_of_tests = file.components().any(|part| part.as_os_str() == "tests")
            || ["tests.rs", "scripted.rs", "script.rs", "silent.rs"]
                .iter()
                .any(|ending| file.to_str().unwrap().ends_with(ending));
        if is_of_tests {
            continue;
        }
        // Test modules are at the end of their file.
        let end = text
            .match_indices("#[cfg(test)]\n")
            .find(|(at, _)| {
                text[*at..]
                    .lines()
                    .skip(1)
                    .take(2)
                    .any(|line| line.contains("mod tests {"))
            })
            .map_or(text.len(), |(at, _)| at);
        let below = file.strip_prefix(&crates).or_else(|_| file.strip_prefix(root()));
        sources.push((
            below.unwrap().to_str().unwrap().to_owned(),
            text[..end].to_owned(),
        ));
    }
    sources
}

/// Returns the names of all functions in Rust files that may contain tests.
fn names_of_tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["crates", "src-tauri", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("fn ")
                && let Some((name, _)) = rest.split_once('(')
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
