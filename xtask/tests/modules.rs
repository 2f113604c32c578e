//! Check that modules of a crate use each other in one direction only, so that each can be read, moved and tested after
//! those that it uses.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::sources::{root, rust_files};

/// Modules below a crate's root, each with the modules that it names.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_module_uses_one_that_uses_it() {
    let root = root();
    let mut crates = vec![root.join("src-tauri"), root.join("xtask")];
    for folder in ["crates", "tests"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        crates.extend(entries.map(|entry| entry.unwrap().path()));
    }
    let mut circles = Vec::new();
    for source in crates.iter().map(|folder| folder.join("src")) {
        if source.is_dir() {
            let uses = uses(&source);
            let in_circle = uses.keys().filter(|module| reaches(&uses, module, module));
            circles.extend(in_circle.map(|module| format!("{}: {module}", source.display())));
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_found() {
    let uses = |pairs: &[(&str, &str)]| {
        let mut uses = Uses::new();
        for (from, to) in pairs {
            uses.entry((*from).into()).or_default().insert((*to).into());
        }
        uses
    };
    let circle = uses(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]);
    assert!(reaches(&circle, "a", "a") && !reaches(&circle, "d", "d"));
    let names = ["a", "b", "c"].map(String::from).into();
    let exported = [("Thing".to_owned(), "c".to_owned())].into();
    let text = "use crate::b::B; // crate::x\nuse crate::{Other, Thing};\n#[cfg(test)]\nmod tests { use crate::a::A; }";
    assert_eq!(
        named(text, &names, &exported),
        ["b", "c"].map(String::from).into()
    );
}

fn reaches(uses: &Uses, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if used == to {
                return true;
            }
            if seen.insert(used) {
                next.push(used);
            }
        }
    }
    false
}

fn uses(source: &Path) -> Uses {
    let files: Vec<(String, PathBuf)> = rust_files(source)
        .into_iter()
        .filter_map(|file| Some((module_of(source, &file)?, file)))
        .collect();
    let names = files.iter().map(|(module, _)| module.clone()).collect();
    let exported =
        fs::read_to_string(source.join("lib.rs")).map_or_else(|_| BTreeMap::new(), |lib| exported(&lib));
    let mut uses = Uses::new();
    for (module, file) in files {
        let mut used = named(&fs::read_to_string(file).unwrap(), &names, &exported);
        used.remove(&module);
        uses.entry(module).or_default().extend(used);
    }
    uses
}

/// Returns the module of a file; `None` for the root itself and for tests.
fn module_of(source: &Path, file: &Path) -> Option<String> {
    let inner = file.strip_prefix(source).unwrap();
    let is_test = |part: &str| part == "tests" || part == "tests.rs";
    let parts: Vec<&str> = inner.iter().filter_map(|part| part.to_str()).collect();
    let module = parts.first()?.trim_end_matches(".rs");
    (!parts.iter().any(|part| is_test(part)) && !["lib", "main"].contains(&module)).then(|| module.to_owned())
}

/// Returns the names that a root re-exports, with their modules.
fn exported(lib: &str) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for statement in lib
        .split(';')
        .filter_map(|text| text.split_once("use "))
        .map(|(_, used)| used)
    {
        let Some((module, items)) = statement.split_once("::") else {
            continue;
        };
        for item in items.split(['{', '}', ',']).map(str::trim) {
            exported.insert(item.to_owned(), module.trim().to_owned());
        }
    }
    exported
}

/// Returns the modules that a file names outside its tests and comments.
fn named(text: &str, names: &BTreeSet<String>, exported: &BTreeMap<String, String>) -> BTreeSet<String> {
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: String = product
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let mut used = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let items = match path.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![path],
        };
        for item in items {
            let first: String = item
                .trim_start()
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
            let module = exported.get(&first).unwrap_or(&first);
            if names.contains(module) {
                used.insert(module.clone());
            }
        }
    }
    used
}
