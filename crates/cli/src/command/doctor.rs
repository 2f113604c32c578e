//! `slipway doctor`: checks whether this laptop and this account can connect, and what running sessions report.
//!
//! Every check gives [`Finding`]s; each failed one has a remedy. The doctor changes nothing on the laptop or in the
//! cluster, and every wait has a limit.

mod cluster;
mod laptop;
mod namespaces;
mod ranges;
mod secrets;
mod sessions;
mod text;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use slipway_control_api::{Finding, Verdict};
use slipway_profile::{Profile, ProfileName, Store};

use self::text::in_words;
use crate::arguments::{ClusterArguments, Helper};
use crate::failure::{Failure, OURS};
use crate::output;

pub(crate) use self::namespaces::try_if_asked;

/// Pause between two rounds of `--watch`.
const PAUSE: Duration = Duration::from_secs(10);

/// Arguments of `slipway doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Saved profile to check; without one, the kubeconfig's current context
    #[arg(conflicts_with = "profile_option")]
    profile: Option<ProfileName>,
    /// The same as PROFILE
    #[arg(long = "profile", value_name = "PROFILE")]
    profile_option: Option<ProfileName>,
    #[command(flatten)]
    place: ClusterArguments,
    #[command(flatten)]
    helper: Helper,
    /// Print JSON: an array with an object for each finding
    #[arg(long)]
    json: bool,
    /// Check again every ten seconds; with --json, one array per line
    #[arg(long)]
    watch: bool,
}

/// Checks once, or until Ctrl-C. The exit code is 255 if a check failed.
pub(crate) async fn run(arguments: Doctor) -> Result<ExitCode, Failure> {
    let mut profile = match arguments.profile.as_ref().or(arguments.profile_option.as_ref()) {
        Some(name) => Store::of_user()?.load(name)?,
        None => Profile::unsaved(),
    };
    let is_saved = arguments.profile.is_some() || arguments.profile_option.is_some();
    arguments.place.onto(&mut profile)?;
    let helper = &arguments.helper.helper_socket;
    if arguments.watch {
        loop {
            let findings = tokio::select! {
                findings = check(&profile, is_saved, helper) => findings?,
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            };
            if arguments.json {
                output::print_json_line(&findings)?;
            } else {
                output::print_picture(&in_words(&findings))?;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            }
        }
    }
    let findings = check(&profile, is_saved, helper).await?;
    if arguments.json {
        output::print_json(&findings)?;
    } else {
        output::print(&in_words(&findings))?;
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Fail) {
        return Ok(ExitCode::from(OURS));
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(profile: &Profile, is_saved: bool, helper: &Path) -> Result<Vec<Finding>, Failure> {
    let (kernel, helper, cluster, sessions, secrets) = tokio::join!(
        laptop::kernel(),
        laptop::helper(helper),
        cluster::check(profile),
        sessions::check(profile, is_saved),
        secrets::check()
    );
    let mut findings = kernel;
    findings.extend(helper);
    findings.extend(laptop::resolver());
    findings.extend(cluster?);
    findings.extend(sessions?);
    findings.extend(secrets);
    Ok(findings)
}
