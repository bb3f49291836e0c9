use proptest::prelude::*;

use super::*;

fn of(count: usize) -> String {
    "a".repeat(count)
}

#[test]
fn labels_are_letters_digits_and_inner_hyphens() {
    for legal in ["a", "0", "a-b", "a--b", "10-0-0-7-9000", "xn--h-1ga", &of(63)] {
        assert_eq!(Label::new(legal).unwrap().as_str(), legal);
    }
    assert_eq!(Label::new("Ab-C").unwrap().as_str(), "ab-c");
    for (text, rule) in [
        ("", NameError::Empty),
        (&*of(64), NameError::TooLong { got: 64, max: 63 }),
        ("a.b", NameError::BadCharacter('.')),
        ("a_b", NameError::BadCharacter('_')),
        ("ä", NameError::BadCharacter('ä')),
        ("a\0", NameError::BadCharacter('\0')),
        ("a b", NameError::BadCharacter(' ')),
        ("-", NameError::EdgeHyphen),
        ("-a", NameError::EdgeHyphen),
        ("a-", NameError::EdgeHyphen),
    ] {
        assert_eq!(Label::new(text), Err(rule), "{text:?}");
    }
}

#[test]
fn apps_and_namespaces_are_labels_joined_by_dots() {
    let longest = format!("{}.{}", of(59), of(60));
    for legal in ["a", "Go.Micro.srv", "0.1", &longest] {
        assert_eq!(AppName::new(legal).unwrap().as_str(), legal.to_lowercase());
        assert_eq!(Namespace::new(legal).unwrap().as_str(), legal.to_lowercase());
    }
    for (text, rule) in [
        (String::new(), NameError::Empty),
        (format!("{longest}a"), NameError::TooLong { got: 121, max: 120 }),
        (of(64), NameError::LabelTooLong(64)),
        ("a..b".into(), NameError::EmptyLabel),
        (".a".into(), NameError::EmptyLabel),
        ("a.".into(), NameError::EmptyLabel),
        ("a.-b".into(), NameError::EdgeHyphen),
        ("a/b".into(), NameError::BadCharacter('/')),
        ("_members".into(), NameError::BadCharacter('_')),
    ] {
        assert_eq!(AppName::new(&text), Err(rule.clone()), "{text:?}");
        assert_eq!(Namespace::new(&text), Err(rule), "{text:?}");
    }
}

#[test]
fn protocols_are_service_names() {
    for (text, taken) in [("nova", "nova"), ("_HTTP", "http"), ("a-1", "a-1"), ("9p", "9p")] {
        assert_eq!(Protocol::new(text).unwrap().as_str(), taken);
    }
    assert_eq!(Protocol::new(&of(15)).unwrap().as_str(), of(15));
    for (text, rule) in [
        ("", NameError::Empty),
        ("_", NameError::Empty),
        (&*of(16), NameError::TooLong { got: 16, max: 15 }),
        ("__a", NameError::BadCharacter('_')),
        ("a.b", NameError::BadCharacter('.')),
        ("a-", NameError::EdgeHyphen),
        ("123", NameError::NoLetter),
        ("1-2", NameError::NoLetter),
        ("a--b", NameError::DoubleHyphen),
    ] {
        assert_eq!(Protocol::new(text), Err(rule), "{text:?}");
    }
}

#[test]
fn each_rule_says_what_is_allowed() {
    for (rule, says) in [
        (NameError::Empty, "must not be empty"),
        (NameError::TooLong { got: 64, max: 63 }, "is 64 octets long, at most 63 are allowed"),
        (NameError::EmptyLabel, "has an empty label"),
        (NameError::LabelTooLong(70), "has a label of 70 octets, at most 63 are allowed"),
        (NameError::BadCharacter('\n'), "has '\\n', only a-z, 0-9 and inner '-' are allowed"),
        (NameError::EdgeHyphen, "has a label that begins or ends with '-'"),
        (NameError::NoLetter, "needs at least one letter"),
        (NameError::DoubleHyphen, "has two hyphens together"),
    ] {
        assert_eq!(rule.to_string(), says);
    }
}

#[test]
fn default_ids_are_address_and_port() {
    for (address, port, id) in [
        ("10.0.0.7", 9000, "10-0-0-7-9000"),
        ("255.255.255.255", 65_535, "255-255-255-255-65535"),
        ("fd00::7", 80, "fd00--7-80"),
        ("fd00::", 80, "fd00---80"),
        ("::1", 9000, "0--1-9000"),
        ("::", 1, "0---1"),
        ("::ffff:10.0.0.7", 1, "0--ffff-10-0-0-7-1"),
        (
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            65_535,
            "ffff-ffff-ffff-ffff-ffff-ffff-ffff-ffff-65535",
        ),
    ] {
        assert_eq!(default_id(address.parse().unwrap(), port).as_str(), id);
    }
}

#[test]
fn apps_know_the_names_around_them() {
    let app = AppName::new("go.micro.srv").unwrap();
    assert_eq!(app.labels().collect::<Vec<_>>(), ["go", "micro", "srv"]);
    assert_eq!(app.parent(), AppName::new("micro.srv").ok());
    assert_eq!(AppName::new("srv").unwrap().parent(), None);
    assert_eq!(app.child("b").unwrap().as_str(), "b.go.micro.srv");
    assert_eq!(AppName::new(&format!("{}.{}", of(59), of(60))).unwrap().child("b"), None);
}

/// The longest of everything in front of each other is a legal name (RFC 1035 section 2.3.4).
#[test]
fn the_longest_parts_fit_a_name() {
    // One octet of length for each label; `_sctp`, a zone of 45 octets, and the root.
    let octets = (1 + 1 + PROTOCOL_OCTETS_MAX)
        + (1 + 5)
        + (1 + LABEL_OCTETS_MAX)
        + (1 + APP_OCTETS_MAX)
        + (1 + 45)
        + 1;
    assert_eq!(octets, 255);
}

proptest! {
    #[test]
    fn any_text_is_a_legal_name_or_an_error(text in "\\PC{0,70}|[A-Za-z0-9._-]{0,130}") {
        let legal = |name: &str| {
            name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            })
        };
        if let Ok(label) = Label::new(&text) {
            prop_assert!(legal(label.as_str()) && !label.as_str().contains('.'));
            prop_assert_eq!(Label::new(label.as_str()), Ok(label));
        }
        match AppName::new(&text) {
            Ok(app) => {
                prop_assert!(legal(app.as_str()) && app.as_str().len() <= 120);
                let namespace = Namespace::new(&text).unwrap();
                prop_assert_eq!(namespace.as_str(), app.as_str());
                prop_assert_eq!(AppName::new(app.as_str()), Ok(app));
            }
            Err(_) => prop_assert!(text.len() > 120 || !legal(&text.to_ascii_lowercase())),
        }
        if let Ok(protocol) = Protocol::new(&text) {
            prop_assert!(protocol.as_str().len() <= 15 && legal(protocol.as_str()));
        }
    }

    #[test]
    fn every_default_id_is_a_legal_label(address in any::<IpAddr>(), port in 1..=u16::MAX) {
        let id = default_id(address, port);
        prop_assert_eq!(Label::new(id.as_str()), Ok(id));
    }
}
