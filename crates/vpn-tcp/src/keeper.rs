//! Keeper of the lease: serves the needs of the resolver, and asks a helper that came back for a new lease.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use slipway_capture::Capture;
use slipway_helper_api::{DnsPlan, Granted, Route, Routes, Zones};
use slipway_helper_client::{ClientError, Lease, Plan};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::error::{HELPER_RETURNS_WITHIN, VpnTcpError};
use crate::lease::{LeaseRequest, NewLease, obtain, routes_of};
use crate::lease_side::Names;
use crate::name_servers::NameServers;
use crate::need::Need;
use crate::plan::Warning;
use crate::reach::Reach;

/// Pause between attempts to reach a helper that ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Keeper of a lease. It owns the lease until the helper is gone for good.
pub(crate) struct Keeper {
    pub(crate) request: LeaseRequest,
    pub(crate) lease: Lease,
    pub(crate) capture: Arc<Capture>,
    pub(crate) names: Names,
    pub(crate) servers: NameServers,
    pub(crate) carrier_addresses: Vec<IpAddr>,
    /// Networks that the user named, including those that are not completely routed.
    pub(crate) users: Vec<IpNet>,
    pub(crate) needs: mpsc::Receiver<Need>,
    /// Granted routes, without learned addresses.
    pub(crate) granted: Routes,
    /// Granted routes of learned addresses, the least recently used first.
    pub(crate) learned: Vec<Route>,
    /// Warnings that do not depend on the lease.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) reach: watch::Sender<Reach>,
}

impl Keeper {
    /// Serves until the helper is gone and does not come back. Returns the last error.
    pub(crate) async fn keep(mut self) -> VpnTcpError {
        loop {
            tokio::select! {
                () = self.lease.closed() => {
                    tracing::warn!("helper ended; trying to reach it again");
                    // The old routes live as long as this process holds the device.
                    if let Err(error) = self.capture.replace_tun(None).await {
                        tracing::debug!(%error, "device was already closed");
                    }
                    self.set_away(true);
                    if let Err(error) = self.regain().await {
                        return error;
                    }
                    self.set_away(false);
                }
                Some(need) = self.needs.recv() => match need {
                    Need::Admit { addresses, named_by, decided } => {
                        let decision = self.admit(&addresses, named_by).await;
                        // Fails if the resolver no longer waits.
                        let _ = decided.send(decision);
                    }
                    Need::Sockets => self.renew_sockets().await,
                    Need::Domains(domains) => self.send_domains(domains).await,
                    Need::NameServers { renewed } => {
                        self.renew_name_servers().await;
                        // Fails if the resolver no longer waits.
                        let _ = renewed.send(());
                    }
                },
            }
        }
    }

    fn set_away(&self, away: bool) {
        self.reach.send_modify(|reach| reach.helper_away = away);
    }

    async fn renew_sockets(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => drop(self.servers.keep_spares(sockets)),
            Err(error) => tracing::warn!(%error, "failed to renew the sockets to the laptop's name servers"),
        }
    }

    /// Replaces the domains about which the laptop's resolver asks the session.
    async fn send_domains(&mut self, domains: Zones) {
        let Some(before) = &self.request.dns else { return };
        let dns = DnsPlan::new(domains, before.redirect_port(), before.mode());
        let outcome = match dns.and_then(|dns| {
            self.request.dns = Some(dns.clone());
            // Keep the routes of the lease: the helper may have refused some of the requested ones.
            Plan::new(self.lease.plan().routes().iter(), Some(dns))
        }) {
            Ok(plan) => self.lease.update(&plan).await.map_err(VpnTcpError::from),
            Err(_) => Err(ClientError::Unexpected.into()),
        };
        match outcome {
            Ok(sockets) if sockets.is_empty() => {}
            Ok(sockets) => self.servers.replace(sockets),
            Err(error) => tracing::warn!(%error, "failed to update the domains of the lease"),
        }
    }

    async fn renew_name_servers(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => {
                self.servers.replace(sockets);
                // The laptop may be in another network, with other answers.
                self.names.name_servers_changed();
            }
            Err(error) => tracing::warn!(%error, "failed to renew the sockets to the laptop's name servers"),
        }
    }

    /// Asks a helper that came back for the same addresses, so that open connections continue.
    async fn regain(&mut self) -> Result<(), VpnTcpError> {
        let slot = self.lease.granted().slot;
        let deadline = Instant::now() + HELPER_RETURNS_WITHIN;
        loop {
            let error = match obtain(&self.request, &self.learned, Some(slot)).await {
                Ok(new_lease) => return self.continue_with(new_lease).await,
                Err(error) => error,
            };
            if Instant::now() >= deadline || !is_transient(&error) {
                return Err(error);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Replaces the lost lease by a new one, and publishes its reach.
    async fn continue_with(&mut self, new_lease: NewLease) -> Result<(), VpnTcpError> {
        if same_addresses(new_lease.lease.granted(), self.lease.granted()) {
            tracing::info!("helper is back");
        } else {
            tracing::warn!("helper is back with other addresses; open connections are lost");
        }
        self.servers.replace(new_lease.upstreams);
        self.names.name_servers_changed();
        self.capture.replace_tun(Some(new_lease.tun)).await?;
        self.lease = new_lease.lease;
        let all = self.lease.plan().routes();
        self.learned.retain(|route| all.contains(route));
        self.granted = all.iter().filter(|route| !self.learned.contains(route)).collect();
        let routes = routes_of(&self.lease);
        let warnings = [&self.warnings[..], &new_lease.warnings].concat();
        self.reach.send_modify(|reach| {
            reach.routes = routes;
            reach.warnings = warnings;
        });
        Ok(())
    }
}

/// Returns whether an error may disappear when the helper has started.
fn is_transient(error: &VpnTcpError) -> bool {
    match error {
        VpnTcpError::Helper(
            ClientError::NoHelper { .. }
            | ClientError::Gone(_)
            | ClientError::Silent
            | ClientError::Garbled(_),
        ) => true,
        VpnTcpError::Helper(
            ClientError::Unexpected | ClientError::Refused(_) | ClientError::OtherVersion { .. },
        ) => false,
        // The device of the dead helper may exist for another moment and cause a conflict.
        VpnTcpError::Refused(_) => true,
        VpnTcpError::Capture(_) | VpnTcpError::Listener(_) | VpnTcpError::NamesDoNotArrive { .. } => false,
    }
}

fn same_addresses(a: &Granted, b: &Granted) -> bool {
    (a.address, a.resolver) == (b.address, b.resolver)
}
