//! Text of a profile: TOML.

use serde::{Deserialize, Serialize};

use crate::agent_settings::AgentSettings;
use crate::also_proxy::AlsoProxy;
use crate::cluster::{Cluster, Conflict};
use crate::disconnect_after::DisconnectAfter;
use crate::error::Error;
use crate::id::ProfileId;
use crate::mistake::{Mistake, MistakeCode};
use crate::name::ProfileName;
use crate::reading::Reading;
use crate::schema::{Color, Dns, Method, Profile};

/// Version of the file format: the only one that is written and read.
pub const FORMAT_VERSION: u32 = 1;

impl Profile {
    /// Parses a profile's text. `name` becomes the profile's name, which the text does not have.
    ///
    /// # Errors
    /// [`Error::Version`] for another version of the format, [`Error::Invalid`] with every mistake: broken TOML, unknown
    /// keys, invalid values.
    pub fn from_toml(name: ProfileName, text: &str) -> Result<Self, Error> {
        let source_name = format!("{name}.toml");
        let mut reading = Reading::of(text);
        // First, because a newer format may have keys that would be reported as unknown.
        match reading.glimpse() {
            Some(Versioned { version: Some(found) }) if found != i64::from(FORMAT_VERSION) => {
                return Err(Error::Version {
                    source_name,
                    found,
                    place: reading.place(&["version"]),
                    supported: FORMAT_VERSION,
                });
            }
            Some(Versioned { version: None }) => reading.add(
                &["version"],
                MistakeCode::MissingField,
                format!(
                    "the profile does not say its version; write `version = {FORMAT_VERSION}` at its top"
                ),
            ),
            Some(Versioned { version: Some(_) }) | None => {}
        }
        let file: Option<File> = reading.value();
        for conflict in Cluster::conflicts(|field| reading.place(&["cluster", field]).is_some()) {
            let Conflict { field, with, needs } = conflict;
            let message = match needs {
                true => format!("it is of use only with cluster.{with}, which the profile does not have"),
                false => format!("cluster.{field} and cluster.{with} exclude each other; remove one of them"),
            };
            reading.add(&["cluster", field], MistakeCode::Conflict, message);
        }
        match (file, reading.mistakes()) {
            (Some(file), mistakes) if mistakes.is_empty() => Ok(file.into_profile(name)),
            (_, mistakes) => Err(Error::Invalid {
                source_name,
                mistakes,
            }),
        }
    }

    /// Returns the profile's text, from which [`Profile::from_toml`] makes an equal profile.
    ///
    /// # Errors
    /// No known case: every value can be written in TOML, but the serializer's signature has an error.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(&File::from_profile(self)).map_err(|error| Error::Invalid {
            source_name: format!("{}.toml", self.name),
            mistakes: vec![Mistake {
                field: None,
                place: None,
                code: MistakeCode::Syntax,
                message: error.to_string(),
            }],
        })
    }
}

/// Form of the file: a profile without its name, with the version of the format.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(title = "Profile of Slipway", extend("required" = ["version"])))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    /// Version of the format.
    #[cfg_attr(feature = "schema", schemars(extend("const" = FORMAT_VERSION)))]
    #[serde(default = "current")]
    version: u32,
    /// Identity, which `slipway profiles create` and `import` make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<ProfileId>,
    /// How programs on the laptop are captured.
    #[serde(default)]
    method: Method,
    /// Color that marks the profile in lists and menus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    color: Option<Color>,
    /// Whether mistakes are expensive there: some actions ask first.
    #[serde(default, skip_serializing_if = "is_false")]
    protected: bool,
    /// How long after its first connection a session ends by itself; if absent, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disconnect_after: Option<DisconnectAfter>,
    /// Extra destinations that are reached through the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_proxy: Vec<AlsoProxy>,
    /// Which cluster and namespace.
    #[serde(default, skip_serializing_if = "is_default")]
    cluster: Cluster,
    /// How the agent is placed.
    #[serde(default, skip_serializing_if = "is_default")]
    agent: AgentSettings,
    /// Names that the cluster answers in addition to its own.
    #[serde(default, skip_serializing_if = "is_default")]
    dns: Dns,
}

impl File {
    fn from_profile(profile: &Profile) -> Self {
        let Profile {
            name: _,
            id,
            color,
            protected,
            disconnect_after,
            method,
            also_proxy,
            cluster,
            agent,
            dns,
        } = profile.clone();
        Self {
            version: FORMAT_VERSION,
            id,
            method,
            color,
            protected,
            disconnect_after,
            also_proxy,
            cluster,
            agent,
            dns,
        }
    }

    fn into_profile(self, name: ProfileName) -> Profile {
        let Self {
            version: _,
            id,
            method,
            color,
            protected,
            disconnect_after,
            also_proxy,
            cluster,
            agent,
            dns,
        } = self;
        Profile {
            name,
            id,
            color,
            protected,
            disconnect_after,
            method,
            also_proxy,
            cluster,
            agent,
            dns,
        }
    }
}

/// Describes the form of the file as JSON Schema.
#[cfg(feature = "schema")]
pub fn file_schema(generator: schemars::SchemaGenerator) -> schemars::Schema {
    generator.into_root_schema_for::<File>()
}

/// Only the version.
#[derive(Deserialize)]
struct Versioned {
    version: Option<i64>,
}

/// Only the identity.
#[derive(Deserialize)]
struct Identified {
    id: Option<ProfileId>,
}

/// Returns the identity in a profile's text, `Some(None)` if it has none. `None` if the text is not TOML or its identity is
/// not valid; mistakes in other fields do not matter.
pub(crate) fn id_in(text: &str) -> Option<Option<ProfileId>> {
    let Identified { id } = toml::from_str(text).ok()?;
    Some(id)
}

/// Returns the version that a text without one is read as. Its absence is a mistake of its own.
fn current() -> u32 {
    FORMAT_VERSION
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
