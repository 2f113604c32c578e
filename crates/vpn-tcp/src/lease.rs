//! Requests for a lease of the helper and for its networks, repeated without networks that the helper refuses.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ipnet::IpNet;
use slipway_helper_api::{DnsMode, DnsPlan, DnsSuffix, HelperRefusal, PlanError, Route, Routes, Slot};
use slipway_helper_client::{Client, ClientError, Handover, Lease, Plan, UpError, Upstream};
use slipway_method::Doubt;
use slipway_names::{Name, SearchList};

use crate::error::VpnTcpError;
use crate::plan::{Warning, narrowed};

/// Request for a lease, without learned addresses.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRequest {
    pub(crate) socket: PathBuf,
    pub(crate) routes: Routes,
    pub(crate) dns: Option<DnsPlan>,
}

/// Granted lease, with its handover.
#[derive(Debug)]
pub(crate) struct NewLease {
    pub(crate) lease: Lease,
    pub(crate) tun: OwnedFd,
    pub(crate) upstreams: Vec<Upstream>,
    /// Networks that the helper refused.
    pub(crate) warnings: Vec<Warning>,
}

/// Asks for a lease with the networks of `request` and these learned addresses. While the helper refuses some of them,
/// asks again without those.
///
/// # Errors
/// [`VpnTcpError`], after everything was undone.
pub(crate) async fn obtain(
    request: &LeaseRequest,
    learned: &[Route],
    prefer: Option<Slot>,
) -> Result<NewLease, VpnTcpError> {
    let mut client = Client::connect(&request.socket).await?;
    let mut wanted = Wanted::new(request, learned.to_vec());
    loop {
        let plan = plan(&wanted.routes, request.dns.as_ref())?;
        let refusal = match client.up(&plan, prefer).await {
            Ok(Handover {
                lease,
                tun,
                upstreams,
            }) => {
                return Ok(NewLease {
                    lease,
                    tun,
                    upstreams,
                    warnings: wanted.warnings,
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
        if !wanted.leave_out(&refusal) {
            return Err(VpnTcpError::Refused(refusal));
        }
    }
}

/// Has the helper take networks out of a lease that the laptop itself uses by now, and asks again for the networks of
/// `request`, because the laptop may no longer use those that it used. Keeps these learned addresses as far as the lease
/// still has them. `refused` has the warnings so far about networks that the helper refused; returns those that hold now.
///
/// # Errors
/// [`VpnTcpError`]; a refusal leaves the lease as it was.
pub(crate) async fn recheck(
    lease: &mut Lease,
    request: &LeaseRequest,
    learned: &[Route],
    refused: &[Warning],
) -> Result<Vec<Warning>, VpnTcpError> {
    lease.recheck().await?;
    let kept = learned
        .iter()
        .filter(|route| lease.plan().routes().contains(route));
    let mut wanted = Wanted::new(request, kept.copied().collect());
    wanted.skip_the_hopeless(lease.granted().address6.is_some(), refused);
    loop {
        let next = plan(&wanted.routes, lease.plan().dns())?;
        match lease.update(&next).await {
            Ok(_) => return Ok(wanted.warnings),
            Err(ClientError::Refused(refusal)) => {
                if !wanted.leave_out(&refusal) {
                    return Err(VpnTcpError::Refused(refusal));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Networks to ask for, without those that the helper has refused.
struct Wanted {
    routes: Routes,
    learned: Vec<Route>,
    /// About the networks that the helper has refused.
    warnings: Vec<Warning>,
}

impl Wanted {
    fn new(request: &LeaseRequest, learned: Vec<Route>) -> Self {
        Self {
            routes: request.routes.iter().chain(learned.iter().copied()).collect(),
            learned,
            warnings: Vec::new(),
        }
    }

    /// Leaves out networks that the helper does not route whatever the laptop's network is, and takes over the warnings
    /// about them.
    fn skip_the_hopeless(&mut self, has_v6: bool, refused: &[Warning]) {
        let is_hopeless = |warning: &&Warning| matches!(warning, Warning::KeptOut { .. });
        self.warnings = refused.iter().filter(is_hopeless).cloned().collect();
        let warnings = &self.warnings;
        let is_possible = |route: &Route| {
            (has_v6 || matches!(route.net.net(), IpNet::V4(_)))
                && !warnings.iter().any(|warning| warning.is_about(route.net))
        };
        self.routes = self.routes.iter().filter(is_possible).collect();
    }

    /// Leaves out the networks that were refused. Returns false if the refusal is not about networks.
    fn leave_out(&mut self, refusal: &HelperRefusal) -> bool {
        let Some((left, because)) = narrowed(&self.routes, refusal) else {
            return false;
        };
        self.routes = left;
        // No warning about learned addresses: the next answer with one that is refused withholds it.
        let is_learned = |warning: &Warning| self.learned.iter().any(|route| warning.is_about(route.net));
        let new = because.into_iter().filter(|warning| !is_learned(warning));
        self.warnings.extend(new);
        true
    }
}

/// Returns the networks of a lease, with adjacent ones joined.
pub(crate) fn routes_of(lease: &Lease) -> Vec<IpNet> {
    let nets: Vec<IpNet> = lease.plan().routes().nets().map(|route| route.net()).collect();
    IpNet::aggregate(&nets)
}

/// Has the helper read the laptop's name servers again and set this DNS plan, and returns sockets to them. A cluster
/// domain that overlaps a search domain of the laptop's present network is left out, with a warning.
///
/// # Errors
/// [`ClientError`]; a refusal leaves the lease's DNS as it was.
pub(crate) async fn set_dns(
    lease: &mut Lease,
    wanted: &DnsPlan,
) -> Result<(Vec<Upstream>, Option<Warning>), ClientError> {
    match lease.set_dns(wanted.clone()).await {
        Err(ClientError::Refused(HelperRefusal::DomainRefused { domain, search })) => {
            let (zones, _) = wanted.zones().clone().without_cluster();
            let without = DnsPlan::new(zones, wanted.redirect_ports(), wanted.mode())
                .map_err(|_| ClientError::Unexpected)?;
            let unexpected = |_| ClientError::Unexpected;
            let warning = Warning::DoubtfulDomain {
                domain: domain.as_str().parse().map_err(unexpected)?,
                doubt: Doubt::Searched(search.as_str().parse().map_err(unexpected)?),
            };
            Ok((lease.set_dns(without).await?, Some(warning)))
        }
        outcome => Ok((outcome?, None)),
    }
}

/// Returns the laptop's own search list.
pub(crate) fn laptop_search(lease: &Lease) -> SearchList {
    let Some(dns) = &lease.granted().dns else {
        return SearchList::default();
    };
    SearchList {
        domains: names_of(&dns.laptop_search),
        ndots: dns.laptop_ndots.into(),
    }
}

/// Returns the search domains that this session gives to systemd-resolved, which appends them to short names.
pub(crate) fn our_search(lease: &Lease) -> Vec<Name> {
    let mode = lease.granted().dns.as_ref().map(|dns| dns.mode);
    match (mode, lease.plan().dns()) {
        (Some(DnsMode::Resolved), Some(plan)) => names_of(&plan.zones().search),
        _ => Vec::new(),
    }
}

fn names_of(suffixes: &[DnsSuffix]) -> Vec<Name> {
    suffixes
        .iter()
        .filter_map(|suffix| suffix.as_str().parse().ok())
        .collect()
}

/// Makes a plan of these routes and DNS.
///
/// # Errors
/// [`VpnTcpError`] if it exceeds the limits of a lease.
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
