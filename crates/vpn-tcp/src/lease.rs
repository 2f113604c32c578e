//! The helper's lease: asked for, kept, widened by learned addresses, asked for again when the helper came back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use slipway_capture::Capture;
use slipway_helper_api::{
    Client, ClientError, DnsPlan, DnsSuffix, Granted, Handover, Lease, Plan, PlanError, Refusal, Slot,
    TunnelCidr, UpError, Upstream,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::asks::Need;
use crate::error::VpnTcpError;
use crate::plan::{Warning, narrowed};
use crate::resolver::Resolver;

/// How long a helper that ended may take to come back.
pub const HELPER_RETURNS_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Addresses that were learned one by one; the one longest unused goes first.
const MOST_LEARNED: usize = 4096;

/// What the session wants of the helper, apart from addresses that are learned.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) socket: PathBuf,
    pub(crate) routes: BTreeSet<TunnelCidr>,
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

/// Asks for a lease, with ever fewer networks as long as the helper names some that it will not route.
///
/// # Errors
///
/// [`VpnTcpError`]; nothing is left then.
pub(crate) async fn obtain(ask: &mut Ask, prefer: Option<Slot>) -> Result<Fresh, VpnTcpError> {
    let mut client = Client::connect(&ask.socket).await?;
    let mut warnings = Vec::new();
    loop {
        let plan = plan(&ask.routes, ask.dns.as_ref())?;
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
        let Some((routes, because)) = narrowed(&ask.routes, &refusal) else {
            return Err(VpnTcpError::Refused(refusal));
        };
        ask.routes = routes;
        warnings.extend(because);
    }
}

/// Keeps a lease alive and wide enough until the helper is gone for good.
pub(crate) struct Keeper {
    pub(crate) ask: Ask,
    pub(crate) lease: Lease,
    pub(crate) capture: Arc<Capture>,
    pub(crate) resolver: Resolver,
    pub(crate) own_way: Vec<IpAddr>,
    pub(crate) needs: mpsc::Receiver<Need>,
    pub(crate) learned: Vec<TunnelCidr>,
    /// Whether the helper is gone for now.
    pub(crate) away: watch::Sender<bool>,
}

impl Keeper {
    /// Serves until the helper is gone and does not come back.
    pub(crate) async fn keep(mut self) -> VpnTcpError {
        loop {
            tokio::select! {
                () = self.lease.closed() => {
                    tracing::warn!("the helper is gone; looking for it");
                    // Its routes live as long as we hold the device.
                    if let Err(error) = self.capture.replace_tun(None).await {
                        tracing::debug!(%error, "the device was closed already");
                    }
                    self.away.send_replace(true);
                    self.lease = match self.regain().await {
                        Ok(lease) => lease,
                        Err(error) => return error,
                    };
                    self.away.send_replace(false);
                }
                Some(need) = self.needs.recv() => match need {
                    Need::Routes { addresses, routed } => {
                        self.route(&addresses).await;
                        let _nobody_waits = routed.send(());
                    }
                    Need::Sockets => self.renew_sockets().await,
                    Need::Domains(domains) => self.send_here(domains).await,
                    Need::NameServers { renewed } => {
                        self.renew_name_servers().await;
                        let _nobody_waits = renewed.send(());
                    }
                },
            }
        }
    }

    async fn renew_sockets(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => drop(self.resolver.0.asks().keep_spares(sockets)),
            Err(error) => tracing::warn!(%error, "no new sockets to the laptop's name servers"),
        }
    }

    /// Has the laptop's resolver send the names of other domains here than before.
    async fn send_here(&mut self, domains: Vec<DnsSuffix>) {
        let Some(before) = &self.ask.dns else { return };
        let dns = DnsPlan::new(
            domains,
            before.search().to_vec(),
            before.redirect_port(),
            before.rung(),
        );
        let outcome = match dns.and_then(|dns| {
            self.ask.dns = Some(dns.clone());
            // What is routed stays as the helper has it: it may have refused some of what we know.
            Plan::new(self.lease.plan().routes().iter().copied(), Some(dns))
        }) {
            Ok(plan) => self.lease.update(&plan).await.map_err(VpnTcpError::from),
            Err(_) => Err(ClientError::Unexpected.into()),
        };
        match outcome {
            Ok(sockets) if sockets.is_empty() => {}
            Ok(sockets) => self.resolver.0.asks().set_laptop(sockets),
            Err(error) => tracing::warn!(%error, "names of some namespaces are not sent here"),
        }
    }

    async fn renew_name_servers(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => self.resolver.0.asks().set_laptop(sockets),
            Err(error) => tracing::warn!(%error, "no new sockets to the laptop's name servers"),
        }
    }

    async fn route(&mut self, addresses: &[IpAddr]) {
        let new: Vec<TunnelCidr> = addresses
            .iter()
            .filter(|address| !self.own_way.contains(address))
            .filter(|address| !self.ask.routes.iter().any(|route| route.contains(**address)))
            .filter_map(|address| TunnelCidr::single(*address).ok())
            .collect();
        let (known, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|route| self.learned.contains(route));
        // What was asked for again is as good as new.
        self.learned.retain(|route| !known.contains(route));
        self.learned.extend(known);
        if new.is_empty() {
            return;
        }
        self.learned.extend(&new);
        let oldest = self.learned.len().saturating_sub(MOST_LEARNED);
        let outcome = if self.learned.drain(..oldest).count() == 0 {
            self.lease.add(new).await.map_err(VpnTcpError::from)
        } else {
            match plan(&self.all_routes(), self.ask.dns.as_ref()) {
                Ok(plan) => self
                    .lease
                    .update(&plan)
                    .await
                    .map(drop)
                    .map_err(VpnTcpError::from),
                Err(error) => Err(error),
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "learned addresses could not be routed");
        }
    }

    fn all_routes(&self) -> BTreeSet<TunnelCidr> {
        self.ask.routes.iter().chain(&self.learned).copied().collect()
    }

    /// Asks a helper that came back for the same addresses, so that open connections go on.
    async fn regain(&mut self) -> Result<Lease, VpnTcpError> {
        let slot = self.lease.granted().slot;
        let deadline = Instant::now() + HELPER_RETURNS_WITHIN;
        let mut ask = self.ask.clone();
        ask.routes = self.all_routes();
        loop {
            let error = match obtain(&mut ask, Some(slot)).await {
                Ok(fresh) => return self.go_on_with(fresh).await,
                Err(error) => error,
            };
            if Instant::now() >= deadline || !may_pass(&error) {
                return Err(error);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn go_on_with(&self, fresh: Fresh) -> Result<Lease, VpnTcpError> {
        if same_addresses(fresh.lease.granted(), self.lease.granted()) {
            tracing::info!("the helper is back");
        } else {
            tracing::warn!("the helper is back with other addresses; open connections are lost");
        }
        self.resolver.0.asks().set_laptop(fresh.upstreams);
        self.capture.replace_tun(Some(fresh.tun)).await?;
        Ok(fresh.lease)
    }
}

fn plan(routes: &BTreeSet<TunnelCidr>, dns: Option<&DnsPlan>) -> Result<Plan, VpnTcpError> {
    Plan::new(routes.iter().copied(), dns.cloned()).map_err(|error| match error {
        PlanError::TooManyRoutes { given } => VpnTcpError::Refused(Refusal::TooManyRoutes {
            given,
            limit: slipway_helper_api::MAX_ROUTES,
        }),
        PlanError::TooManySuffixes { .. } | PlanError::SystemPort { .. } => {
            VpnTcpError::Helper(ClientError::Unexpected)
        }
    })
}

/// Whether a helper that is starting may still make up for an error.
fn may_pass(error: &VpnTcpError) -> bool {
    match error {
        VpnTcpError::Helper(
            ClientError::NoHelper { .. }
            | ClientError::Gone(_)
            | ClientError::Silent
            | ClientError::Garbled(_),
        ) => true,
        VpnTcpError::Helper(ClientError::Unexpected | ClientError::Refused(_)) => false,
        // The dead helper's device may be there for another moment.
        VpnTcpError::Refused(_) => true,
        VpnTcpError::Capture(_) | VpnTcpError::Listener(_) | VpnTcpError::NamesDoNotArrive { .. } => false,
    }
}

fn same_addresses(a: &Granted, b: &Granted) -> bool {
    (a.address, a.resolver) == (b.address, b.resolver)
}
