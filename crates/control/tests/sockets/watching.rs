//! Events that watchers get from sessions.

use std::fs;

use slipway_control::{Snapshot, WatchEvent, Watcher};
use slipway_control_api::{Health, NameEvent, Problem, SessionStatus, State, Subscription, WatchedNames};
use tokio::time::timeout;

use crate::LIMIT;
use crate::fixture::{Fixture, name_event};

/// Subscription to all names and figures.
const EVERYTHING: Subscription = Subscription {
    names: WatchedNames::All,
    figures: true,
};

#[tokio::test]
async fn a_watch_gets_the_state_every_change_and_every_name() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mut watch = fixture.client(&session).await.watch(EVERYTHING).await.unwrap();
    assert_eq!(next_status(&mut watch).await.state, State::Preparing);

    let problem = Problem::new("net-away", "The network is away.", "Wait for it.");
    let source = session.publisher.problem_source();
    source.set([problem.clone()]);
    assert_eq!(next_status(&mut watch).await.problems, [problem]);
    session.publisher.enter(State::Reconnecting);
    assert_eq!(next_status(&mut watch).await.state, State::Reconnecting);

    session.publisher.name(name_event("orders"));
    let event = timeout(LIMIT, watch.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(event, WatchEvent::Name(Box::new(name_event("orders"))));

    session.publisher.enter(State::Ended);
    session.server.end().await;
    assert_eq!(next_status(&mut watch).await.state, State::Ended);
    assert_eq!(timeout(LIMIT, watch.next()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_watch_is_woken_only_by_what_it_subscribed_to() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let publisher = &session.publisher;
    let plain = fixture.client(&session).await;
    let mut plain = plain.watch(Subscription::default()).await.unwrap();
    next_status(&mut plain).await;
    assert!(!publisher.names_are_watched());
    let failed = Subscription {
        names: WatchedNames::Failed,
        figures: true,
    };
    let mut failed = fixture.client(&session).await.watch(failed).await.unwrap();
    next_status(&mut failed).await;
    assert!(publisher.names_are_watched());

    let health = Health {
        rtt_ms: 12,
        ..Health::default()
    };
    publisher.update(|status| status.health = Some(health));
    assert_eq!(next_status(&mut failed).await.health, Some(health));
    publisher.name(name_event("found"));
    let nowhere = NameEvent {
        problem: Some(Problem::new("name-not-found", "Nobody knows it.", "Check it.")),
        ..name_event("nowhere")
    };
    publisher.name(nowhere.clone());
    let event = timeout(LIMIT, failed.next()).await.unwrap().unwrap();
    assert_eq!(event, Some(WatchEvent::Name(Box::new(nowhere))));

    // The next event of the plain watch is the change of state: neither figures nor names woke it.
    publisher.enter(State::Connected);
    let status = next_status(&mut plain).await;
    assert_eq!((status.state, status.health), (State::Connected, None));
}

#[tokio::test]
async fn only_a_change_of_state_sets_its_time() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mut watch = fixture.client(&session).await.watch(EVERYTHING).await.unwrap();
    let before = next_status(&mut watch).await;
    session.publisher.update(|status| status.step = None);
    session.publisher.enter(State::Placing);
    let after = next_status(&mut watch).await;
    assert_eq!(after.state, State::Placing);
    assert!(after.since > before.since);
    assert_eq!(after.started, before.started);
}

#[tokio::test]
async fn the_watcher_sees_sessions_start_change_and_end() {
    let fixture = Fixture::new();
    let old = fixture.session("old");
    let mut watcher = Watcher::start(fixture.folder.clone(), EVERYTHING).unwrap();
    let first = next_snapshot(&mut watcher).await;
    assert_eq!(first.sessions.keys().collect::<Vec<_>>(), [&old.id]);

    let new = fixture.session("new");
    let snapshot = next_snapshot(&mut watcher).await;
    assert_eq!(snapshot.sessions.len(), 2);

    new.publisher.enter(State::Connected);
    let snapshot = next_snapshot(&mut watcher).await;
    assert_eq!(snapshot.sessions[&new.id].state, State::Connected);

    new.publisher.name(name_event("orders"));
    let snapshot = next_snapshot(&mut watcher).await;
    assert_eq!(snapshot.names, [(new.id.clone(), name_event("orders"))]);

    let problem = Problem::new("kaputt", "It broke.", "Mend it.");
    new.publisher.update(|status| {
        status.state = State::Ended;
        status.failure = Some(problem.clone());
    });
    let snapshot = next_snapshot(&mut watcher).await;
    assert_eq!(snapshot.sessions[&new.id].state, State::Ended);
    new.server.end().await;
    let snapshot = next_snapshot(&mut watcher).await;
    assert_eq!(snapshot.sessions.keys().collect::<Vec<_>>(), [&old.id]);
    assert_eq!(snapshot.gone.len(), 1);
    assert_eq!(snapshot.gone[0].failure, Some(problem));
}

#[tokio::test]
async fn the_first_snapshot_of_an_empty_folder_is_empty() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::start(fixture.folder.clone(), EVERYTHING).unwrap();
    assert_eq!(next_snapshot(&mut watcher).await, Snapshot::default());
}

#[tokio::test]
async fn the_watcher_survives_the_loss_of_its_folder() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::start(fixture.folder.clone(), EVERYTHING).unwrap();
    next_snapshot(&mut watcher).await;
    fs::remove_dir(fixture.folder.path()).unwrap();
    let session = fixture.session("shop");
    let snapshot = next_snapshot(&mut watcher).await;
    assert!(snapshot.sessions.contains_key(&session.id));
}

async fn next_status(watch: &mut slipway_control::Watch) -> SessionStatus {
    match timeout(LIMIT, watch.next()).await.unwrap().unwrap() {
        Some(WatchEvent::Status(status)) => *status,
        other => panic!("expected a status, got {other:?}"),
    }
}

async fn next_snapshot(watcher: &mut Watcher) -> Snapshot {
    timeout(LIMIT, watcher.next()).await.unwrap().unwrap()
}
