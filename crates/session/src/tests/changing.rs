//! Tests of changes while a session is connected.

use std::sync::Mutex;

use slipway_control::Handler;
use slipway_control_api::NameOutcome;
use slipway_control_api::State::Connected;
use slipway_method::Additions;
use slipway_names::Namespaces;
use slipway_profile::{Change, Extras};
use tokio::sync::mpsc;

use super::bed::begin;
use super::cluster::Script;
use super::method::Record;

fn extras(hosts: &[&str], namespaces: &[&str]) -> Extras {
    Extras {
        also_proxy: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        also_namespaces: namespaces
            .iter()
            .map(|namespace| namespace.parse().unwrap())
            .collect(),
        ..Extras::default()
    }
}

fn adding(hosts: &[&str], namespaces: &[&str]) -> Change {
    Change {
        add: extras(hosts, namespaces),
        ..Change::default()
    }
}

fn found() -> Record {
    Record {
        found: Mutex::new(Some((NameOutcome::Found, vec![[10, 20, 0, 5].into()]))),
        ..Record::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_the_method_and_is_undone() {
    let bed = begin(Script::default(), found());
    bed.until_state(Connected).await;
    let change = adding(&["db.example", "10.3.0.0/16"], &[]);
    let changed = bed.handler.change(change.clone()).await.unwrap();
    assert_eq!((changed.number, &changed.change), (Some(1), &change));
    assert_eq!(
        changed.hosts[0].addresses,
        ["10.20.0.5".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(bed.status().extras, change.add);
    let in_force = bed.method.additions.borrow().clone();
    assert_eq!(in_force, Additions::new(&change.add).unwrap());

    let again = bed.handler.change(change.clone()).await.unwrap();
    assert!(again.number.is_none() && again.change.is_empty(), "{again:?}");
    let undone = bed.handler.undo(None).await.unwrap();
    assert_eq!(undone.change, change.inverse());
    assert_eq!(bed.status().extras, Extras::default());
    assert_eq!(*bed.method.additions.borrow(), Additions::default());
    let nothing = bed.handler.undo(None).await.unwrap_err();
    assert_eq!(nothing.code, "nothing-to-undo");
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_undo_leaves_later_changes() {
    let bed = begin(Script::default(), found());
    bed.until_state(Connected).await;
    let saved = adding(&["db.example"], &[]);
    let first = bed.handler.change(saved.clone()).await.unwrap();
    let noted = bed.handler.saved(first.number, saved.clone()).await.unwrap();
    assert_eq!(noted.number, first.number);
    bed.handler.change(adding(&["cache.example"], &[])).await.unwrap();
    let undone = bed.handler.undo(first.number).await.unwrap();
    assert_eq!(
        undone.profile,
        Some(saved.inverse()),
        "the client takes it back in the profile"
    );
    assert_eq!(bed.status().extras, extras(&["cache.example"], &[]));
    assert!(bed.handler.undo(first.number).await.is_err(), "the second time");
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_profile_alone_is_undone() {
    let bed = begin(Script::default(), found());
    bed.until_state(Connected).await;
    let saved = adding(&["db.example"], &[]);
    let noted = bed.handler.saved(None, saved.clone()).await.unwrap();
    let undone = bed.handler.undo(noted.number).await.unwrap();
    assert_eq!(undone.profile, Some(saved.inverse()));
    assert!(undone.change.is_empty());
    assert!(bed.handler.saved(Some(7), Change::default()).await.is_err());
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_undo_restores_the_order() {
    let bed = begin(Script::default(), found());
    bed.until_state(Connected).await;
    bed.handler
        .change(adding(&["a.example", "b.example"], &[]))
        .await
        .unwrap();
    let before = bed.status().extras;
    let change = Change {
        remove: extras(&["a.example"], &[]),
        ..Change::default()
    };
    bed.handler.change(change).await.unwrap();
    bed.handler.undo(None).await.unwrap();
    assert_eq!(bed.status().extras, before);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_cluster_does_not_have_is_told() {
    let method = Record {
        found: Mutex::new(Some((NameOutcome::NotFound, Vec::new()))),
        ..Record::default()
    };
    let (listing, namespaces) = mpsc::channel(1);
    let cluster = Script::default();
    *cluster.namespaces.lock().unwrap() = Some(namespaces);
    let bed = begin(cluster, method);
    bed.until_state(Connected).await;
    let known = ["shop", "test"].map(|label| label.parse().unwrap());
    let known = Namespaces::Known(known.into());
    let mut learned = bed.method.namespaces.subscribe();
    listing.send(known.clone()).await.unwrap();
    learned.wait_for(|namespaces| *namespaces == known).await.unwrap();
    let changed = bed
        .handler
        .change(adding(&["db.example"], &["tset"]))
        .await
        .unwrap();
    let codes: Vec<&str> = changed
        .problems
        .iter()
        .map(|problem| problem.code.as_str())
        .collect();
    assert_eq!(codes, ["also-proxy-unknown", "also-namespace-missing"]);
    assert_eq!(bed.status().problems.len(), 2);
    bed.handler.undo(None).await.unwrap();
    bed.until(|status| status.problems.is_empty()).await;
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_connected_is_not_changed() {
    let bed = begin(Script::default(), Record::default());
    let change = adding(&["db.example"], &[]);
    let refused = bed.handler.change(change.clone()).await.unwrap_err();
    assert_eq!(refused.code, "session-not-connected");
    bed.until_state(Connected).await;
    let handler = bed.handler.clone();
    bed.stop().await;
    assert!(handler.change(change).await.is_err(), "after its end");
}
