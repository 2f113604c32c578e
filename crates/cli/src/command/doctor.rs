//! `slipway doctor`: checks whether this laptop and this account can connect, and what running sessions report.
//!
//! Every check gives [`Finding`]s; each failed one has a remedy. The doctor changes nothing on the laptop or in the
//! cluster, and every wait has a limit.
//!
//! ```text
//! plan ── which steps ──► laptop, cluster, ranges, sessions (side by side)
//!                              │ reporter: CheckEvent
//!                              ▼
//!         in_order: words, as soon as the steps before are over     --json-lines: as they come     --json: at the end
//! ```

mod cluster;
mod in_order;
mod laptop;
mod namespaces;
mod plan;
mod ranges;
mod reporter;
mod secrets;
mod sessions;
mod subject;
mod text;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use slipway_control_api::{Check, CheckEvent, CheckSummary, Finding, Verdict};
use slipway_profile::{Method, ProfileName};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use self::namespaces::try_if_asked;
pub(crate) use self::plan::needs;

use self::in_order::InOrder;
use self::plan::Plan;
use self::reporter::{Reporter, milliseconds_since};
use self::subject::Subject;
use self::text::{in_words, methods_in_words};
use crate::arguments::{ClusterArguments, Helper};
use crate::failure::{Failure, OURS};
use crate::hosting::{Signals, block_on, signalled};
use crate::output;

/// Pause between two rounds of `--watch`.
const PAUSE: Duration = Duration::from_secs(10);

/// Number of events that may wait to be shown.
const EVENTS: usize = 16;

/// Arguments of `slipway doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Saved profile to check; without one, the kubeconfig's current context
    #[arg(conflicts_with = "profile_option")]
    profile: Option<ProfileName>,
    /// The same as PROFILE
    #[arg(long = "profile", value_name = "PROFILE")]
    profile_option: Option<ProfileName>,
    /// Check the text of a profile, `-` for standard input; with PROFILE, in place of the saved one
    #[arg(long, value_name = "FILE")]
    profile_file: Option<PathBuf>,
    #[command(flatten)]
    place: ClusterArguments,
    /// Check what this method needs, in place of the profile's
    #[arg(long, conflicts_with = "all_methods")]
    method: Option<Method>,
    /// Check what each method needs, and say which ones work here
    #[arg(long)]
    all_methods: bool,
    #[command(flatten)]
    helper: Helper,
    /// Print JSON: an array with an object for each finding
    #[arg(long)]
    json: bool,
    /// Print JSON as it comes, one event per line: the steps, each finding, and a summary
    #[arg(long, conflicts_with = "json")]
    json_lines: bool,
    /// Check again every ten seconds; with --json, one array per line
    #[arg(long)]
    watch: bool,
}

/// Checks once, or until Ctrl-C. The exit code is 255 if a check failed; with `--all-methods`, if no method works.
pub(crate) fn run(arguments: Doctor) -> Result<ExitCode, Failure> {
    let json_lines = arguments.json_lines;
    match checked(arguments) {
        Err(failure @ (Failure::Problem(_) | Failure::Uncoded(_))) if json_lines => {
            output::print_json_line(&CheckEvent::Failed(failure.into_problem()))?;
            Ok(ExitCode::from(OURS))
        }
        outcome => outcome,
    }
}

fn checked(arguments: Doctor) -> Result<ExitCode, Failure> {
    let named = arguments.profile.as_ref().or(arguments.profile_option.as_ref());
    let mut subject = Subject::read(named, arguments.profile_file.as_deref())?;
    arguments.place.onto(&mut subject.profile)?;
    if let Some(method) = arguments.method {
        subject.profile.method = method;
    }
    let plan = match arguments.all_methods {
        true => Plan::of_all_methods(),
        false => Plan::of(subject.profile.method),
    };
    let doctor = Rounds {
        subject,
        plan,
        helper: arguments.helper.helper_socket,
        form: match (arguments.json, arguments.json_lines) {
            (true, _) => Form::Json,
            (false, true) => Form::JsonLines,
            (false, false) => Form::Words,
        },
        watch: arguments.watch,
    };
    block_on(async {
        let mut signals = Signals::new()?;
        let watch = doctor.watch;
        // A task of its own, so that neither a file that does not open nor a reader that does not read delays the end.
        let mut rounds = tokio::spawn(doctor.run());
        tokio::select! {
            outcome = &mut rounds => outcome.unwrap_or_else(|error| Err(Failure::Uncoded(error.to_string()))),
            signal = signals.next() => {
                rounds.abort();
                Ok(match watch {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::from(signalled(signal as i32)),
                })
            }
        }
    })?
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Words,
    Json,
    JsonLines,
}

