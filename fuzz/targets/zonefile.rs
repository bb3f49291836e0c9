//! Any text is read as a zone file with an SOA and an NS at its apex, all of whose records can be answered; or it is
//! refused, with places in that text.

#![cfg_attr(not(test), no_main)]

#[path = "../../tests/support/answered.rs"]
mod answered;

use std::path::Path;

use rollcall::zone::zonefile::{FAULTS_MAX, ZoneFile, ZoneFileErrors};
use rollcall::zone::{ZoneName, wire};

const SOA: u16 = 6;
const NS: u16 = 2;
/// Records that are asked for: more would only be more of the same.
const ASKED_MAX: usize = 50;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    match ZoneFile::parse(Path::new("svc.zone"), text, &ZoneName::default()) {
        Ok(file) => {
            let at_apex = |rtype| {
                file.records.iter().filter(|r| r.rtype == rtype && r.owner.is_empty()).count()
            };
            assert_eq!(at_apex(SOA), 1);
            assert!(at_apex(NS) > 0);
            for record in &file.records {
                assert!((1..=lines).contains(&(record.place.line as usize)), "{record:?}");
                assert!(is_relative(&record.owner), "{record:?}");
            }
            answered::all_are_answered(file, ASKED_MAX);
        }
        Err(ZoneFileErrors(errors)) => {
            assert!((1..=FAULTS_MAX).contains(&errors.len()));
            for error in errors {
                assert!(error.line <= lines.max(1), "{error}");
                assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error}");
            }
        }
    }
});

/// Whether a name is made of whole labels.
fn is_relative(name: &[u8]) -> bool {
    let labels = std::iter::successors(wire::split(name), |(_, rest)| wire::split(rest));
    labels.map(|(label, _)| 1 + label.len()).sum::<usize>() == name.len()
}
