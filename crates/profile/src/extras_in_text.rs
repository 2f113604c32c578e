//! Change of the extras in a profile's text, which keeps comments, order and form of everything else.

use std::fmt::Display;
use std::str::FromStr;

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::error::Error;
use crate::extras::{Change, Extras};
use crate::mistake::{Mistake, MistakeCode};
use crate::name::ProfileName;
use crate::position::FilePosition;
use crate::schema::Profile;

/// Returns the changed text, and the part of the change that was not so already.
///
/// # Errors
/// Those of [`Profile::from_toml`], for the text before or after the change.
pub(crate) fn changed(name: &ProfileName, text: &str, change: &Change) -> Result<(String, Change), Error> {
    let profile = Profile::from_toml(name.clone(), text)?;
    let done = Extras::of(&profile).change(change);
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| invalid(name, text, &error))?;
    let Change { add, remove } = &done;
    change_array(
        document.as_table_mut(),
        "also-proxy",
        &add.also_proxy,
        &remove.also_proxy,
    );
    if let Some(dns) = table(&mut document, "dns", add.suffixes.len() + remove.suffixes.len()) {
        change_array(dns, "suffixes", &add.suffixes, &remove.suffixes);
    }
    let namespaces = add.also_namespaces.len() + remove.also_namespaces.len();
    if let Some(cluster) = table(&mut document, "cluster", namespaces) {
        change_array(
            cluster,
            "also-namespaces",
            &add.also_namespaces,
            &remove.also_namespaces,
        );
    }
    let text = document.to_string();
    Profile::from_toml(name.clone(), &text)?;
    Ok((text, done))
}

fn invalid(name: &ProfileName, text: &str, error: &toml_edit::TomlError) -> Error {
    Error::Invalid {
        source_name: format!("{name}.toml"),
        mistakes: vec![Mistake {
            field: None,
            place: Some(FilePosition::of(text, error.span().map_or(0, |span| span.start))),
            code: MistakeCode::Syntax,
            message: error.message().to_owned(),
        }],
    }
}

/// Returns a table of the document, made if it is missing; `None` if there is nothing to change in it.
fn table<'a>(
    document: &'a mut DocumentMut,
    key: &str,
    changes: usize,
) -> Option<&'a mut dyn toml_edit::TableLike> {
    if changes == 0 {
        return None;
    }
    document
        .entry(key)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut()
}

fn change_array<T>(table: &mut dyn toml_edit::TableLike, key: &str, add: &[T], remove: &[T])
where
    T: Display + FromStr + PartialEq,
{
    if add.is_empty() && remove.is_empty() {
        return;
    }
    let item = table
        .entry(key)
        .or_insert_with(|| Item::Value(Array::new().into()));
    let Some(array) = item.as_array_mut() else {
        // The text was read as a profile, in which this is a list.
        return;
    };
    // Compares values, because each may be written in several ways.
    let is_removed = |value: &Value| {
        let value = value.as_str().unwrap_or_default().parse::<T>();
        value.is_ok_and(|value| remove.contains(&value))
    };
    array.retain(|value| !is_removed(value));
    for one in add {
        array.push(one.to_string());
    }
    if array.is_empty() {
        table.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1 # the format\n\
        also-proxy = [\n  \"DB.corp.internal.\", # orders\n  \"10.3.0.0/16\",\n]\n\n\
        # Staging\n[cluster]\nnamespace = \"shop\"\n";

    fn name() -> ProfileName {
        "shop".parse().unwrap()
    }

    fn change(add: &[&str], remove: &[&str]) -> Change {
        let extras = |hosts: &[&str]| Extras {
            also_proxy: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ..Extras::default()
        };
        Change {
            add: extras(add),
            remove: extras(remove),
        }
    }

    #[test]
    fn comments_and_order_stay() {
        let mut change = change(&["cache.corp.internal", "10.3.0.0/16"], &["db.corp.internal"]);
        change.add.also_namespaces = vec!["test".parse().unwrap()];
        change.add.suffixes = vec!["corp.example".parse().unwrap()];
        let (text, done) = changed(&name(), TEXT, &change).unwrap();
        assert_eq!(done.add.also_proxy.len(), 1, "the range was there");
        for kept in [
            "version = 1 # the format",
            "# Staging\n[cluster]\nnamespace = \"shop\"",
            "  \"10.3.0.0/16\"",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert!(!text.contains("DB.corp"), "{text}");
        let profile = Profile::from_toml(name(), &text).unwrap();
        assert_eq!(profile.cluster.also_namespaces[0].as_str(), "test");
        assert_eq!(profile.dns.suffixes[0].as_str(), "corp.example");
        let (again, nothing) = changed(&name(), &text, &change).unwrap();
        assert!(nothing.is_empty());
        assert_eq!(again, text, "the second time");
    }

    #[test]
    fn a_value_is_removed_however_it_is_written() {
        let text = "version = 1\nalso-proxy = [\"FD00::0007\", \"2001:DB8:0::/48\", \"DB.example.\"]\n";
        let gone = change(&[], &["fd00::7", "2001:db8::/48", "db.example"]);
        let (after, done) = changed(&name(), text, &gone).unwrap();
        assert_eq!(done, gone);
        assert_eq!(Profile::from_toml(name(), &after).unwrap().also_proxy, []);
    }

    #[test]
    fn the_inverse_leads_back_to_the_same_profile() {
        for text in [
            TEXT,
            "version = 1\n",
            "version = 1\ncluster = { namespace = \"a\" }\n",
            "version = 1\ndns.suffixes = [\"a.b\"]\n",
        ] {
            let mut there = change(&["x.example"], &[]);
            there.add.suffixes = vec!["corp.example".parse().unwrap()];
            there.add.also_namespaces = vec!["test".parse().unwrap()];
            let (after, done) = changed(&name(), text, &there).unwrap();
            assert_eq!(done, there, "{text}");
            let (back, _) = changed(&name(), &after, &done.inverse()).unwrap();
            assert_eq!(
                Profile::from_toml(name(), &back).unwrap(),
                Profile::from_toml(name(), text).unwrap(),
                "{text}"
            );
        }
    }
}
