//! Tests of answers and of messages that the resolver writes.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const WEB: &[u8] = b"\x03wEb\0";

fn asked(name: &[u8], edns: bool) -> Vec<u8> {
    let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    bytes.extend_from_slice(name);
    bytes.extend([0, 1, 0, 1]);
    if edns {
        bytes.extend([0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
    }
    bytes
}

#[test]
fn a_renamed_answer_has_the_programs_name_and_case() {
    let bytes = asked(WEB, false);
    let query = Query::parse(&bytes).unwrap();
    let full: Name = "web.shop.svc.cluster.local".parse().unwrap();
    let asked_for = in_place_of(&query, &full);
    let theirs = address(&Query::parse(&asked_for).unwrap(), Ipv4Addr::new(10, 96, 0, 7));
    let mut renamed = rename(&theirs, &full, &query).unwrap();
    address_to(&query, &mut renamed);
    assert_eq!(renamed, address(&query, Ipv4Addr::new(10, 96, 0, 7)));
}

#[test]
fn edns_is_answered_if_and_only_if_it_was_asked() {
    for edns in [false, true] {
        let bytes = asked(WEB, edns);
        let query = Query::parse(&bytes).unwrap();
        let message = Message::from_vec(&empty(&query, Rcode::NxDomain)).unwrap();
        assert_eq!(message.edns.is_some(), edns);
        let onward = Message::from_vec(&in_place_of(&query, &"a.b".parse().unwrap())).unwrap();
        assert_eq!(
            onward.edns.map(|edns| edns.flags().dnssec_ok),
            edns.then_some(true)
        );
    }
}

#[test]
fn ttls_are_limited_count_down_and_never_reach_nothing() {
    let bytes = asked(WEB, false);
    let query = Query::parse(&bytes).unwrap();
    let mut theirs = address(&query, Ipv4Addr::LOCALHOST);
    let ttl = theirs.len() - 10;
    theirs[ttl..ttl + 4].copy_from_slice(&3600_u32.to_be_bytes());
    let mut answer = Answer::read(theirs, &query).unwrap();
    assert_eq!(answer.limit_ttls(), FOUND_FOR);
    let mut out = Vec::new();
    for (age, left) in [(0, 5), (3, 2), (12, 1)] {
        answer.write(&query, Duration::from_secs(age), &mut out);
        assert_eq!(out[ttl..ttl + 4], [0, 0, 0, left]);
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let (web, db) = (asked(WEB, false), asked(b"\x02db\0", false));
    let answer = empty(&Query::parse(&db).unwrap(), Rcode::NoError);
    assert!(Answer::read(answer.clone(), &Query::parse(&db).unwrap()).is_ok());
    assert_eq!(
        Answer::read(answer, &Query::parse(&web).unwrap()).err(),
        Some(AskError::Garbled)
    );
}

#[test]
fn a_cut_answer_holds_what_fits_with_edns_behind_it() {
    for edns in [false, true] {
        let mut bytes = asked(WEB, edns);
        if edns {
            let size = bytes.len() - 8;
            bytes[size..size + 2].copy_from_slice(&600_u16.to_be_bytes());
        }
        let query = Query::parse(&bytes).unwrap();
        let mut long = empty(&query, Rcode::NoError);
        long[7] = 40;
        let at = HEADER + query.name.len() + 4;
        long.splice(
            at..at,
            (0..40).flat_map(|last| [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 1, 1, last]),
        );
        let short = cut(&query, &long);
        let limit = query.udp_limit();
        assert!(
            short.len() <= limit && short.len() + 16 > limit,
            "{} of {limit}",
            short.len()
        );
        let message = Message::from_vec(&short).unwrap();
        assert_eq!(
            (message.edns.is_some(), message.metadata.truncation),
            (edns, true)
        );
        assert_eq!(
            message.answers.len(),
            (limit - empty(&query, Rcode::NoError).len()) / 16
        );
    }
}

#[test]
fn a_cut_answer_keeps_id_question_and_code_and_says_so() {
    let bytes = asked(WEB, true);
    let query = Query::parse(&bytes).unwrap();
    let short = cut(&query, &empty(&query, Rcode::NxDomain));
    assert!(is_truncated(&short) && answers(&short, &query));
    assert_eq!((rcode(&short), &short[..2]), (Some(3), &bytes[..2]));
}

proptest! {
    #[test]
    fn any_bytes_after_the_question_are_read_or_refused(rest in proptest::collection::vec(any::<u8>(), 0..80), counts: [u8; 3]) {
        let bytes = asked(WEB, false);
        let query = Query::parse(&bytes).unwrap();
        let mut theirs = empty(&query, Rcode::NoError);
        for (at, count) in [7, 9, 11].into_iter().zip(counts) {
            theirs[at] = count % 4;
        }
        theirs.extend(rest);
        if let Ok(mut answer) = Answer::read(theirs.clone(), &query) {
            answer.limit_ttls();
            let mut out = Vec::new();
            answer.write(&query, Duration::from_secs(1), &mut out);
            prop_assert!(answers(&out, &query));
        }
        prop_assert!(answers(&cut(&query, &theirs), &query));
        let _ = rename(&theirs, &"a.b".parse().unwrap(), &query);
    }
}
