use proptest::prelude::*;

use super::*;

const APEX: &str = "$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n";

fn parse(text: &str) -> Result<ZoneFile, ZoneFileErrors> {
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
    let ZoneFileErrors(errors) = parse(text).unwrap_err();
    format!("{}: {}", errors[0].line, errors[0].message)
}

/// All that a body is refused for, as `line:column: message`, cut after so many characters.
#[track_caller]
fn all_refused(text: &str, length: usize) -> Vec<String> {
    let ZoneFileErrors(errors) = parse(&format!("{APEX}{text}")).unwrap_err();
    let shown = errors.iter().map(ToString::to_string);
    shown
        .map(|all| all.trim_start_matches("zones/svc.zone:").chars().take(length).collect())
        .collect()
}

/// A zone file among others, by their paths.
fn with_others(text: &str, others: &[(&str, &str)]) -> Result<ZoneFile, ZoneFileErrors> {
    let text = format!("{APEX}{text}");
    ZoneFile::parse_with(Path::new("zones/svc.zone"), &text, &ZoneName::default(), &mut |path| {
        let other = others.iter().find(|(name, _)| Path::new(name) == path);
        other.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
    })
}

#[test]
fn the_sample_is_served() {
    let text = include_str!("../../../docs/examples/svc.zone");
    let records = parse(text).unwrap().records;
    let soa = &records[0];
    assert_eq!((soa.rtype, soa.ttl_secs, soa.place.line, &*soa.owner), (6, 3600, 7, &b""[..]));
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
    assert_eq!(file.records[2..].iter().map(|r| r.place.line).collect::<Vec<_>>(), [4, 7, 8]);
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
    for bad in [
        "TXT \\# 0",
        "TYPE29 \\# 4 00011801",
        "TYPE18 \\# 4 00010000",
        "TYPE18 \\# 4 0001c00c",
        "TYPE37 \\# 0",
        "TYPE108 \\# 7 01020304050607",
    ] {
        assert!(refused(&format!("a {bad}")).starts_with("4: data is not what type"), "{bad}");
    }
    assert_eq!(body("a TYPE18 \\# 5 0001016100"), ["a. 60 18 0001016100"]);
    assert_eq!(body("a TYPE37 \\# 6 000100000005"), ["a. 60 37 000100000005"]);
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
    assert!(refused("@ CNAME b").starts_with("4: CNAME at the zone's own name"));
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    assert!(refused("a NS b").starts_with("4: NS below the zone's own name: a delegation"));
    assert!(refused("*.a NS b").starts_with("4: NS below the zone's own name"));
    assert!(refused("a DNAME b").starts_with("4: DNAME is not served"));
    assert!(refused("$GENERATE 1-2 a$ A 192.0.2.$").starts_with("4: $GENERATE is not known"));
    assert!(refused("a CH A 192.0.2.1").starts_with("4: class CH is not served"));
    assert!(refused("a CLASS3 A 192.0.2.1").starts_with("4: class CH is not served"));
    assert!(refused("a DS 1 8 2 00").starts_with("4: DS belongs to a delegation"));
    for signed in
        ["NSEC b A", "RRSIG x", "NSEC3 x", "NSEC3PARAM x", "SIG x", "NXT x", "TYPE46 \\# 0"]
    {
        assert!(refused(&format!("a {signed}")).starts_with("4: signed zones are not"), "{signed}");
    }
    for key in ["DNSKEY", "CDS", "CDNSKEY"] {
        let said = refused(&format!("@ {key} 1 8 2 00"));
        assert!(said.contains("leave out DNSKEY, CDS and CDNSKEY"), "{said}");
    }
    assert!(refused("@ ZONEMD 1 1 1 00").starts_with("4: ZONEMD is a digest of the whole zone"));
}

#[test]
fn wildcards_stand_anywhere() {
    assert_eq!(body("* A 192.0.2.1"), ["*. 60 1 c0000201"]);
    assert_eq!(body("a.*.b CNAME *"), ["a.*.b. 60 5 012a0373766300"]);
}