/// One check, or several after each other.
struct Rounds {
    subject: Subject,
    plan: Plan,
    helper: PathBuf,
    form: Form,
    watch: bool,
}

impl Rounds {
    async fn run(self) -> Result<ExitCode, Failure> {
        loop {
            let summary = self.round().await?;
            if !self.watch {
                let fails = match self.plan.methods() {
                    [_] => summary.verdict == Verdict::Fail,
                    _ => !summary.methods.iter().any(|method| method.works),
                };
                return Ok(ExitCode::from(if fails { OURS } else { 0 }));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Checks once, and shows the findings.
    async fn round(&self) -> Result<CheckSummary, Failure> {
        let begun = Instant::now();
        let (sender, mut events) = mpsc::channel(EVENTS);
        let mut shown = InOrder::new(self.plan.steps().steps);
        let mut findings = Vec::new();
        self.show(&CheckEvent::Steps(self.plan.steps()), &mut shown)?;
        let mut checks = pin!(check(
            &self.subject,
            Reporter::new(&self.plan, sender),
            &self.helper
        ));
        let mut is_over = false;
        loop {
            tokio::select! {
                () = &mut checks, if !is_over => is_over = true,
                event = events.recv() => {
                    let Some(event) = event else { break };
                    self.show(&event, &mut shown)?;
                    if let CheckEvent::Finding(finding) = event {
                        findings.push(finding);
                    }
                }
            }
        }
        findings.sort_by_key(|finding: &Finding| finding.check);
        let summary = CheckSummary::of(self.plan.methods(), &findings, milliseconds_since(begun));
        self.show(&CheckEvent::Summary(summary.clone()), &mut shown)?;
        self.show_all(&findings, &summary)?;
        Ok(summary)
    }

    /// Shows an event, if this form of output shows each as it comes.
    fn show(&self, event: &CheckEvent, shown: &mut InOrder) -> Result<(), Failure> {
        match self.form {
            Form::JsonLines => output::print_json_line(event),
            Form::Words if !self.watch => match shown.text_after(event).as_str() {
                "" => Ok(()),
                text => output::print(text),
            },
            Form::Words | Form::Json => Ok(()),
        }
    }

    /// Shows what [`Rounds::show`] has not shown.
    fn show_all(&self, findings: &[Finding], summary: &CheckSummary) -> Result<(), Failure> {
        let methods = match summary.methods.as_slice() {
            [_] => String::new(),
            methods => methods_in_words(methods),
        };
        match self.form {
            Form::Json if self.watch => output::print_json_line(&findings),
            Form::Json => output::print_json(&findings),
            Form::JsonLines => Ok(()),
            Form::Words if self.watch => output::print_picture(&(in_words(findings) + &methods)),
            Form::Words => output::print(&methods),
        }
    }
}

/// Runs every step of the plan, side by side where they do not depend on each other. Large futures are boxed: together
/// they would not fit the stack of a thread.
async fn check(subject: &Subject, reporter: Reporter<'_>, helper: &Path) {
    tokio::join!(
        reporter.findings(Check::Kernel, laptop::namespaces()),
        reporter.findings(Check::Tun, async { vec![laptop::tun_device()] }),
        reporter.findings(Check::Helper, Box::pin(laptop::helper(helper))),
        reporter.findings(Check::Resolver, async { laptop::resolver() }),
        reporter.findings(Check::Method, async {
            cluster::methods(subject, reporter.methods())
        }),
        Box::pin(cluster::check(subject, &reporter)),
        reporter.findings(Check::Session, Box::pin(sessions::check(subject))),
        reporter.findings(Check::Secret, Box::pin(secrets::check())),
    );
}
