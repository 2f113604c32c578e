//! `slipway doctor`.
use std::process::ExitCode;
/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}
pub(crate) async fn run(_: Doctor) -> anyhow::Result<ExitCode> {
    tokio::task::yield_now().await;
    Ok(ExitCode::SUCCESS)
}
