//! `slipway helper`: starts the privileged helper for this user, ends it, and says which one serves.
//!
//! ```text
//! facts (socket, unit, terminal, screen, tools, owner of the program) ──► way ──► systemctl | sudo | pkexec ──► helper
//! ```
//!
//! Only a program that nobody but root can have written is run as root, and every word is an argument of its own: there is
//! no shell.

mod act;
mod error;
mod facts;
mod offer;
mod program;
mod text;
mod way;

use std::path::Path;
use std::process::ExitCode;

use slipway_control_api::{HelperStart, HelperStarted, HelperStatus};
use slipway_helper_api::{HelperRefusal, LeaseAccess, Status};
use slipway_helper_client::{Client, ClientError, Started};
use slipway_problem::Fault;

pub(crate) use self::offer::offer;

use self::error::{NoWay, NotDone};
use self::way::{Way, to_start, to_stop};
use crate::arguments;
use crate::failure::{Failure, OURS, Uncoded};
use crate::output;

/// Arguments of `slipway helper`.
#[derive(Debug, clap::Args)]
pub(crate) struct Helper {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Start the helper: the installed service, or one for you until you log out. It asks for your password
    Start {
        #[command(flatten)]
        helper: arguments::Helper,
    },
    /// End the helper. It asks for your password
    Stop {
        #[command(flatten)]
        helper: arguments::Helper,
    },
    /// Show which helper serves you, and how it was started; the exit code is 255 if none does
    Status {
        #[command(flatten)]
        helper: arguments::Helper,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs a subcommand of `slipway helper`.
pub(crate) async fn run(arguments: Helper) -> Result<ExitCode, Failure> {
    match arguments.what {
        What::Start { helper } => {
            let socket = &helper.helper_socket;
            let already = look(socket).await.serves();
            let client = start(socket).await?;
            let verb = if already {
                "serves you already"
            } else {
                "serves you"
            };
            let ends = match client.started() {
                Started::InBackground => " It ends when you log out, or with `slipway helper stop`.",
                Started::Service { .. } | Started::ByHand { .. } | Started::Unknown => "",
            };
            output::print(&format!(
                "slipway-helper {} {verb}.{ends}\n",
                client.hello().build
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        What::Stop { helper } => stop(&helper.helper_socket).await,
        What::Status { helper, json } => {
            let status = status(&helper.helper_socket).await;
            if json {
                output::print_json(&status)?;
            } else {
                output::print(&text::in_words(&status))?;
            }
            Ok(ExitCode::from(if status.serves { 0 } else { OURS }))
        }
    }
}

/// Runs a future of this module for a command that hosts a session later.
fn blocking<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .uncoded("Failed to start the runtime")?;
    runtime.block_on(work)
}

/// The helper that listens at a socket, or its absence.
struct Found<'a> {
    socket: &'a Path,
    client: Result<Client, ClientError>,
}

async fn look(socket: &Path) -> Found<'_> {
    Found {
        socket,
        client: Client::connect(socket).await,
    }
}

impl Found<'_> {
    fn serves(&self) -> bool {
        self.client.is_ok()
    }

    fn is_missing(&self) -> bool {
        matches!(self.client, Err(ClientError::NoHelper { .. }))
    }

    /// Whether another helper than this one could be started there.
    fn is_startable(&self) -> bool {
        matches!(
            self.client,
            Err(ClientError::NoHelper { .. } | ClientError::OtherVersion { .. })
        )
    }

    /// Decides how a helper is started there.
    fn way(&self) -> Result<Way, NoWay> {
        let other = match &self.client {
            Err(ClientError::OtherVersion { started, .. }) => Some(started.clone()),
            Ok(_) | Err(_) => None,
        };
        to_start(facts::read(self.socket, other))
    }
}

/// Starts a helper, unless one serves this user, and returns a connection to it.
async fn start(socket: &Path) -> Result<Client, Failure> {
    let found = look(socket).await;
    if found.is_startable() {
        act::carry_out(&found.way()?, "start", facts::at_terminal()).await?;
        return act::answering(socket).await;
    }
    Ok(found.client?)
}

async fn stop(socket: &Path) -> Result<ExitCode, Failure> {
    let mut client = match Client::connect(socket).await {
        Err(ClientError::NoHelper { .. }) => {
            output::print("slipway-helper does not run.\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        client => client?,
    };
    let sessions = client.status().await?.yours;
    if sessions > 0 {
        return Err(NotDone::InUse { sessions }.into());
    }
    let way = to_stop(facts::read(socket, None), client.started())?;
    drop(client);
    act::carry_out(&way, "end", facts::at_terminal()).await?;
    output::print("slipway-helper has ended.\n")?;
    Ok(ExitCode::SUCCESS)
}

async fn status(socket: &Path) -> HelperStatus {
    let mut found = look(socket).await;
    let asked: Result<Status, ClientError> = match &mut found.client {
        Ok(client) => client.status().await,
        Err(_) => Err(ClientError::Unexpected),
    };
    let (started, version) = match &found.client {
        Ok(client) => (Some(client.started()), Some(client.hello().build.to_string())),
        Err(ClientError::OtherVersion {
            started,
            refusal: HelperRefusal::VersionMismatch { helper_build, .. },
        }) => (Some(started), Some(helper_build.to_string())),
        Err(_) => (None, None),
    };
    let problem = match (&found.client, &asked) {
        (Err(error), _) => Some(error.problem()),
        (Ok(_), Err(error)) => Some(error.problem()),
        (
            Ok(_),
            Ok(Status {
                access: LeaseAccess::Refused(refusal),
                ..
            }),
        ) => Some(ClientError::Refused(refusal.clone()).problem()),
        (Ok(_), Ok(_)) => None,
    };
    let (start, obstacle): (Option<HelperStart>, _) = match found.is_startable().then(|| found.way()) {
        None => (None, None),
        Some(Ok(way)) => (Some(way.with), None),
        Some(Err(obstacle)) => (None, Some(obstacle.problem())),
    };
    HelperStatus {
        socket: socket.display().to_string(),
        serves: problem.is_none(),
        version,
        started: started.map(|started| match started.clone() {
            Started::Service { unit } => HelperStarted::Service { unit },
            Started::InBackground => HelperStarted::Slipway,
            Started::ByHand { command } => HelperStarted::Hand { command },
            Started::Unknown => HelperStarted::Unknown,
        }),
        sessions: asked.map_or(0, |status| status.yours),
        problem,
        start,
        obstacle,
    }
}
