//! Any text is read as a zone file with an SOA and an NS at its apex, or refused with a line of that text.

#![cfg_attr(not(test), no_main)]

use std::path::Path;

use rollcall::zone::ZoneName;
use rollcall::zone::zonefile::ZoneFile;

const SOA: u16 = 6;
const NS: u16 = 2;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match ZoneFile::parse(Path::new("svc.zone"), text, &ZoneName::default()) {
        Ok(file) => {
            let at_apex = |rtype| {
                file.records.iter().filter(|r| r.rtype == rtype && r.owner.is_empty()).count()
            };
            assert_eq!(at_apex(SOA), 1);
            assert!(at_apex(NS) > 0);
            let lines = text.lines().count();
            let in_text = |line: u32| (1..=lines).contains(&(line as usize));
            assert!(file.records.iter().all(|record| in_text(record.place.line)));
        }
        Err(refused) => {
            assert!(!refused.0.is_empty(), "refused for nothing");
            for fault in refused.0 {
                assert!(fault.line <= text.lines().count().max(1), "{fault}");
                assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault}");
            }
        }
    }
});
