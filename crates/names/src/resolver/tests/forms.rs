//! Names as programs write them, and answers in the form that programs can use.

use super::*;
use crate::scope::CHECK_ADDRESS;

#[tokio::test(start_paused = true)]
async fn a_service_is_found_by_every_form_of_its_name() {
    let mut bench = bench();
    for name in [
        "web",
        "web.shop",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "web.corp.internal",
        "web.staging.slipway.internal",
    ] {
        bench.finds(name, SVC).await;
        assert_eq!(bench.event(), (Answerer::Cluster, NameOutcome::Found), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_carries_the_askers_id_and_case() {
    let bench = bench();
    let mut query = message::query(&"web".parse().unwrap(), RecordType::A);
    query[..2].copy_from_slice(&[0xbe, 0xef]);
    query[13..16].copy_from_slice(b"wEB");
    let slow = bench.resolver.answer(query.clone().into(), Transport::Udp).await;
    let mut quick = Vec::new();
    assert!(bench.resolver.try_answer(&query, &mut quick));
    for answer in [&*slow, &*quick] {
        assert_eq!(
            (&answer[..2], &answer[12..query.len()]),
            (&query[..2], &query[12..])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_without_that_record_type_still_exists() {
    let bench = bench();
    let message = bench.raw("web", RecordType::AAAA, Transport::Udp).await;
    assert_eq!(
        (message.metadata.response_code, message.answers.len()),
        (ResponseCode::NoError, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn long_answers_are_cut_over_udp_and_whole_over_tcp() {
    let bench = bench();
    bench
        .script
        .cluster
        .says("many.shop.svc.cluster.local", Say::Long, 0);
    bench.script.laptop.says("many.example.org", Say::Long, 0);
    for name in ["many.shop.svc", "many.example.org"] {
        let cut = bench.raw(name, RecordType::A, Transport::Udp).await;
        assert!(
            cut.metadata.truncation && (20..40).contains(&cut.answers.len()),
            "{name}"
        );
        let whole = bench.raw(name, RecordType::A, Transport::Tcp).await;
        assert!(!whole.metadata.truncation, "{name}");
        assert_eq!(whole.answers.len(), 40, "{name}");
    }
    assert!(
        bench.in_memory("many.shop.svc").is_none(),
        "an answer from the cache also has to fit into a datagram"
    );
    let mut edns = message::query(&"many.shop.svc".parse().unwrap(), RecordType::A);
    edns[11] = 1;
    edns.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    let whole = bench.resolver.answer(edns.into(), Transport::Udp).await;
    assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn the_check_name_is_answered_without_any_server() {
    let mut bench = bench();
    bench.finds("check.slipway.internal", CHECK_ADDRESS).await;
    let v6 = bench
        .raw("check.slipway.internal", RecordType::AAAA, Transport::Udp)
        .await;
    assert_eq!(
        (v6.metadata.response_code, v6.answers.len()),
        (ResponseCode::NoError, 0)
    );
    assert_eq!(bench.event(), (Answerer::Us, NameOutcome::Found));
    assert!(bench.script.cluster.asked().is_empty() && bench.script.laptop.asked().is_empty());
}
