//! Text and JSON of profiles.

use serde::Serialize;
use serde_json::{Value, json};
use slipway_problem::Fault;
use slipway_profile::{Listed, Profile};

use crate::table::table;

/// Formats profiles as a table, with the errors of broken files below it.
pub(super) fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "No profile is saved. Save one with `slipway profiles create NAME`.\n".to_owned();
    }
    let mut broken = String::new();
    let mut rows = Vec::new();
    for entry in listed {
        match &entry.profile {
            Ok(profile) => {
                let or_default = |text: Option<String>| text.unwrap_or_else(|| "(kubeconfig's)".to_owned());
                rows.push([
                    entry.stem.clone(),
                    or_default(cluster(profile)),
                    or_default(profile.cluster.namespace.as_ref().map(ToString::to_string)),
                    profile.method.to_string(),
                    if profile.protected { "protected" } else { "" }.to_owned(),
                ]);
            }
            Err(error) => {
                let problem = error.problem();
                broken.push_str(&format!(
                    "\n{}: {}\n  {}\n",
                    entry.stem, problem.cause, problem.remedy
                ));
            }
        }
    }
    table(["PROFILE", "CONTEXT", "NAMESPACE", "METHOD", ""], &rows) + &broken
}

/// Returns the context of a profile, or the server that stands in its place.
fn cluster(profile: &Profile) -> Option<String> {
    let cluster = &profile.cluster;
    let context = cluster.context.as_ref().map(ToString::to_string);
    context.or_else(|| Some(cluster.server.as_ref()?.authority().to_owned()))
}

/// Returns profiles as JSON: an object for each; a broken file has `name` and `problem`.
pub(super) fn list_json(listed: &[Listed]) -> Result<Vec<Value>, serde_json::Error> {
    let value = |entry: &Listed| match &entry.profile {
        Ok(profile) => serde_json::to_value(profile),
        Err(error) => Ok(json!({
            "name": entry.stem,
            "problem": error.problem(),
        })),
    };
    listed.iter().map(value).collect()
}

/// Returns the JSON string of a unit variant; empty for any other value.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<Listed> {
        let read = |stem: &str, text: &str| Listed {
            stem: stem.into(),
            profile: Profile::from_toml(stem.parse().unwrap(), text),
        };
        vec![
            read("plain", "version = 1\n"),
            read(
                "shop",
                "version = 1\nprotected = true\ncolor = \"blue\"\nalso-proxy = [\"10.3.0.0/16\"]\n\
                 [cluster]\ncontext = \"staging\"\nnamespace = \"shop\"\n",
            ),
            read(
                "alone",
                "version = 1\ndisconnect-after = \"90m\"\n[cluster]\nserver = \"https://10.0.0.1:6443\"\n\
                 certificate-authority = \"~/ca.crt\"\ntoken = \"keyring\"\n",
            ),
            read("broken", "version = 1\nnope = 1\n"),
            read("worse", "version = 1\nnope = 1\ncolor = 2\n"),
        ]
    }

    #[test]
    fn a_broken_file_is_listed_with_its_error() {
        insta::assert_snapshot!(list(&listed()));
        assert!(list(&[]).contains("profiles create"));
    }

    #[test]
    fn profiles_keep_their_form_as_json() {
        insta::assert_json_snapshot!(list_json(&listed()).unwrap());
    }
}
