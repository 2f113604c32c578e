//! Tests of explanations, against scripted sides.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use super::*;
use crate::asks::{Admission, NamedBy};
use crate::event::channel;
use crate::message::Rcode;
use crate::scope::{Namespaces, Scope};
use crate::search::SearchList;

/// Names that each side has. `None` stands for a name whose question gets no answer.
#[derive(Clone, Default)]
struct World {
    cluster: BTreeMap<&'static str, Option<Ipv4Addr>>,
    laptop: BTreeMap<&'static str, Option<Ipv4Addr>>,
    laptop_is_gone: bool,
}

async fn say(side: &BTreeMap<&'static str, Option<Ipv4Addr>>, query: &Bytes) -> Result<Bytes, AskError> {
    let query = Query::parse(query).map_err(|_| AskError::Garbled)?;
    let name = query.question().unwrap().name.to_string();
    Ok(match side.get(&*name) {
        Some(Some(address)) if address.is_unspecified() => message::empty(&query, Rcode::NoError),
        Some(Some(address)) if query.kind() == RecordType::A => message::address(&query, *address),
        Some(Some(_)) => message::empty(&query, Rcode::NoError),
        Some(None) => std::future::pending().await,
        None => message::empty(&query, Rcode::NxDomain),
    }
    .into())
}

