//! Records that have no app, as SkyDNS has them, into a zone file.
//!
//! Knows nothing of which records a zone has.

use std::path::Path;
use std::sync::Arc;

use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinDecodable as _;
use serde_json::{Value, json};

use super::{Args, failed, print_skipped, skipped_json};
use crate::cli::error::{DONE, Error, Outcome, REFUSED};
use crate::cli::{output, zoneform};
use crate::config::io_reason;
use crate::files;
use crate::layout::foreign::Foreign;
use crate::moving::{Permanent, ZoneRecords};
use crate::registry::Registry as _;
use crate::registry::etcd::EtcdRegistry;
use crate::zone::ZoneName;
use crate::zone::statics::RrSet;

/// Class IN.
const IN: u16 = 1;

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// It was written, or would be.
    Written,
    /// It holds all that already.
    Unchanged,
}

pub(super) async fn import(
    args: &Args,
    etcd: &EtcdRegistry,
    layout: &Foreign,
    permanent: Permanent,
) -> Outcome {
    let (Some(zone), Some(file)) = (&args.zone, &args.zone_file) else {
        let system = layout.system;
        return Err(Error::Usage(format!(
            "{system} has records of names, which go into a zone file: give --zone and --zone-file"
        )));
    };
    let entries = etcd.list(layout.prefix.as_bytes(), false, None).await.map_err(failed)?.entries;
    if entries.is_empty() {
        return Err(super::nothing_below(&layout.prefix));
    }
    let records = ZoneRecords::of(layout, &entries, zone, permanent);
    let mut text = format!("; {zone} as it was below {} in etcd\n", layout.prefix);
    let mut lines = 0;
    for line in records.sets.iter().flat_map(|(owner, set)| texts(owner, set)) {
        text.push_str(&line?);
        text.push('\n');
        lines += 1;
    }
    let became = if args.dry_run { File::Written } else { write(file, &text, args.replace)? };
    if args.json {
        output::json(&report(args, zone, file, lines, became, &records))?;
    } else {
        if args.dry_run {
            output::text(text.as_bytes())?;
        }
        print_skipped(&records.skipped)?;
        let (skipped, file) = (records.skipped.len(), file.display());
        let what = match became {
            File::Unchanged => "are",
            File::Written if args.dry_run => "would be",
            File::Written => "are now",
        };
        output::line(&format!(
            "{lines} records of {zone} {what} in {file}, {skipped} keys skipped"
        ))?;
    }
    Ok(if records.skipped.is_empty() { DONE } else { REFUSED })
}

fn report(
    args: &Args,
    zone: &ZoneName,
    file: &Path,
    lines: usize,
    became: File,
    records: &ZoneRecords,
) -> Value {
    json!({
        "dry_run": args.dry_run,
        "zone": zone.as_str(),
        "zone_file": file,
        "records": lines,
        "changed": became == File::Written,
        "skipped": skipped_json(&records.skipped),
    })
}

/// The records of a set, one a line.
fn texts(owner: &[u8], set: &RrSet) -> Vec<Result<String, Error>> {
    let text = |data: &Arc<[u8]>| {
        let length = u16::try_from(data.len()).map_err(odd)?;
        let head = [&set.rtype.to_be_bytes()[..], &IN.to_be_bytes(), &set.ttl_secs.to_be_bytes()];
        let octets = [owner, &head.concat(), &length.to_be_bytes(), data].concat();
        Record::from_bytes(&octets).map(|record| zoneform::line(&record)).map_err(odd)
    };
    set.data.iter().map(text).collect()
}

fn odd(error: impl std::fmt::Display) -> Error {
    Error::Refused(format!("a record can't be written: {error}"))
}

/// Writes a file as a whole, or not at all. One that holds something else is not overwritten unless that is asked for.
fn write(file: &Path, text: &str, replace: bool) -> Result<File, Error> {
    let cannot = |error: std::io::Error| {
        Error::Refused(format!("cannot write {}: {}", file.display(), io_reason(&error)))
    };
    match std::fs::read(file) {
        Ok(there) if there == text.as_bytes() => return Ok(File::Unchanged),
        Ok(_) if !replace => {
            let file = file.display();
            return Err(Error::Refused(format!(
                "{file} is there already: --replace overwrites it"
            )));
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    files::replace(file, text.as_bytes()).map_err(cannot)?;
    Ok(File::Written)
}