#[test]
fn every_type_that_has_a_text_form_is_read() {
    let types = [
        ("A 192.0.2.1", "1 c0000201"),
        ("MD b", "3 01620373766300"),
        ("MF b", "4 01620373766300"),
        ("CNAME b", "5 01620373766300"),
        ("MB b", "7 01620373766300"),
        ("MG b", "8 01620373766300"),
        ("MR b", "9 01620373766300"),
        ("PTR b", "12 01620373766300"),
        ("HINFO x \"y z\"", "13 01780379207a"),
        ("MINFO @ b", "14 037376630001620373766300"),
        ("MX 10 b", "15 000a01620373766300"),
        ("TXT x y", "16 01780179"),
        ("RP @ b", "17 037376630001620373766300"),
        ("AAAA 2001:db8::1", "28 20010db8000000000000000000000001"),
        ("SRV 1 2 3 b", "33 00010002000301620373766300"),
        ("NAPTR 1 2 s SIP+D2U \"\" b", "35 00010002017307534950 2b443255 00 01620373766300"),
        ("SSHFP 4 2 0102", "44 04020102"),
        ("IPSECKEY 10 1 2 192.0.2.1 AQ==", "45 0a0102c000020101"),
        ("TLSA 3 1 1 0102", "52 0301010102"),
        ("OPENPGPKEY AQID", "61 010203"),
        ("SVCB 1 b port=53", "64 000101620373766300 00030002 0035"),
        ("HTTPS 0 b", "65 000001620373766300"),
        ("CAA 0 issue \"ca.example\"", "257 00056973737565 63612e6578616d706c65"),
        ("CLASS1 TYPE1 \\# 4 c0000201", "1 c0000201"),
    ];
    for (written, read) in types {
        let (written, read) = if let Some(rest) = written.strip_prefix("CLASS1 ") {
            (format!("a CLASS1 {rest}"), read)
        } else {
            (format!("a {written}"), read)
        };
        let (number, hex) = read.split_once(' ').unwrap();
        assert_eq!(body(&written), [format!("a. 60 {number} {}", hex.replace(' ', ""))]);
    }
    assert_eq!(body("a EUI48 \\# 6 010203040506"), ["a. 60 108 010203040506"]);
    assert!(refused("a LOC 52 22 23 N 4 53 32 E 1m").starts_with("4: data of LOC are octets here"));
    assert!(refused("a TYPE65280 x").starts_with("4: data of TYPE65280 are octets here"));
}

#[test]
fn all_faults_are_told_each_with_its_place() {
    let text = "a A 192.0.2.300\n  TXT \"open\nb A 192.0.2.1\nc 1x A 192.0.2.1\n\
                d TXT ( x \\1 ;)\n y ) z\ne MX 10 \"x\"\n\
                b CNAME a\nh\u{e4} A 192.0.2.1\n  A 192.0.2.2\n$TTL x\n$BAD\nf TXT ok\nb 7 A 192.0.2.2";
    let expected = [
        "4:5: record is not readable",
        "5:7: quote is not closed",
        "7:3: \"1x\" is no time",
        "8:11: escape has fewer",
        "10:9: name in quotes",
        "11:1: CNAME beside other data",
        "12:2: '\u{e4}' outside quotes",
        "14:6: \"x\" is no time",
        "15:1: $BAD is not known",
        "17:1: A records of one name",
    ];
    let told = all_refused(text, 100);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told:?} is not {expected:?}");
    }
    // Past the bound nothing is told, nor read.
    assert_eq!(all_refused(&"a A x\n".repeat(1_000), 100).len(), FAULTS_MAX);
    // What is missing may be what could not be read.
    let ZoneFileErrors(errors) = parse("@ 5 SOA x\n@ 5 NS ns\n").unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn other_files_are_included_in_place() {
    let others = [
        (
            "zones/hosts.inc",
            "a A 192.0.2.1\n$ORIGIN deep\n$TTL 7\nb A 192.0.2.2\n$INCLUDE more/x.inc\n",
        ),
        ("zones/more/x.inc", "c A 192.0.2.3\n$INCLUDE y.inc other.svc.\n"),
        ("zones/more/y.inc", "  A 192.0.2.4\r\n@ A 192.0.2.5\n"),
    ];
    let text = "first A 192.0.2.9\n$INCLUDE hosts.inc ; note\n  A 192.0.2.10\nlast A 192.0.2.11\n\
                $INCLUDE \"more/y.inc\" twice\n";
    let file = with_others(text, &others).unwrap();
    let shown: Vec<_> = file.records[2..].iter().map(show).collect();
    let expected = [
        "first. 60 1 c0000209",
        "a. 60 1 c0000201",
        "b.deep. 7 1 c0000202",
        "c.deep. 7 1 c0000203",
        "c.deep. 7 1 c0000204",
        "other. 7 1 c0000205",
        // Origin, owner and times are again what they were.
        "first. 60 1 c000020a",
        "last. 60 1 c000020b",
        "last. 60 1 c0000204",
        "twice. 60 1 c0000205",
    ];
    assert_eq!(shown, expected);
    let files = ["svc.zone", "hosts.inc", "more/x.inc", "more/y.inc"]
        .map(|name| Path::new("zones").join(name));
    assert_eq!(file.files.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>(), files);
    let place = file.records[6].place;
    assert_eq!((place.file, place.line, place.column), (3, 1, 3));
}

