//! Lease of the helper: how it is asked for.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ipnet::IpNet;
use slipway_helper_api::{DnsPlan, HelperRefusal, PlanError, Route, Routes, Slot};
use slipway_helper_client::{Client, ClientError, Handover, Lease, Plan, UpError, Upstream};

use crate::error::VpnTcpError;
use crate::plan::{Warning, narrowed};

/// What the session wants of the helper, apart from addresses that are learned.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) socket: PathBuf,
    pub(crate) routes: Routes,
    pub(crate) dns: Option<DnsPlan>,
}

/// A lease as it was first granted.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) lease: Lease,
    pub(crate) tun: OwnedFd,
    pub(crate) upstreams: Vec<Upstream>,
    /// What of the networks could not be had.
    pub(crate) warnings: Vec<Warning>,
}

/// Asks for a lease with these addresses beside the networks of `ask`, and with ever fewer of them as long as the helper
/// names some that it will not route.
///
/// # Errors
///
/// [`VpnTcpError`]; nothing is left then.
pub(crate) async fn obtain(ask: &Ask, learned: &[Route], prefer: Option<Slot>) -> Result<Fresh, VpnTcpError> {
    let mut client = Client::connect(&ask.socket).await?;
    let mut warnings = Vec::new();
    let mut routes: Routes = ask.routes.iter().chain(learned.iter().copied()).collect();
    loop {
        let plan = plan(&routes, ask.dns.as_ref())?;
        let refusal = match client.up(&plan, prefer).await {
            Ok(Handover {
                lease,
                tun,
                upstreams,
            }) => {
                return Ok(Fresh {
                    lease,
                    tun,
                    upstreams,
                    warnings,
                });
            }
            Err(UpError::Lost(error)) => return Err(error.into()),
            Err(UpError::Refused {
                refusal,
                client: again,
            }) => {
                client = *again;
                refusal
            }
        };
        let Some((left, because)) = narrowed(&routes, &refusal) else {
            return Err(VpnTcpError::Refused(refusal));
        };
        routes = left;
        // A learned address that is not granted any more is withheld when it is answered again.
        warnings.extend(
            because
                .into_iter()
                .filter(|warning| !learned.iter().any(|route| warning.is_about(route.net))),
        );
    }
}

/// The networks of a lease, joined where they touch.
pub(crate) fn routes_of(lease: &Lease) -> Vec<IpNet> {
    let nets: Vec<IpNet> = lease.plan().routes().nets().map(|route| route.net()).collect();
    IpNet::aggregate(&nets)
}

/// A plan of these routes and names.
///
/// # Errors
///
/// [`VpnTcpError`] where there is more than a lease may have.
pub(crate) fn plan(routes: &Routes, dns: Option<&DnsPlan>) -> Result<Plan, VpnTcpError> {
    Plan::new(routes.iter(), dns.cloned()).map_err(|error| match error {
        PlanError::TooManyRoutes { given } => VpnTcpError::Refused(HelperRefusal::TooManyRoutes {
            given,
            limit: slipway_helper_api::MAX_ROUTES,
        }),
        PlanError::TooManySuffixes { .. }
        | PlanError::SearchOutside { .. }
        | PlanError::SystemPort { .. } => VpnTcpError::Helper(ClientError::Unexpected),
    })
}

#[cfg(test)]
mod tests;
