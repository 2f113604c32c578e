//! Implementation of the trait `Method`.

use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_capture::private_namespace::check_tun;
use slipway_control_api::Problem;
use slipway_helper_api::{HelperRefusal, LeaseAccess};
use slipway_helper_client::Client;
use slipway_method::{Connection, Method, RunningMethod};
use slipway_problem::Fault;

use crate::error::VpnTcpError;
use crate::start::start;

/// Method vpn-tcp before its start.
#[derive(Clone, Debug)]
pub struct VpnTcp {
    helper: PathBuf,
}

impl VpnTcp {
    /// Makes the method. `helper` is the path of the helper's socket.
    #[must_use]
    pub fn new(helper: PathBuf) -> Self {
        Self { helper }
    }
}

impl Method for VpnTcp {
    fn check(&self) -> BoxFuture<'_, Result<(), Problem>> {
        check(&self.helper)
            .map(|checked| checked.map_err(|error| error.problem()))
            .boxed()
    }

    fn start(
        self: Box<Self>,
        connection: Connection,
    ) -> BoxFuture<'static, Result<Box<dyn RunningMethod>, Problem>> {
        let started = async move {
            match start(self.helper, connection).await {
                Ok(running) => Ok(Box::new(running) as Box<dyn RunningMethod>),
                Err(error) => Err(error.problem()),
            }
        };
        started.boxed()
    }
}

/// Checks that there is a TUN device, a helper of this version that serves the user, and a usable DNS mode. Where polkit
/// has to ask the user, it does so later, with the lease.
async fn check(helper: &Path) -> Result<(), VpnTcpError> {
    let mut client = Client::connect(helper).await?;
    check_tun()?;
    let status = client.status().await?;
    if let LeaseAccess::Refused(refusal) = status.access {
        return Err(VpnTcpError::Refused(refusal));
    }
    match status.names {
        Ok(_) => Ok(()),
        Err(trouble) => Err(VpnTcpError::Refused(HelperRefusal::DnsUnavailable(trouble))),
    }
}
