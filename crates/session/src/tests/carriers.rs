//! Tests of carriers: intervals and limits of attempts.

use std::sync::Arc;
use std::time::Duration;

use slipway_control::{LogRing, Publisher, fresh_id, status_of_this_process};
use slipway_profile::Method;
use slipway_tunnel::{Limits, Tunnel};
use tokio::sync::watch;
use tokio::time::Instant;

use super::agent::{Manner, Network};
use super::cluster::{Script, Scripted};
use crate::carriers::{BRISK, Carriers, LONGEST_PAUSE, PATIENT, Report};
use crate::cluster::{Cluster, Clusters};
use crate::link::Link;
use crate::login::LoginWatch;
use crate::losses::Losses;
use crate::name_events::Unseen;
use crate::options::Options;
use crate::trouble::Trouble;

/// Starts carriers through an API server that accepts connections and falls silent.
async fn to_silence() -> Carriers {
    let cluster = Scripted(Arc::new(Script {
        kept: Some(Manner::Serves),
        network: watch::Sender::new(Network::Gone),
        ..Script::default()
    }));
    let options = Options {
        profile: slipway_profile::Profile::unsaved(),
        saved: false,
        terminal: false,
        home: "/nonexistent".into(),
    };
    let (_, facts) = cluster.reach((), &options).await.unwrap();
    let agent = cluster.kept_agent().await.unwrap().unwrap();
    let (tunnel, from_agent) = Tunnel::client(Limits::default());
    let initial = status_of_this_process(fresh_id("shop"), None, Method::VpnTcp);
    let problems = Publisher::new(initial, LogRing::new()).problem_source();
    let link = Link {
        cluster: Arc::new(cluster),
        facts,
        tunnel,
        farewells: from_agent.farewells,
        run: 1,
        address_changes: Box::pin(futures_util::stream::pending()),
        _login: LoginWatch::start(Box::pin(futures_util::stream::pending()), problems),
        unseen: Unseen::default(),
        losses: Losses::default(),
    };
    Carriers::start(&link, &agent)
}

#[tokio::test(start_paused = true)]
async fn a_patient_attempt_does_not_delay_the_brisk_ones() {
    let mut carriers = to_silence().await;
    let mut ends = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < PATIENT * 6 {
        let Some(Report::Down(Trouble::Slow(limit))) = carriers.reports.recv().await else {
            panic!("a carrier is open, or no attempt ended")
        };
        ends.push((begun.elapsed(), limit));
    }
    let patient = ends.iter().filter(|(_, limit)| *limit == PATIENT);
    let patient: Vec<_> = patient.map(|(end, limit)| *end - *limit..*end).collect();
    assert!(
        patient.len() >= 3,
        "slow networks need patient attempts: {ends:?}"
    );
    assert!(
        patient.is_sorted_by(|one, next| one.end <= next.start),
        "never two at a time: {patient:?}"
    );
    // After any recovery of the API server, an attempt follows soon.
    let mut begins: Vec<_> = ends.iter().map(|(end, limit)| *end - *limit).collect();
    begins.sort();
    let longest = begins.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(
        longest <= BRISK + LONGEST_PAUSE + Duration::from_millis(1),
        "{longest:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn carriers_that_were_given_up_have_ended() {
    let mut carriers = to_silence().await;
    carriers.give_up().await;
    assert!(carriers.reports.recv().await.is_none(), "an attempt continues");
}
