use proptest::prelude::*;

use super::*;

const APEX: &str = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n";

fn parse(text: &str) -> Result<ZoneFile, ZoneFileError> {
    ZoneFile::parse(Path::new("zones/svc.zone"), text, &ZoneName::default())
}

/// The records that a body gives beside the apex, as `owner ttl type data`.
fn body(text: &str) -> Vec<String> {
    let file = parse(&format!("{APEX}{text}")).unwrap();
    file.records[2..].iter().map(show).collect()
}

fn show(record: &StaticRecord) -> String {
    let hex = data_encoding::HEXLOWER.encode(&record.data);
    format!("{} {} {} {hex}", owner(&record.owner), record.ttl_secs, record.rtype)
}

fn owner(wire: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), wire);
    while let Some((length, after)) = rest.split_first() {
        let (label, after) = after.split_at(usize::from(*length));
        text.push_str(&format!("{}.", label.escape_ascii()));
        rest = after;
    }
    text
}

/// Line and message of what a body, three lines below the file's begin, is refused for.
#[track_caller]
fn refused(text: &str) -> String {
    refused_whole(&format!("{APEX}{text}"))
}

#[track_caller]
fn refused_whole(text: &str) -> String {
    let shown = parse(text).unwrap_err().to_string();
    shown.strip_prefix("zones/svc.zone:").unwrap().to_owned()
}

#[test]
fn the_sample_is_served() {
    let text = include_str!("../../../docs/examples/svc.zone");
    let records = parse(text).unwrap().records;
    let soa = &records[0];
    assert_eq!((soa.rtype, soa.ttl_secs, soa.line, &*soa.owner), (6, 3600, 6, &b""[..]));
    let times: Vec<u8> =
        [1_u32, 3600, 900, 604_800, 1].iter().flat_map(|n| n.to_be_bytes()).collect();
    assert!(soa.data.ends_with(&times), "{:?}", soa.data);
    assert!(soa.data.starts_with(b"\x03ns1\x03svc\x00\x0ahostmaster\x03svc\x00"));
    assert_eq!(records.len(), 10);
}

#[test]
fn at_signs_in_data_are_the_origin() {
    assert_eq!(body("a CNAME @"), ["a. 60 5 0373766300"]);
    assert_eq!(body("a SRV 1 2 3 @"), ["a. 60 33 0001000200030373766300"]);
    assert_eq!(body("$ORIGIN b\na PTR @\n"), ["a.b. 60 12 01620373766300"]);
    assert_eq!(body("a MX 5 @"), ["a. 60 15 00050373766300"]);
    assert_eq!(body("a IPSECKEY 10 3 2 @ AQ=="), ["a. 60 45 0a03020373766300".to_owned() + "01"]);
    assert_eq!(body("a TXT @ \"@\""), ["a. 60 16 01400140"], "in a text it is a character");
}

#[test]
fn owners_are_lower_case_and_relative_while_data_keeps_its_case() {
    assert_eq!(body("Foo.SVC. PTR Bar.Example."), ["foo. 60 12 03426172074578616d706c6500"]);
    assert_eq!(body("_x_y.A_b A 192.0.2.1"), ["_x_y.a_b. 60 1 c0000201"]);
    assert_eq!(body("a\\.b\\032c A 192.0.2.1"), ["a.b c. 60 1 c0000201"]);
}

#[test]
fn entries_may_be_indented_and_run_over_lines() {
    let text = "a A 192.0.2.1 ; first\n\n  ; nothing\n\tA 192.0.2.2\nb TXT ( \"x;y\" ; note )\n  \"(\" )\r\n";
    assert_eq!(body(text), ["a. 60 1 c0000201", "a. 60 1 c0000202", "b. 60 16 03783b790128"]);
    let file = parse(&format!("{APEX}{text}")).unwrap();
    assert_eq!(file.records[2..].iter().map(|r| r.line).collect::<Vec<_>>(), [4, 7, 8]);
}

