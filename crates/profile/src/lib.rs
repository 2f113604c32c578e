//! Profiles: saved settings of sessions, such as cluster, namespace, method and extra hosts.
//!
//! A profile is a TOML file, `$XDG_CONFIG_HOME/slipway/profiles/NAME.toml`, that users read, edit and share.
//! [`Profile::from_toml`] parses it into a [`Profile`] whose types allow only valid values; otherwise it returns every
//! [`Mistake`] with its field, line and column. [`Store`] keeps the files: a reader never sees a partly written file, and a broken file
//! hides no other.
//!
//! This crate knows no cluster, session or window. It does not check whether a context exists.
//!
//! ```toml
//! version = 1
//! method = "vpn-tcp"
//! color = "blue"
//! protected = true
//! disconnect-after = "8h"
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
//!
//! A cluster that is in no kubeconfig has a server in place of kubeconfig and context. A profile never has a secret, but
//! says where it is:
//!
//! ```toml
//! version = 1
//!
//! [cluster]
//! server = "https://10.0.0.1:6443"
//! certificate-authority = "~/.config/shop/ca.crt"
//! token = "keyring"
//! ```

mod agent_settings;
mod also_proxy;
mod cluster;
mod disconnect_after;
mod error;
mod extras;
mod extras_in_text;
mod field;
mod file;
mod file_path;
mod id;
mod invalid_value;
mod metadata;
mod mistake;
mod name;
mod position;
mod reading;
mod schema;
mod secret_reference;
mod server;
mod store;
mod toleration;
mod value;

pub use agent_settings::AgentSettings;
pub use also_proxy::AlsoProxy;
pub use cluster::Cluster;
pub use disconnect_after::DisconnectAfter;
pub use error::Error;
pub use extras::{Change, Extras};
pub use file::FORMAT_VERSION;
#[cfg(feature = "schema")]
pub use file::file_schema;
pub use file_path::FilePath;
pub use id::ProfileId;
pub use invalid_value::InvalidValue;
pub use metadata::{AnnotationValue, LabelValue, MetadataKey, ObjectName};
pub use mistake::{Mistake, MistakeCode};
pub use name::ProfileName;
pub use position::FilePosition;
pub use schema::{Color, Dns, Method, MethodNotYet, Profile};
pub use secret_reference::{ProgramLine, SecretReference, VariableName};
pub use server::{Certificates, ServerUrl, TlsServerName};
pub use store::{Listed, MAX_FILE_BYTES, Store, read_bounded, read_text};
pub use toleration::Toleration;
pub use value::{ContextName, DomainName, Grace, Image, Namespace};
