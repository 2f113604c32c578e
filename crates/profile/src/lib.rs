//! Profiles: saved settings of sessions, such as cluster, namespace, method and extra hosts.
//!
//! A profile is a TOML file, `$XDG_CONFIG_HOME/slipway/profiles/NAME.toml`, that users read, edit and share.
//! [`Profile::from_toml`] parses it into a [`Profile`] whose types allow only valid values; an invalid value is refused
//! with its line and column. [`Store`] keeps the files: a reader never sees a partly written file, and a broken file
//! hides no other.
//!
//! This crate knows no cluster, session or window. It does not check whether a context exists.
//!
//! ```toml
//! version = 1
//! method = "vpn-tcp"
//! color = "blue"
//! protected = true
//! also-proxy = ["db.corp.internal", "10.3.0.0/16"]
//!
//! [cluster]
//! kubeconfig = "~/.kube/staging"
//! context = "staging"
//! namespace = "shop"
//! also-namespaces = ["shop-test"]
//!
//! [agent]
//! image = "registry.example.com/slipway-agent:0.1.0"
//! grace-seconds = 120
//! tolerations = ["dedicated=ci:NoSchedule"]
//! labels = { team = "shop" }
//!
//! [dns]
//! suffixes = ["corp.internal"]
//! cluster-domain = "k8s.corp.internal"
//! ```

mod agent_settings;
mod also_proxy;
mod error;
mod extras;
mod extras_in_text;
mod file;
mod id;
mod invalid_value;
mod metadata;
mod name;
mod schema;
mod store;
mod toleration;
mod value;

pub use agent_settings::AgentSettings;
pub use also_proxy::AlsoProxy;
pub use error::{Error, FilePosition};
pub use extras::{Change, Extras};
pub use file::FORMAT_VERSION;
pub use id::ProfileId;
pub use invalid_value::InvalidValue;
pub use metadata::{AnnotationValue, LabelValue, MetadataKey, ObjectName};
pub use name::ProfileName;
pub use schema::{Cluster, Color, Dns, Method, MethodNotYet, Profile};
pub use store::{Listed, MAX_FILE_BYTES, Store};
pub use toleration::Toleration;
pub use value::{ContextName, DomainName, Grace, Image, KubeconfigPath, Namespace};