#[test]
fn times_have_units_in_any_place_of_a_time() {
    assert_eq!(body("a 1d12h A 192.0.2.1"), ["a. 129600 1 c0000201"]);
    assert_eq!(body("a IN 1W A 192.0.2.1"), ["a. 604800 1 c0000201"]);
    assert_eq!(
        body("a 2m IN A 192.0.2.1\nb 5 A 192.0.2.1"),
        ["a. 120 1 c0000201", "b. 5 1 c0000201"]
    );
    for bad in ["1x", "1h5", "2147483648", "99999999999999999999w"] {
        assert!(refused(&format!("a {bad} A 192.0.2.1")).starts_with("4: "), "{bad}");
    }
    assert!(refused_whole("@ SOA ns host 1 2 3 4 5\n").starts_with("1: no time to live"));
}

#[test]
fn types_unknown_to_us_are_octets() {
    assert_eq!(body("a TYPE65280 \\# 3 01 0203"), ["a. 60 65280 010203"]);
    assert_eq!(body("a A \\# 4 C0000201"), ["a. 60 1 c0000201"]);
    assert!(refused("a A \\# 3 c00002").starts_with("4: data is not what type A holds"));
    assert!(refused("a CNAME \\# 2 c00c").starts_with("4: data is not"), "a compressed name");
    assert!(refused("a TYPE65280 \\# 3 0102").starts_with("4: record is not readable"));
    assert!(refused("a TYPE41 \\# 0").starts_with("4: a type of questions"));
    assert!(refused("a NONSENSE x").starts_with("4: \"NONSENSE\" is no type"));
}

#[test]
fn texts_may_hold_any_octets() {
    assert_eq!(body("a TXT \"h\u{e4}\" x\\255"), ["a. 60 16 0368c3a40278ff"]);
    assert_eq!(body("a TXT \"\""), ["a. 60 16 00"]);
    assert!(refused("h\u{e4} A 192.0.2.1").starts_with("4: 'ä' outside quotes"));
}

#[test]
fn what_does_not_end_is_refused_where_it_begins() {
    assert!(refused("a TXT \"open\n\"").starts_with("4: quote is not closed"));
    assert!(refused("a TXT ( x\n\n\n").starts_with("4: '(' is never closed"));
    assert!(refused("a TXT x )").starts_with("4: ')' without '('"));
    assert!(refused("a TXT ((x))").starts_with("4: '(' inside parentheses"));
    assert!(refused("a TXT x\"y\"").starts_with("4: quote inside a word"));
    assert!(refused("a TXT \\256").starts_with("4: escape \\256 is above \\255"));
    assert!(refused("a TXT \\1x").starts_with("4: escape has fewer"));
    assert!(refused("a TXT \\").starts_with("4: backslash at the end"));
    assert!(refused("a TXT \u{1}").starts_with("4: control character"));
    assert!(refused("a A").starts_with("4: record is not readable"));
    assert!(refused("a").starts_with("4: record ends before its type"));
}

#[test]
fn a_zone_has_one_soa_and_an_ns_at_its_apex() {
    assert!(refused_whole("").starts_with("0: has no SOA record"));
    assert!(refused_whole("@ 1 SOA ns host 1 2 3 4 5\n").starts_with("0: has no NS record"));
    assert!(
        refused("\n@ SOA ns host 2 2 3 4 5")
            .starts_with("5: second SOA record, the first is on line 2")
    );
    assert!(refused("a SOA ns host 2 2 3 4 5").starts_with("4: SOA below the zone's own name"));
}

#[test]
fn records_agree_with_one_another() {
    assert_eq!(body("a A 192.0.2.1\na A 192.0.2.1"), ["a. 60 1 c0000201"], "twice is once");
    assert!(
        refused("a 5 A 192.0.2.1\na 6 A 192.0.2.2")
            .starts_with("5: A records of one name have times to live 5 (line 4) and 6")
    );
    assert!(refused("a A 192.0.2.1\na CNAME b").starts_with("5: CNAME beside other data (line 4)"));
    assert!(refused("a CNAME b\na CNAME c").starts_with("5: CNAME beside"));
    assert!(refused("A CNAME b\na TXT x").starts_with("5: CNAME beside"), "whatever the case");
    assert!(refused("@ CNAME b").starts_with("4: CNAME beside"));
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    assert!(refused("a NS b").starts_with("4: NS below the zone's own name: delegations"));
    assert!(refused("a DNAME b").starts_with("4: DNAME is not served yet"));
    assert!(refused("* A 192.0.2.1").starts_with("4: wildcards are not served yet"));
    assert!(refused("a.* A 192.0.2.1").starts_with("4: wildcards are not served yet"));
    assert!(refused("$INCLUDE other.zone").starts_with("4: $INCLUDE is not served yet"));
    assert!(refused("$GENERATE 1-2 a$ A 192.0.2.$").starts_with("4: $GENERATE is not known"));
    assert!(refused("a CH A 192.0.2.1").starts_with("4: class CH is not served"));
    assert!(refused("a DS 1 8 2 00").starts_with("4: DS belongs to a delegation"));
    assert!(refused("a NSEC b A").starts_with("4: signed zones are not served"));
}

