//! `slipway profiles`: management of saved profiles.

mod edit;
mod secret;
mod server_arguments;
mod text;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use slipway_api_server::kubeconfig::contexts;
use slipway_profile::{
    AlsoProxy, Color, DisconnectAfter, DomainName, Method, Namespace, Profile, ProfileName, SecretReference,
    Store,
};

use crate::agent_arguments::AgentArguments;
use crate::arguments::{ClusterArguments, chosen};
use crate::failure::{Failure, Uncoded};
use crate::output;

pub(super) use self::secret::orphaned;
use self::server_arguments::ServerArguments;

/// Arguments of `slipway profiles`.
#[derive(Debug, clap::Args)]
pub(crate) struct Profiles {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the saved profiles
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one profile
    Show {
        /// The profile
        name: ProfileName,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Save a new profile
    Create(Box<Create>),
    /// Edit a profile in $VISUAL or $EDITOR
    Edit {
        /// The profile
        name: ProfileName,
    },
    /// Tell every mistake in a profile's text; the exit code is 255 if there is one
    Validate(validate::Validate),
    /// Store or remove a profile's secrets in the keyring
    Secret(secret::Secret),
    /// Rename a profile
    Rename {
        /// The profile
        name: ProfileName,
        /// Its new name
        to: ProfileName,
    },
    /// Delete a profile and its secrets; its running session continues
    Delete {
        /// The profile
        name: ProfileName,
    },
    /// Save an exported profile from a file
    Import {
        /// The file
        file: PathBuf,
        /// Name of the new profile; without one, the name of the file
        #[arg(long)]
        name: Option<ProfileName>,
    },
    /// Write a profile to standard output, or to a file
    Export {
        /// The profile
        name: ProfileName,
        /// The file; it must not exist
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The new profile's name
    name: ProfileName,
    #[command(flatten)]
    place: ClusterArguments,
    #[command(flatten)]
    server: ServerArguments,
    /// Method by which programs on the laptop are captured
    #[arg(long, default_value_t)]
    method: Method,
    /// Also reach this host, address or network through the cluster; may be given several times
    #[arg(long, value_name = "HOST|IP|CIDR")]
    also_proxy: Vec<AlsoProxy>,
    /// Also look up names without dots in this namespace, after the first; may be given several times
    #[arg(long = "also-namespace", value_name = "NAMESPACE")]
    also_namespaces: Vec<Namespace>,
    /// Ask the cluster for this name and every name below it; may be given several times
    #[arg(long = "suffix", alias = "dns-suffix", value_name = "DOMAIN")]
    suffixes: Vec<DomainName>,
    /// Domain of the cluster's own names, if Slipway doubts the one that the cluster declares
    #[arg(long, value_name = "DOMAIN")]
    cluster_domain: Option<DomainName>,
    #[command(flatten)]
    agent: AgentArguments,
    /// Color that marks the profile
    #[arg(long, value_parser = color)]
    color: Option<Color>,
    /// Mark the profile as one where mistakes are expensive
    #[arg(long)]
    protected: bool,
    /// End its sessions by themselves this long after they connected, as in 30m, 8h or 2d
    #[arg(long, value_name = "TIME")]
    disconnect_after: Option<DisconnectAfter>,
}

/// Runs a subcommand of `slipway profiles`.
pub(crate) async fn run(arguments: Profiles) -> Result<ExitCode, Failure> {
    let store = Store::of_user()?;
    match arguments.what {
        What::List { json } => {
            let listed = store.list()?;
            if json {
                output::print_json(&text::list_json(&listed).uncoded("Failed to write JSON")?)?;
            } else {
                output::print(&text::list(&listed))?;
            }
        }
        What::Show { name, json } => {
            let profile = store.load(&name)?;
            if json {
                output::print_json(&profile)?;
            } else {
                output::print_file(&profile.to_toml()?)?;
            }
        }
        What::Create(create) => {
            let profile = create.profile()?;
            store.create(&profile)?;
            said("Created", &profile.name)?;
            if profile.cluster.token == Some(SecretReference::Keyring) {
                output::note(&format!(
                    "Store its token with `slipway profiles secret set {} token`.",
                    profile.name
                ));
            }
            if let Some(doubt) = doubt(&profile)? {
                output::note(&doubt);
            }
        }
        What::Edit { name } => match edit::run(&store, &name)? {
            edit::Edited::Saved => said("Saved", &name)?,
            edit::Edited::Unchanged => output::print(&format!("{name} was not changed.\n"))?,
        },
        What::Secret(arguments) => return secret::run(&store, arguments).await,
        What::Validate(arguments) => return validate::run(&store, &arguments),
        What::Rename { name, to } => {
            store.rename(&name, &to)?;
            output::print(&format!("Renamed {name} to {to}.\n"))?;
        }
        What::Delete { name } => {
            // A file that cannot be read has its secrets in the keyring still; the doctor lists them.
            let id = store.identity(&name);
            store.delete(&name)?;
            said("Deleted", &name)?;
            if let Ok(id) = id {
                secret::forget(id, &name).await?;
            }
        }
        What::Import { file, name } => {
            let profile = store.import_file(&file, name)?;
            said("Imported", &profile.name)?;
            if let Some(SecretReference::Program(line)) = &profile.cluster.token {
                output::note(&format!(
                    "Note: to log in, this profile runs the program `{}`.",
                    line.as_str()
                ));
            }
        }
        What::Export { name, output } => {
            let text = store.export(&name)?;
            match output {
                Some(file) => export(&file, &text)?,
                None => output::print_file(&text)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Create {
    fn profile(self) -> Result<Profile, Failure> {
        let mut profile = Profile::new(self.name);
        self.place.onto(&mut profile)?;
        self.server.onto(&mut profile)?;
        profile.method = self.method;
        profile.also_proxy = self.also_proxy;
        profile.cluster.also_namespaces = self.also_namespaces;
        profile.dns.suffixes = self.suffixes;
        profile.dns.cluster_domain = self.cluster_domain;
        self.agent.onto(&mut profile.agent);
        profile.color = self.color;
        profile.protected = self.protected;
        profile.disconnect_after = self.disconnect_after;
        Ok(profile)
    }
}

/// Returns a note if the kubeconfig lacks the profile's context. The profile is saved all the same: the context may be
/// added later.
fn doubt(profile: &Profile) -> Result<Option<String>, Failure> {
    let Some(context) = &profile.cluster.context else {
        return Ok(None);
    };
    let (sources, _choice) = chosen(profile, false)?;
    // A kubeconfig that cannot be read is reported when the user connects.
    let Ok(known) = contexts(&sources) else {
        return Ok(None);
    };
    let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
    Ok((!names.contains(&context.as_str())).then(|| {
        format!(
            "Note: the kubeconfig has no context \"{context}\"; it has: {}.\n  To change the profile, run \
             `slipway profiles edit {}`.",
            names.join(", "),
            profile.name
        )
    }))
}

fn said(done: &str, name: &ProfileName) -> Result<(), Failure> {
    output::print(&format!("{done} {name}.\n"))
}

fn export(file: &std::path::Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;

    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create_new(file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().uncoded(format!("Failed to write {}", file.display()))
}

/// Parses a color's name.
fn color(text: &str) -> Result<Color, String> {
    let word = |color: Color| text::word(&color);
    Color::ALL
        .into_iter()
        .find(|color| word(*color) == text)
        .ok_or_else(|| {
            let words: Vec<String> = Color::ALL.into_iter().map(word).collect();
            format!("the colors are {}", words.join(", "))
        })
}