#[test]
fn a_fault_in_an_included_file_is_told_where_it_stands() {
    let said =
        |text: &str, others: &[(&str, &str)]| with_others(text, others).unwrap_err().to_string();
    let broken = said("$INCLUDE a.inc\nx A 192.0.2.1\n", &[("zones/a.inc", "\n  x CNAME y\n")]);
    // The owner is the includer's last: there is NS beside it.
    assert!(broken.starts_with("zones/a.inc:2:3: \"x\" is no type"), "{broken}");
    let broken = said("x A 192.0.2.1\n$INCLUDE a.inc\n", &[("zones/a.inc", "x CNAME y\n")]);
    let expected = "zones/a.inc:1:1: CNAME beside other data (zones/svc.zone:4)";
    assert!(broken.starts_with(expected), "{broken}");
    let missing = said("$INCLUDE none.inc", &[]);
    assert_eq!(missing, "zones/svc.zone:4:10: cannot include zones/none.inc: no such file");
    let itself = said(
        "$INCLUDE a.inc",
        &[("zones/a.inc", "$INCLUDE b.inc"), ("zones/b.inc", "\n$INCLUDE a.inc")],
    );
    assert_eq!(itself, "zones/b.inc:2:10: zones/a.inc is included within itself");
    for bad in ["$INCLUDE", "$INCLUDE a b c", "$INCLUDE a\\b"] {
        assert!(said(bad, &[]).starts_with("zones/svc.zone:4:"), "{bad}");
    }
    let loose = parse(&format!("{APEX}$INCLUDE a.inc")).unwrap_err().to_string();
    assert!(loose.ends_with("cannot include zones/a.inc: this text stands alone"), "{loose}");
}

#[test]
fn inclusion_is_bounded_in_depth_number_and_size() {
    let parse = |text: &str, read: &mut ReadText<'_>| {
        let text = format!("{APEX}{text}");
        ZoneFile::parse_with(Path::new("svc.zone"), &text, &ZoneName::default(), read)
    };
    let mut depth = 0;
    let deeper = parse("$INCLUDE 0.inc", &mut |_| {
        depth += 1;
        Ok(format!("$INCLUDE {depth}.inc"))
    });
    assert_eq!(depth, INCLUDE_DEPTH_MAX - 1);
    assert!(deeper.unwrap_err().to_string().contains("at most 8 are read"));
    let mut reads = 0;
    let many = parse(&"$INCLUDE a.inc\n".repeat(INCLUDES_MAX + 1), &mut |_| {
        reads += 1;
        Ok(String::new())
    });
    assert!(many.unwrap_err().to_string().contains("more than 1000 files are included"));
    assert_eq!(reads, INCLUDES_MAX);
    let mut large = 0;
    let large_ones = parse(&"$INCLUDE a.inc\n".repeat(100), &mut |_| {
        large += 1;
        Ok(";".repeat(FILE_OCTETS_MAX / 4))
    });
    assert!(large_ones.unwrap_err().to_string().starts_with("a.inc: is too long"));
    assert_eq!(large, 4);
}

#[test]
fn names_stay_within_the_zone_and_within_their_length() {
    assert!(
        refused("a.example. A 192.0.2.1").starts_with("4: a.example. is outside the zone svc.")
    );
    assert!(refused("asvc. A 192.0.2.1").starts_with("4: asvc. is outside"));
    for empty in
        ["a..b A 192.0.2.1", ".a A 192.0.2.1", "a CNAME b..c", "a MX 1 .svc.", ".. A 192.0.2.1"]
    {
        assert!(refused(empty).contains("name has an empty label"), "{empty}");
    }
    assert_eq!(body("a\\..b CNAME ."), ["a..b. 60 5 00"]);
    assert!(refused("x\\.svc. A 192.0.2.1").starts_with("4: "), "a dot in a label is no separator");
    assert!(refused(&format!("{} A 192.0.2.1", "x".repeat(64))).starts_with("4: record is not"));
    let long = format!("{0}.{0}.{0}.{0}", "x".repeat(62));
    assert!(refused(&format!("{long} A 192.0.2.1")).starts_with("4: record is not"));
    assert!(
        refused(&format!("{} A 192.0.2.1", "x.".repeat(2_000))).starts_with("4: name is longer")
    );
    let origins = "$ORIGIN x\n".repeat(1_000);
    assert!(refused(&origins).contains("origin is longer"));
}

#[test]
fn a_file_has_a_greatest_size() {
    let long = ";".repeat(FILE_OCTETS_MAX + 1);
    assert!(refused_whole(&long).starts_with("0: is too long: with all that is included 16777217"));
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
            "CLASS1",
            "$INCLUDE x",
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