#[test]
fn names_stay_within_the_zone_and_within_their_length() {
    assert!(
        refused("a.example. A 192.0.2.1").starts_with("4: a.example. is outside the zone svc.")
    );
    assert!(refused("asvc. A 192.0.2.1").starts_with("4: asvc. is outside"));
    assert!(refused("x\\.svc. A 192.0.2.1").starts_with("4: "), "a dot in a label is no separator");
    assert!(refused(&format!("{} A 192.0.2.1", "x".repeat(64))).starts_with("4: record is not"));
    let long = format!("{0}.{0}.{0}.{0}", "x".repeat(62));
    assert!(refused(&format!("{long} A 192.0.2.1")).starts_with("4: record is not"));
    assert!(
        refused(&format!("{} A 192.0.2.1", "x.".repeat(2_000))).starts_with("4: name is longer")
    );
    let origins = "$ORIGIN x\n".repeat(1_000);
    assert!(refused(&origins).contains("$ORIGIN is longer"));
}

#[test]
fn a_file_has_a_greatest_size() {
    let long = ";".repeat(FILE_OCTETS_MAX + 1);
    assert!(refused_whole(&long).starts_with("0: is 16777217 octets long"));
}

/// Pieces that zone files are made of, so that random texts get past the first token.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "@",
            "a",
            "svc.",
            "a.svc.",
            " ",
            "\t",
            "\n",
            "\r\n",
            "(",
            ")",
            ";",
            "\"",
            "\\",
            "\\#",
            "\\.",
            "\\065",
            "60",
            "1h",
            "IN",
            "CH",
            "$TTL 5\n",
            "$ORIGIN b\n",
            "A",
            "AAAA",
            "CNAME",
            "MX",
            "SRV",
            "SOA",
            "TXT",
            "NAPTR",
            "CAA",
            "TLSA",
            "HINFO",
            "TYPE1",
            "TYPE99",
            "192.0.2.1",
            "::1",
            "*",
            "4",
            "c0000201",
            "\"x y\"",
            "\u{e4}",
            "DNSKEY",
            "CDS",
            "SVCB",
            "HTTPS",
            "IPSECKEY",
            "RP",
            "OPENPGPKEY",
            "SSHFP",
            "ZONEMD",
            "NSEC",
            "RRSIG",
            "DS",
            "NSEC3",
            "NSEC3PARAM",
            "NULL",
            "1",
            "0",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,8}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("{APEX}{text}"));
    }

    #[test]
    fn any_pieces_are_read_or_refused(pieces in proptest::collection::vec((piece(), "[ ]?"), 0..40)) {
        let text: String = pieces.into_iter().flat_map(|(piece, space)| [piece, space]).collect();
        if let Ok(file) = parse(&format!("{APEX}{text}")) {
            prop_assert_eq!(file.records[0].rtype, 6);
            for record in &file.records {
                prop_assert!(record.owner.len() <= 250);
                prop_assert!(!record.owner.iter().any(u8::is_ascii_uppercase));
            }
        }
    }

    #[test]
    fn any_data_is_read_or_refused(
        rtype in prop_oneof![(0_u16..70).prop_map(|n| format!("TYPE{n}")), Just("TYPE257".to_owned())],
        data in proptest::collection::vec(piece(), 0..8),
    ) {
        let _ = parse(&format!("{APEX}a {rtype} {}", data.join(" ")));
    }
}
