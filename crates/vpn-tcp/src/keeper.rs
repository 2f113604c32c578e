//! Keeper of the lease: it serves what the resolver needs, and asks for the lease again when the helper came back.

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
use crate::lease::{Ask, Fresh, obtain, routes_of};
use crate::lease_side::Names;
use crate::name_servers::NameServers;
use crate::need::Need;
use crate::plan::Warning;
use crate::reach::Reach;

/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Keeps a lease alive and wide enough until the helper is gone for good.
pub(crate) struct Keeper {
    pub(crate) ask: Ask,
    pub(crate) lease: Lease,
    pub(crate) capture: Arc<Capture>,
    pub(crate) names: Names,
    pub(crate) servers: NameServers,
    pub(crate) own_way: Vec<IpAddr>,
    /// Networks that the user named, also those that are not routed as a whole.
    pub(crate) users: Vec<IpNet>,
    pub(crate) needs: mpsc::Receiver<Need>,
    /// What the helper granted of what was asked for.
    pub(crate) granted: Routes,
    /// What the helper granted of addresses that were learned beside that, the longest unused first.
    pub(crate) learned: Vec<Route>,
    /// What could not be had for reasons that no lease changes.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) reach: watch::Sender<Reach>,
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
                    self.set_away(true);
                    if let Err(error) = self.regain().await {
                        return error;
                    }
                    self.set_away(false);
                }
                Some(need) = self.needs.recv() => match need {
                    Need::Admit { addresses, named_by, decided } => {
                        let decision = self.admit(&addresses, named_by).await;
                        // The program may have stopped waiting.
                        let _ = decided.send(decision);
                    }
                    Need::Sockets => self.renew_sockets().await,
                    Need::Domains(domains) => self.send_here(domains).await,
                    Need::NameServers { renewed } => {
                        self.renew_name_servers().await;
                        // Who asked may have stopped waiting.
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
            Err(error) => tracing::warn!(%error, "no new sockets to the laptop's name servers"),
        }
    }

    /// Makes the laptop's resolver send the names of these domains here, in place of those before.
    async fn send_here(&mut self, domains: Zones) {
        let Some(before) = &self.ask.dns else { return };
        let dns = DnsPlan::new(domains, before.redirect_port(), before.mode());
        let outcome = match dns.and_then(|dns| {
            self.ask.dns = Some(dns.clone());
            // What is routed stays as the helper has it: it may have refused some of what we know.
            Plan::new(self.lease.plan().routes().iter(), Some(dns))
        }) {
            Ok(plan) => self.lease.update(&plan).await.map_err(VpnTcpError::from),
            Err(_) => Err(ClientError::Unexpected.into()),
        };
        match outcome {
            Ok(sockets) if sockets.is_empty() => {}
            Ok(sockets) => self.servers.replace(sockets),
            Err(error) => tracing::warn!(%error, "names of some namespaces are not sent here"),
        }
    }

    async fn renew_name_servers(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => {
                self.servers.replace(sockets);
                // What could not be reached any more may have been those of another network.
                self.names.name_servers_changed();
            }
            Err(error) => tracing::warn!(%error, "no new sockets to the laptop's name servers"),
        }
    }

    /// Asks a helper that came back for the same addresses, so that open connections go on.
    async fn regain(&mut self) -> Result<(), VpnTcpError> {
        let slot = self.lease.granted().slot;
        let deadline = Instant::now() + HELPER_RETURNS_WITHIN;
        loop {
            let error = match obtain(&self.ask, &self.learned, Some(slot)).await {
                Ok(fresh) => return self.go_on_with(fresh).await,
                Err(error) => error,
            };
            if Instant::now() >= deadline || !may_pass(&error) {
                return Err(error);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Puts a regained lease in the place of the lost one, and publishes what it reaches.
    async fn go_on_with(&mut self, fresh: Fresh) -> Result<(), VpnTcpError> {
        if same_addresses(fresh.lease.granted(), self.lease.granted()) {
            tracing::info!("the helper is back");
        } else {
            tracing::warn!("the helper is back with other addresses; open connections are lost");
        }
        self.servers.replace(fresh.upstreams);
        self.names.name_servers_changed();
        self.capture.replace_tun(Some(fresh.tun)).await?;
        self.lease = fresh.lease;
        let all = self.lease.plan().routes();
        self.learned.retain(|route| all.contains(route));
        self.granted = all.iter().filter(|route| !self.learned.contains(route)).collect();
        let routes = routes_of(&self.lease);
        let warnings = [&self.warnings[..], &fresh.warnings].concat();
        self.reach.send_modify(|reach| {
            reach.routes = routes;
            reach.warnings = warnings;
        });
        Ok(())
    }
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
