//! This laptop, as it matters for the networks of a session.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use slipway_control_api::SessionStatus;
use slipway_laptop::{Kernel, KnownRoute, Probe, RouteTo, RoutingRule};
use slipway_profile::{Profile, Store};

use super::super::subject::Subject;
use super::wanted::of_user;
use crate::{sessions, this_laptop};

/// What the kernel, the resolver, running sessions and saved profiles of this laptop say about networks.
pub(super) struct Laptop {
    pub(super) routes: Vec<KnownRoute>,
    /// Where the kernel sends packets to the parts of the networks now.
    pub(super) answers: Vec<(Probe, RouteTo)>,
    pub(super) rules: Vec<RoutingRule>,
    pub(super) servers: Vec<IpAddr>,
    /// User whose programs send the packets.
    pub(super) user: u32,
    pub(super) sessions: Vec<SessionStatus>,
    /// Networks of the `also-proxy` of other profiles with another cluster, with the profile's name.
    pub(super) profiles: Vec<(String, Vec<IpNet>)>,
}

impl Laptop {
    /// Asks about these networks of the subject.
    ///
    /// # Errors
    /// When the kernel does not list its routes.
    pub(super) async fn ask(ranges: &[IpNet], subject: &Subject) -> io::Result<Self> {
        let kernel = Kernel::open()?;
        let (answers, rules) = kernel.probed(ranges).await?;
        Ok(Self {
            routes: kernel.routes().await?,
            answers,
            rules,
            servers: this_laptop::name_servers_in_use(),
            user: nix::unistd::geteuid().as_raw(),
            // Without a runtime folder there are no sessions; without a folder of profiles, no profiles.
            sessions: sessions::all().await.unwrap_or_default(),
            profiles: profiles_beside(subject),
        })
    }
}

fn profiles_beside(subject: &Subject) -> Vec<(String, Vec<IpNet>)> {
    let listed = Store::of_user()
        .and_then(|store| store.list())
        .unwrap_or_default();
    let is_other = |profile: &Profile| {
        Some(profile.identity()) != subject.identity && !is_same_cluster(profile, &subject.profile)
    };
    let others = listed.into_iter().filter_map(|listed| listed.profile.ok());
    others
        .filter(is_other)
        .map(|profile| (profile.name.to_string(), of_user(&profile).collect()))
        .collect()
}

/// Whether two profiles name their cluster in the same way. Two names of one cluster count as two clusters.
fn is_same_cluster(one: &Profile, other: &Profile) -> bool {
    let place = |profile: &Profile| {
        let cluster = profile.cluster.clone();
        (cluster.context, cluster.kubeconfig, cluster.server)
    };
    place(one) == place(other)
}
