//! Tests of names in text and wire form.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn a_name_reads_back_as_it_was_written_in_lower_case() {
    for (written, read) in [
        ("Web.Shop", "web.shop"),
        ("web.shop.", "web.shop"),
        (".", "."),
        ("_http._tcp.web", "_http._tcp.web"),
        (r"a\.b.c", r"a\.b.c"),
        (r"a\032b", r"a\032b"),
    ] {
        assert_eq!(name(written).to_string(), read);
    }
}

#[test]
fn text_that_is_no_name_is_refused_with_its_reason() {
    assert_eq!("".parse::<Name>(), Err(NameError::EmptyLabel));
    assert_eq!("a..b".parse::<Name>(), Err(NameError::EmptyLabel));
    assert_eq!(".a".parse::<Name>(), Err(NameError::EmptyLabel));
    assert_eq!("a..".parse::<Name>(), Err(NameError::EmptyLabel));
    assert_eq!("x".repeat(64).parse::<Name>(), Err(NameError::LabelTooLong));
    assert_eq!(["x"; 128].join(".").parse::<Name>(), Err(NameError::TooLong));
    assert_eq!(r"a\25".parse::<Name>(), Err(NameError::BadEscape));
    assert_eq!(r"a\256".parse::<Name>(), Err(NameError::BadEscape));
    assert!(["x"; 127].join(".").parse::<Name>().is_ok());
}

#[test]
fn a_suffix_is_only_found_on_a_label_border() {
    assert!(name("web.cluster.local").is_within(&name("cluster.local")));
    assert!(name("cluster.local").is_within(&name("cluster.local")));
    assert!(!name("webcluster.local").is_within(&name("cluster.local")));
    // The byte 7 is both a length and, escaped, a character.
    assert!(!name(r"x\007cluster.local").is_within(&name("cluster.local")));
    assert_eq!(name("a.b.corp").strip_suffix(&name("corp")), Some(name("a.b")));
    assert_eq!(name("corp").strip_suffix(&name("corp")), None);
}

#[test]
fn only_complete_reverse_names_have_an_address() {
    for text in ["10.96.0.10", "::1", "2001:db8::53"] {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(Name::of_address(address).reverse_address(), Some(address));
    }
    assert_eq!(
        name("10.0.96.10.in-addr.arpa").reverse_address(),
        Some("10.96.0.10".parse().unwrap())
    );
    for text in [
        "0.96.10.in-addr.arpa",
        "256.0.0.1.in-addr.arpa",
        "01.0.0.1.in-addr.arpa",
        "in-addr.arpa",
        "a",
    ] {
        assert_eq!(name(text).reverse_address(), None, "{text}");
    }
}

#[test]
fn joining_never_makes_a_name_that_is_too_long() {
    let long = name(&vec!["x".repeat(60); 4].join("."));
    assert_eq!(long.join(&name("cluster.local")), Err(NameError::TooLong));
    assert_eq!(name("web").join(&name("shop")), Ok(name("web.shop")));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_display_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(read) = Name::from_wire(&bytes) {
            prop_assert_eq!(read.to_string().parse::<Name>(), Ok(read));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        if let Ok(read) = text.parse::<Name>() {
            prop_assert_eq!(Name::from_wire(read.wire()), Ok(read));
        }
    }
}

#[test]
fn a_beginning_is_of_whole_labels() {
    let service = name("db.shop.svc");
    for (whole, begins) in [
        ("db.shop.svc", true),
        ("db.shop.svc.corp.internal", true),
        ("db.shop.svcx", false),
        ("db.shop", false),
        ("a.db.shop.svc", false),
    ] {
        assert_eq!(name(whole).starts_with(&service), begins, "{whole}");
    }
}
