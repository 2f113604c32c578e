//! Keeper of the lease: serves the needs of the resolver, and asks a helper that came back for a new lease.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use slipway_capture::Capture;
use slipway_helper_api::{DnsPlan, Granted, Route, RouteOrigin, Routes, TunnelCidr, Zones};
use slipway_helper_client::{ClientError, Lease, Upstream};
use slipway_names::Name;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::error::{HELPER_RETURNS_WITHIN, VpnTcpError};
use crate::lease::{LeaseRequest, NewLease, laptop_search, obtain, our_search, recheck, routes_of, set_dns};
use crate::lease_side::Names;
use crate::name_servers::NameServers;
use crate::need::Need;
use crate::plan::{Warning, routable, without_addresses};
use crate::reach::{Reach, set};

/// Pause between attempts to reach a helper that ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Keeper of a lease. It owns the lease until the helper is gone for good.
pub(crate) struct Keeper {
    pub(crate) request: LeaseRequest,
    pub(crate) lease: Lease,
    pub(crate) capture: Arc<Capture>,
    pub(crate) names: Names,
    pub(crate) servers: NameServers,
    /// Addresses that never lead through the tunnel.
    pub(crate) never: watch::Receiver<Vec<IpAddr>>,
    /// Networks that the cluster declares.
    pub(crate) declared: Vec<IpNet>,
    /// Networks that the user named, including those that are not completely routed.
    pub(crate) users: Vec<IpNet>,
    /// Names for which addresses were learned because the user sends them to the cluster.
    pub(crate) user_names: BTreeMap<TunnelCidr, BTreeSet<Name>>,
    pub(crate) needs: mpsc::Receiver<Need>,
    /// Granted routes, without learned addresses.
    pub(crate) granted: Routes,
    /// Granted routes of learned addresses, the least recently used first.
    pub(crate) learned: Vec<Route>,
    /// Warnings about networks that no lease can have.
    pub(crate) unroutable: Vec<Warning>,
    /// Warning about the cluster domain, if it was doubtful from the start.
    pub(crate) doubt: Option<Warning>,
    /// Warnings about networks that the helper refused.
    pub(crate) refused: Vec<Warning>,
    /// Whether the cluster domain was doubtful from the start.
    pub(crate) domain_is_doubtful: bool,
    /// Warning about the cluster domain while the laptop has it, or a part of it, as a search domain.
    pub(crate) lost_domain: Option<Warning>,
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
                Ok(()) = self.never.changed() => self.keep_out().await,
                Some(need) = self.needs.recv() => match need {
                    Need::Admit { addresses, named_by, decided } => {
                        let decision = self.admit(&addresses, &named_by).await;
                        // Fails if the resolver no longer waits.
                        let _ = decided.send(decision);
                    }
                    Need::Sockets => self.renew_sockets().await,
                    Need::Domains { zones, done } => {
                        let is_set = self.send_domains(zones).await;
                        // Fails if nobody waits any more.
                        let _ = done.send(is_set);
                    }
                    Need::Networks { users, done } => {
                        let is_changed = self.replace_users(users).await;
                        // Fails if nobody waits any more.
                        let _ = done.send(is_changed);
                    }
                    Need::Recheck { done } => {
                        self.recheck().await;
                        // Fails if nobody waits any more.
                        let _ = done.send(());
                    }
                    Need::NameServers { renewed } => {
                        let done = self.renew_name_servers().await;
                        // Fails if nobody waits any more.
                        let _ = renewed.send(done);
                        self.recheck().await;
                    }
                },
            }
            // Every reply of the helper may have told of revoked networks.
            self.follow_revocations();
        }
    }

    fn set_away(&self, away: bool) {
        self.reach.send_modify(|reach| reach.helper_away = away);
    }

    async fn renew_sockets(&mut self) {
        match self.set_dns().await {
            Ok(sockets) => {
                let granted = self.lease.granted().dns.as_ref();
                if granted.is_some_and(|dns| self.servers.are(&dns.servers)) {
                    drop(self.servers.keep_spares(sockets));
                } else {
                    self.follow_laptop(sockets);
                }
            }
            Err(error) => tracing::warn!(%error, "failed to renew the sockets to the laptop's name servers"),
        }
    }

    /// Replaces the domains about which the laptop's resolver asks the session. Returns whether it could; if not, the
    /// previous ones stay.
    async fn send_domains(&mut self, domains: Zones) -> bool {
        let Some(before) = self.request.dns.clone() else {
            return false;
        };
        match DnsPlan::new(domains, before.redirect_ports(), before.mode()) {
            Ok(dns) => self.request.dns = Some(dns),
            Err(error) => {
                tracing::warn!(%error, "failed to update the domains of the lease");
                return false;
            }
        }
        match self.set_dns().await {
            Ok(sockets) => {
                self.follow_laptop(sockets);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "failed to update the domains of the lease");
                self.request.dns = Some(before);
                false
            }
        }
    }

    /// Has the helper read the laptop's name servers and search domains again, and uses them. Returns whether it could.
    async fn renew_name_servers(&mut self) -> bool {
        match self.set_dns().await {
            Ok(sockets) => {
                self.follow_laptop(sockets);
                // The laptop may be in another network, with other answers.
                self.names.name_servers_changed();
                true
            }
            Err(error) => {
                tracing::warn!(%error, "failed to follow the laptop's name servers");
                false
            }
        }
    }

    /// Has the lease follow the laptop's network: without networks that the laptop itself uses by now, and with those that
    /// it no longer uses.
    async fn recheck(&mut self) -> bool {
        let is_done = match recheck(&mut self.lease, &self.request, &self.learned, &self.refused).await {
            Ok(refused) => {
                for warning in refused.iter().filter(|warning| !self.refused.contains(warning)) {
                    tracing::warn!("{warning}");
                }
                self.refused = refused;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "failed to check the lease again");
                false
            }
        };
        self.follow_revocations();
        self.follow_routes();
        is_done
    }

    /// Routes other networks of the user in place of the previous ones, and forgets the addresses of names that the user does
    /// not send to the cluster any more.
    async fn replace_users(&mut self, users: Vec<IpNet>) -> bool {
        let never = self.never.borrow().clone();
        (self.request.routes, self.unroutable) = routable(&self.declared, &users, &never);
        self.users = users;
        let scope = self.names.scope();
        for names in self.user_names.values_mut() {
            names.retain(|name| scope.is_users(name));
        }
        let is_kept = |route: &Route| match self.user_names.get(&route.net) {
            Some(names) => !names.is_empty(),
            None => {
                route.origin != RouteOrigin::User
                    || self.users.iter().any(|range| range.contains(&route.net.net()))
            }
        };
        self.learned.retain(is_kept);
        self.user_names.retain(|_, names| !names.is_empty());
        self.recheck().await
    }

    /// Takes the addresses that never lead through the tunnel out of the lease.
    async fn keep_out(&mut self) {
        let never = self.never.borrow_and_update().clone();
        self.request.routes = without_addresses(&self.request.routes, &never);
        self.learned
            .retain(|route| !never.iter().any(|address| route.net.contains(*address)));
        self.recheck().await;
    }

    /// Follows revoked networks, and returns whether there are any. Programs do not get their addresses any more.
    pub(crate) fn follow_revocations(&mut self) -> bool {
        let has_revoked = self.lease.take_revoked();
        if has_revoked {
            self.follow_routes();
            self.names.flush();
        }
        has_revoked
    }

    /// Follows the routes of the lease, and publishes them with the warnings.
    fn follow_routes(&mut self) {
        let all = self.lease.plan().routes();
        self.learned.retain(|route| all.contains(route));
        self.user_names.retain(|net, _| all.get(net).is_some());
        let learned: Routes = self.learned.iter().copied().collect();
        let is_learned = |route: &Route| learned.get(&route.net).is_some();
        self.granted = all.iter().filter(|route| !is_learned(route)).collect();
        let (routes, warnings) = (routes_of(&self.lease), self.all_warnings());
        self.reach
            .send_if_modified(|reach| set(&mut reach.routes, routes) | set(&mut reach.warnings, warnings));
    }

    /// Sets the requested DNS, and has the helper read the laptop's files again. Returns sockets to the name servers.
    async fn set_dns(&mut self) -> Result<Vec<Upstream>, ClientError> {
        let Some(wanted) = &self.request.dns else {
            return Ok(Vec::new());
        };
        let (sockets, lost_domain) = set_dns(&mut self.lease, wanted).await?;
        self.lost_domain = lost_domain;
        Ok(sockets)
    }

    /// Uses the name servers, search domains and DNS mode that the helper granted last.
    fn follow_laptop(&self, sockets: Vec<Upstream>) {
        let granted = self.lease.granted().dns.as_ref();
        let has_moved = granted.is_some_and(|dns| !self.servers.are(&dns.servers));
        if let Some(dns) = granted.filter(|_| has_moved) {
            tracing::info!(servers = ?dns.servers, "the laptop has other name servers");
        }
        let mode = granted.map(|dns| dns.mode);
        self.servers.replace(granted, sockets);
        self.names.change_scope(|scope| {
            scope.laptop_search = laptop_search(&self.lease);
            scope.our_search = our_search(&self.lease);
            scope.domain_is_doubtful = self.domain_is_doubtful || self.lost_domain.is_some();
        });
        let warnings = self.all_warnings();
        self.reach.send_if_modified(|reach| {
            reach.moves += u64::from(has_moved);
            has_moved | set(&mut reach.dns, mode) | set(&mut reach.warnings, warnings)
        });
    }

    fn all_warnings(&self) -> Vec<Warning> {
        let lost_domain = self.lost_domain.iter();
        let about_names = self.doubt.iter().chain(lost_domain);
        let about_networks = self.unroutable.iter().chain(&self.refused);
        about_networks.chain(about_names).cloned().collect()
    }

    /// Asks a helper that came back for the same addresses, so that open connections continue.
    async fn regain(&mut self) -> Result<(), VpnTcpError> {
        let slot = self.lease.granted().slot;
        let mut request = self.request.clone();
        if self.lost_domain.is_some() {
            request.dns = self.lease.plan().dns().cloned();
        }
        let deadline = Instant::now() + HELPER_RETURNS_WITHIN;
        loop {
            let error = match obtain(&request, &self.learned, Some(slot)).await {
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
        self.capture.replace_tun(Some(new_lease.tun)).await?;
        self.lease = new_lease.lease;
        self.refused = new_lease.warnings;
        self.follow_laptop(new_lease.upstreams);
        self.names.name_servers_changed();
        self.follow_routes();
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