impl Asks for World {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        say(&self.cluster, &query).await
    }
    async fn laptop(&self, query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
        if self.laptop_is_gone {
            return Err(AskError::Unreachable);
        }
        say(&self.laptop, &query).await
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

const SVC: Option<Ipv4Addr> = Some(Ipv4Addr::new(10, 96, 0, 7));
const PUBLIC: Option<Ipv4Addr> = Some(Ipv4Addr::new(192, 0, 2, 1));
const EMPTY: Option<Ipv4Addr> = Some(Ipv4Addr::UNSPECIFIED);
const SILENT: Option<Ipv4Addr> = None;

fn world() -> World {
    World {
        cluster: [
            ("web.shop.svc.cluster.local", SVC),
            ("db.shop.svc.cluster.local", SVC),
            ("orders.dev.svc.cluster.local", SVC),
            ("shopify.dev.svc.cluster.local", SVC),
            ("db.corp.example", SVC),
            ("headless.shop.svc.cluster.local", EMPTY),
            ("stuck.shop.svc.cluster.local", SILENT),
        ]
        .into(),
        laptop: [
            ("shopify.dev", PUBLIC),
            ("www.example.org", PUBLIC),
            ("host.partner.example", PUBLIC),
            ("db.corp.internal", PUBLIC),
            ("printer.corp.internal", PUBLIC),
        ]
        .into(),
        ..World::default()
    }
}

async fn explain(world: World, name: &str) -> Explanation {
    let scope = Scope {
        namespaces: Namespaces::Known(["shop", "dev"].map(|label| label.parse().unwrap()).into()),
        hosts: [name_of("host.partner.example")].into(),
        profile: Some("staging".parse().unwrap()),
        laptop_search: SearchList {
            domains: vec![name_of("corp.internal")],
            ..SearchList::default()
        },
        ..Scope::new(name_of("cluster.local"), "shop".parse().unwrap())
    };
    Resolver::new(scope, world, channel(1).0)
        .explain(&name_of(name))
        .await
}

fn name_of(text: &str) -> Name {
    text.parse().unwrap()
}

/// Explanations of all names in text form: who answers, why, cause and remedy.
async fn in_words(world: World, names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        let said = explain(world.clone(), name).await;
        let data = said.data(name);
        let remedy = data.remedy().unwrap_or_default();
        let line = format!(
            "{:?} {:?}: {} {remedy}",
            said.answerer,
            said.verdict,
            data.cause()
        );
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn every_cause_has_its_own_text() {
    let names = [
        "web",
        "www.example.org",
        "nosuch",
        "nosuch.dev",
        "nosuch.dev.svc",
        "no.such.example",
        "db.corp.example",
        "shopify.dev",
        "headless",
        "stuck",
        "host.partner.example",
        "web.prod.slipway.internal",
        "example.invalid",
        "check.slipway.internal",
    ];
    insta::assert_snapshot!(in_words(world(), &names).await, @r"
    Cluster Answered: `web` is `web.shop.svc.cluster.local` in the cluster.
    Laptop Answered: `www.example.org` is a name of the laptop's name servers.
    Nobody Nowhere: `nosuch` was not found in namespace `shop`, nor by the laptop's name servers. `slipway list services` shows the services; write a name in another namespace as `NAME.NAMESPACE`.
    Nobody Nowhere: `nosuch.dev` was not found in namespace `dev`, nor by the laptop's name servers. `slipway list services --namespace dev` shows the services there.
    Nobody Nowhere: `nosuch.dev.svc` does not exist in the cluster, and no other DNS server has names of this domain. Check the namespace with `slipway list namespaces`, then the service with `slipway list services`.
    Nobody Nowhere: Neither the laptop's name servers nor the cluster's DNS know `no.such.example`. Check the spelling.
    Laptop OnlyInCluster: The cluster's DNS knows `db.corp.example`, but the laptop's name servers, which decide about this name, do not. To send it through the cluster, run `slipway change --also-proxy db.corp.example`; `--save` adds it to the profile too.
    Laptop HiddenByLaptop: The laptop's name servers know `shopify.dev` (192.0.2.1), and their answer is used. To reach the service in the cluster, use the name `shopify.dev.svc.cluster.local`.
    Cluster NoAddress: `headless` exists in the cluster but has no address. A headless service without ready pods has no address: check with `kubectl get endpointslices`.
    Nobody ClusterSilent: The cluster's DNS did not answer in time, so it is not known whether `stuck` exists. `slipway status` shows whether the session is reconnecting.
    Nobody Nowhere: This session sends `host.partner.example` to the cluster, and the cluster's DNS does not know it. The laptop's name servers do. Remove it from `--also-proxy` or from the profile.
    Nobody OtherSession: `web.prod.slipway.internal` names another profile than this session's. Connect that profile, or check the spelling of the profile in the name.
    Us Never: `example.invalid` ends in `invalid`, a domain that is reserved for names that never exist.
    Us Answered: `check.slipway.internal` is Slipway's own name.
    ");
}

#[tokio::test(start_paused = true)]
async fn a_searched_name_is_explained_as_programs_get_it() {
    let names = ["db", "printer", "db.shop"];
    insta::assert_snapshot!(in_words(world(), &names).await, @r"
    Laptop HiddenByLaptop: `db` is asked for as `db.corp.internal`: the laptop's resolver appends its search domain `corp.internal`. The laptop's name servers know `db.corp.internal` (192.0.2.1), and their answer is used. To reach the service in the cluster, use the name `db.shop.svc.cluster.local`.
    Laptop Answered: `printer` is asked for as `printer.corp.internal`: the laptop's resolver appends its search domain `corp.internal`. `printer.corp.internal` is a name of the laptop's name servers.
    Cluster Answered: `db.shop` is `db.shop.svc.cluster.local` in the cluster.
    ");
}

#[tokio::test(start_paused = true)]
async fn a_laptop_without_network_is_named_as_the_cause() {
    let world = World {
        laptop_is_gone: true,
        ..world()
    };
    insta::assert_snapshot!(in_words(world, &["www.example.org"]).await, @"Nobody LaptopSilent: The laptop's name servers could not answer, and only they can answer for `www.example.org`. Check the laptop's own network: Slipway only forwards these names to its name servers.");
}

#[tokio::test(start_paused = true)]
async fn a_service_in_another_namespace_is_suggested() {
    let names = ["orders", "orders.shop", "orders.nosuch", "orders.shop.svc"];
    insta::assert_snapshot!(in_words(world(), &names).await, @r"
    Nobody Nowhere: `orders` was not found in namespace `shop`, nor by the laptop's name servers. Did you mean `orders.dev.svc.cluster.local`? To look up `orders` in that namespace too, run `slipway change --also-namespace dev`.
    Nobody Nowhere: `orders.shop` was not found in namespace `shop`, nor by the laptop's name servers. Did you mean `orders.dev.svc.cluster.local`?
    Nobody Nowhere: Neither the laptop's name servers nor the cluster's DNS know `orders.nosuch`. Did you mean `orders.dev.svc.cluster.local`?
    Nobody Nowhere: `orders.shop.svc` does not exist in the cluster, and no other DNS server has names of this domain. Did you mean `orders.dev.svc.cluster.local`?
    ");
    let said = explain(world(), "web").await;
    assert_eq!(said.near, None, "`web` exists, so no other name is suggested");
}

#[tokio::test(start_paused = true)]
async fn an_explanation_survives_json() {
    for name in ["web", "db", "orders.shop", "www.example.org", "x.corp.example"] {
        let said = explain(world(), name).await;
        let said = said.data(name);
        let json = serde_json::to_string(&said).unwrap();
        assert_eq!(
            serde_json::from_str::<slipway_control_api::Explanation>(&json).unwrap(),
            said,
            "{json}"
        );
    }
}
