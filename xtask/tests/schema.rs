//! Check that `docs/schema/` describes the present types of the `--json` output, and the file of a profile.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};
use slipway_control_api::{
    Changed, CheckEvent, Explained, Finding, HelperStatus, NameEvent, Progress, SessionHistory,
    SessionStatus, list,
};
use slipway_profile::{Mistake, Profile, file_schema};

/// Set by `cargo xtask schema` to write the files instead of comparing them.
const RENEW: &str = "SLIPWAY_RENEW_SCHEMA";

/// Returns every file of `docs/schema/` with its schema.
fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("change.json", schema::<Changed>()),
        ("connect.json", schema::<Progress>()),
        ("doctor.json", schema::<Vec<Finding>>()),
        ("doctor-lines.json", schema::<CheckEvent>()),
        ("explain.json", schema::<Explained>()),
        ("helper-status.json", schema::<HelperStatus>()),
        ("list-contexts.json", schema::<Vec<list::ContextInfo>>()),
        ("list-namespaces.json", schema::<Vec<list::Namespace>>()),
        ("list-ports.json", schema::<Vec<list::ListedPort>>()),
        ("list-services.json", schema::<Vec<list::Service>>()),
        ("list-workloads.json", schema::<list::Workloads>()),
        ("names.json", schema::<NameEvent>()),
        ("profile.json", profile_file()),
        ("profiles-show.json", schema::<Profile>()),
        ("profiles-validate.json", schema::<Vec<Mistake>>()),
        ("status-history.json", schema::<Vec<SessionHistory>>()),
        ("status.json", schema::<Vec<SessionStatus>>()),
    ]
}

/// Returns the schema of serialized data, in which fields with a default are always present.
fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>()
}

/// Returns the schema of a profile's file, for editors.
fn profile_file() -> Schema {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(without_null));
    file_schema(settings.into_generator())
}

/// Removes the alternative `null` of optional fields, which TOML does not have.
fn without_null(schema: &mut Schema) {
    let is_null = |one: &Value| one.get("type").and_then(Value::as_str) == Some("null");
    let left = schema.get_mut("anyOf").and_then(Value::as_array_mut).map(|any| {
        any.retain(|one| !is_null(one));
        any.clone()
    });
    if let Some([only]) = left.as_deref() {
        schema.remove("anyOf");
        schema.insert("allOf".to_owned(), json!([only]));
    }
}

#[test]
fn the_committed_schemas_are_current() {
    let folder = folder();
    if std::env::var_os(RENEW).is_some() {
        fs::create_dir_all(&folder).unwrap();
        for old in fs::read_dir(&folder).unwrap() {
            fs::remove_file(old.unwrap().path()).unwrap();
        }
        for (name, schema) in schemas() {
            fs::write(folder.join(name), text(&schema)).unwrap();
        }
    }
    let stale: Vec<&str> = schemas()
        .iter()
        .filter(|(name, schema)| fs::read_to_string(folder.join(name)).ok() != Some(text(schema)))
        .map(|(name, _)| *name)
        .collect();
    assert!(
        stale.is_empty(),
        "docs/schema differs from the types: {stale:?}. Run `cargo xtask schema`, and describe the change in CHANGELOG.md"
    );
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        schemas().len(),
        "docs/schema has an extra file"
    );
}

fn text(schema: &Schema) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}
