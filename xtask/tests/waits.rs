//! Check that `docs/waits.md` has every time limit of the sources with its value.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, ExprCall, FieldValue, File, ImplItemConst, ItemConst, ItemFn, ItemMod, Macro, Member,
    Type,
};

use self::sources::{root, rust_files};

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
    let unnamed: Vec<_> = product_files()
        .iter()
        .flat_map(|(path, file)| {
            let unnamed = Durations::of(file).unnamed.into_iter();
            unnamed.map(move |expression| format!("{path}: {expression}"))
        })
        .collect();
    assert!(unnamed.is_empty(), "give these a name: {unnamed:#?}");
}

fn holds(all: &BTreeMap<Limit, String>, (limit, value): &(&Limit, &String)) -> bool {
    let packed = |value: &String| value.replace(' ', "");
    all.get(*limit).map(packed) == Some(packed(value))
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
    for (path, file) in product_files() {
        for (name, value) in Durations::of(&file).named {
            let before = limits.insert((path.clone(), name.clone()), value);
            assert!(before.is_none(), "{path} has two of {name}");
        }
    }
    limits
}

/// The durations of a file: those with a name, with their values, and those without.
#[derive(Default)]
struct Durations {
    named: Vec<(String, String)>,
    unnamed: Vec<String>,
}

impl Durations {
    fn of(file: &File) -> Self {
        let mut durations = Self::default();
        durations.visit_file(file);
        durations
    }
}

impl<'ast> Visit<'ast> for Durations {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !module.attrs.iter().any(is_cfg_test) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_const(&mut self, constant: &'ast ItemConst) {
        if is_of_durations(&constant.ty) {
            self.named
                .push((constant.ident.to_string(), shown(&constant.expr)));
        } else {
            visit::visit_item_const(self, constant);
        }
    }

    fn visit_impl_item_const(&mut self, constant: &'ast ImplItemConst) {
        if is_of_durations(&constant.ty) {
            self.named
                .push((constant.ident.to_string(), shown(&constant.expr)));
        } else {
            visit::visit_impl_item_const(self, constant);
        }
    }

    /// A bound of the tunnel's is the field of a struct.
    fn visit_field_value(&mut self, field: &'ast FieldValue) {
        match (&field.member, literal(&field.expr)) {
            (Member::Named(name), Some(value)) => self.named.push((name.to_string(), value)),
            _ => visit::visit_field_value(self, field),
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let expression = Expr::Call(call.clone());
        match literal(&expression) {
            Some(_) => self.unnamed.push(tokens(&expression)),
            None => visit::visit_expr_call(self, call),
        }
    }
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && tokens(attribute).contains("test")
}

/// Whether a constant is a duration, or an array of some.
fn is_of_durations(kind: &Type) -> bool {
    tokens(kind).contains("Duration")
}

/// `3 s` for `Duration::from_secs(3)`, and so on; the source of what is not as simple.
fn shown(value: &Expr) -> String {
    let parts = if let Expr::Array(array) = value {
        array.elems.iter().map(literal).collect::<Option<Vec<_>>>()
    } else {
        literal(value).map(|shown| vec![shown])
    };
    parts.map_or_else(|| tokens(value), |parts| parts.join(", "))
}

/// A duration that is made of a bare number.
fn literal(value: &Expr) -> Option<String> {
    let Expr::Call(call) = value else { return None };
    let Expr::Path(function) = &*call.func else {
        return None;
    };
    let mut path = function.path.segments.iter().rev();
    let unit = path.next()?.ident.to_string();
    if path.next()?.ident != "Duration" {
        return None;
    }
    let Some(Expr::Lit(number)) = call.args.first() else {
        return None;
    };
    let number = tokens(number).replace('_', "");
    let unit = match unit.strip_prefix("from_")? {
        "secs" | "secs_f32" | "secs_f64" => "s",
        "millis" => "ms",
        "micros" => "us",
        "nanos" => "ns",
        _ => return None,
    };
    Some(format!("{number} {unit}"))
}

/// The source of a part of a file, without spaces.
fn tokens(part: &impl ToTokens) -> String {
    part.to_token_stream().to_string().replace(' ', "")
}

/// Returns the sources of the programs, by path below `crates/`, without tests.
fn product_files() -> Vec<(String, File)> {
    let crates = root().join("crates");
    let mut files = Vec::new();
    for entry in fs::read_dir(&crates).unwrap() {
        files.extend(rust_files(&entry.unwrap().path().join("src")));
    }
    files.extend(rust_files(&root().join("src-tauri/src")));
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
        let below = file.strip_prefix(&crates).or_else(|_| file.strip_prefix(root()));
        sources.push((
            below.unwrap().to_str().unwrap().to_owned(),
            syn::parse_file(&text).unwrap(),
        ));
    }
    sources
}

/// Returns the names of all functions in Rust files that may contain tests.
fn names_of_tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["crates", "src-tauri", "tests"] {
        files.extend(rust_files(&root().join(folder)));
    }
    let mut tests = Tests::default();
    for file in files {
        tests.visit_file(&syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap());
    }
    tests.0
}

/// The names of functions that are tests, by an attribute or in a macro that makes some.
#[derive(Default)]
struct Tests(BTreeSet<String>);

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let is_test = |attribute: &Attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "test")
        };
        if function.attrs.iter().any(is_test) {
            self.0.insert(function.sig.ident.to_string());
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string());
        if name.is_some_and(|name| name.starts_with("on_") || ["cases", "proptest"].contains(&name.as_str()))
        {
            let text = call.tokens.to_string();
            let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            self.0.extend(words.map(str::to_owned));
        }
    }
}
