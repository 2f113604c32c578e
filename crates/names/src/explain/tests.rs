use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;
use crate::event::channel;
use crate::message::Rcode;
use crate::scope::{Namespaces, Scope};

/// What each side knows. `None` for a name that takes for ever; absent names do not exist.
#[derive(Clone, Default)]
struct World {
    cluster: BTreeMap<&'static str, Option<Ipv4Addr>>,
    laptop: BTreeMap<&'static str, Option<Ipv4Addr>>,
    laptop_is_gone: bool,
    near: Vec<Name>,
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
    async fn laptop(&self, query: Bytes) -> Result<Bytes, AskError> {
        if self.laptop_is_gone {
            return Err(AskError::Unreachable);
        }
        say(&self.laptop, &query).await
    }
    async fn before_answer(&self, _addresses: &[IpAddr]) {}
    async fn near(&self, _name: &Name) -> Vec<Name> {
        self.near.clone()
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
        ..Scope::new(name_of("cluster.local"), "shop".parse().unwrap())
    };
    Resolver::new(scope, world, channel(1).0)
        .explain(&name_of(name))
        .await
}

fn name_of(text: &str) -> Name {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_cause_is_told_apart_and_said_in_words() {
    for (name, answerer, cause, sentence) in [
        (
            "web",
            Answerer::Cluster,
            Cause::Answered,
            "`web` is `web.shop.svc.cluster.local` in the cluster (10.96.0.7).",
        ),
        (
            "www.example.org",
            Answerer::Laptop,
            Cause::Answered,
            "`www.example.org` is answered by your laptop's name servers (192.0.2.1).",
        ),
        (
            "orders",
            Answerer::Nobody,
            Cause::Nowhere,
            "`orders` was not found in namespace *shop*.",
        ),
        (
            "orders.dev",
            Answerer::Nobody,
            Cause::Nowhere,
            "`orders.dev` was not found in namespace *dev*, nor by your laptop's name servers.",
        ),
        (
            "orders.dev.svc",
            Answerer::Nobody,
            Cause::Nowhere,
            "`orders.dev.svc` does not exist in the cluster.",
        ),
        (
            "no.such.example",
            Answerer::Nobody,
            Cause::Nowhere,
            "Neither your laptop's name servers nor the cluster's DNS know `no.such.example`.",
        ),
        (
            "db.corp.example",
            Answerer::Laptop,
            Cause::OnlyInCluster,
            "`db.corp.example` is known to the cluster's DNS but not to your laptop's. Add it to the extra hosts to send it through the cluster.",
        ),
        (
            "shopify.dev",
            Answerer::Laptop,
            Cause::HiddenByLaptop,
            "Your laptop's name servers know `shopify.dev` (192.0.2.1), so it keeps that meaning. To reach the one in the cluster, ask for `shopify.dev.svc.cluster.local`.",
        ),
        (
            "headless",
            Answerer::Cluster,
            Cause::NoAddress,
            "`headless` exists in the cluster but has no address. A headless service without ready pods looks like this.",
        ),
        (
            "stuck",
            Answerer::Nobody,
            Cause::ClusterSilent,
            "The cluster's DNS did not answer in time, so nobody can say whether `stuck` exists. Try again once the session is connected.",
        ),
        (
            "host.partner.example",
            Answerer::Nobody,
            Cause::Nowhere,
            "This profile sends `host.partner.example` to the cluster, whose DNS does not know it. Your laptop's name servers do: take it off the extra hosts.",
        ),
        (
            "web.prod.slipway.internal",
            Answerer::Nobody,
            Cause::OtherSession,
            "`web.prod.slipway.internal` names another session. Connect its profile, or check how the profile is written.",
        ),
        (
            "example.invalid",
            Answerer::Us,
            Cause::Never,
            "`example.invalid` ends in `invalid`, which is kept for names that never exist.",
        ),
        (
            "check.slipway.internal",
            Answerer::Us,
            Cause::Answered,
            "`check.slipway.internal` is Slipway's own name.",
        ),
    ] {
        let said = explain(world(), name).await;
        assert_eq!((said.answerer, said.cause), (answerer, cause), "{name}: {said:?}");
        assert_eq!(said.sentence(), sentence);
    }
}

#[tokio::test(start_paused = true)]
async fn a_laptop_without_network_is_named_as_the_cause() {
    let world = World {
        laptop_is_gone: true,
        ..world()
    };
    let said = explain(world, "www.example.org").await;
    assert_eq!(said.cause, Cause::LaptopSilent);
    assert!(
        said.sentence()
            .starts_with("Your laptop's name servers could not answer"),
        "{}",
        said.sentence()
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_of_that_name_elsewhere_is_pointed_at() {
    let near = |name| World {
        near: vec![name_of(name)],
        ..world()
    };
    let said = explain(near("orders.shop-test.svc.cluster.local"), "orders").await;
    assert_eq!(
        said.sentence(),
        "`orders` was not found in namespace *shop*. There is a service of that name in *shop-test*."
    );
    let said = explain(near("orders.shop.svc.cluster.local"), "oders").await;
    assert!(
        said.sentence()
            .ends_with("Did you mean `orders.shop.svc.cluster.local`?"),
        "{}",
        said.sentence()
    );
    let said = explain(near("orders.shop-test.svc.cluster.local"), "web").await;
    assert_eq!(said.near, [], "a name that answers needs no advice");
}

#[tokio::test(start_paused = true)]
async fn an_explanation_survives_json() {
    for name in ["web", "orders.dev", "www.example.org", "x.corp.example"] {
        let said = explain(world(), name).await;
        let json = serde_json::to_string(&said).unwrap();
        assert_eq!(
            serde_json::from_str::<Explanation>(&json).unwrap(),
            said,
            "{json}"
        );
    }
}
