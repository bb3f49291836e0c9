//! One record, written out in full on one line, to wire form: what `domain` does for us.
//!
//! Knows nothing of what stands on other lines.

use std::fmt::Write;

use domain::base::iana::Rtype;
use domain::base::name::{FlattenInto, Name, ParsedName};
use domain::base::rdata::{ComposeRecordData, ParseRecordData, RecordData};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry as DomainEntry, ScannedRecord, Zonefile};

use super::{Fault, Place, StaticRecord, known};
use crate::zone::settings::ZoneName;

/// Longest data: with header, question and the longest owner it still fits a message.
const DATA_OCTETS_MAX: usize = 65_535 - 12 - 259 - 265;
/// What `domain` says of a token behind a record's data.
const TOO_MANY: &str = "trailing tokens";

/// A record's line, and where each of its parts stands in the file.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    /// Where a part begins in the text, and in the file.
    parts: Vec<(usize, Place)>,
}

impl Line {
    /// Begins anew. The buffer stays: a long origin under a million short records must not take their product of
    /// memory.
    pub(super) fn begin(&mut self, owner: &str, place: Place, ttl_secs: u32, rtype: Rtype) {
        self.text.clear();
        self.parts.clear();
        self.parts.push((0, place));
        // Writing to a string does not fail.
        let _ = write!(self.text, "{owner} {ttl_secs} IN {rtype}");
    }

    /// Adds a part of the data that stands there in the file.
    pub(super) fn push(&mut self, place: Place, part: std::fmt::Arguments<'_>) {
        self.text.push(' ');
        self.parts.push((self.text.len(), place));
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(part);
    }

    /// Has `domain` read it.
    pub(super) fn record(&mut self, zone: &ZoneName) -> Result<StaticRecord, Fault> {
        self.text.push('\n');
        let place = self.parts.first().map(|(_, place)| *place).unwrap_or_default();
        match Zonefile::from(self.text.as_str()).next_entry() {
            Ok(Some(DomainEntry::Record(record))) => convert(&record, zone, place),
            Ok(_) => Err(Fault::new(place, "record is not readable")),
            Err(error) => {
                // `line:column: what`, in the text that we wrote.
                let error = error.to_string();
                let mut parts = error.splitn(3, ':');
                let (line, column) = (parts.next(), parts.next());
                let what = parts.next().unwrap_or(&error).trim();
                let read = match column.and_then(|column| column.parse::<usize>().ok()) {
                    // It stands at the token that is too many, else behind what was read last.
                    Some(column) if what == TOO_MANY => column.saturating_sub(1),
                    Some(column) if line == Some("1") => column.saturating_sub(2),
                    _ => self.text.len(),
                };
                Err(Fault::new(self.place_of(read), format!("record is not readable: {what}")))
            }
        }
    }

    /// The place in the file of the part that an octet of the text belongs to.
    fn place_of(&self, octet: usize) -> Place {
        let at = self.parts.partition_point(|(start, _)| *start <= octet);
        self.parts.get(at.saturating_sub(1)).map(|(_, place)| *place).unwrap_or_default()
    }
}

/// One record as `domain` read it, in our terms.
fn convert(record: &ScannedRecord, zone: &ZoneName, place: Place) -> Result<StaticRecord, Fault> {
    let owner: Name<Vec<u8>> = record.owner().clone().flatten_into();
    let shown = owner.to_string();
    let owner = owner.as_slice().to_ascii_lowercase();
    let Some(owner) = zone.relative(&owner) else {
        return Err(Fault::new(place, format!("{shown}. is outside the zone {zone}")));
    };
    let mut data = Vec::new();
    // Writing to a vector does not fail.
    let Ok(()) = record.data().compose_rdata(&mut data);
    let rtype = record.data().rtype();
    if data.len() > DATA_OCTETS_MAX {
        let message = format!("data is {} octets long: it fits no message", data.len());
        return Err(Fault::new(place, message));
    }
    if matches!(record.data(), ZoneRecordData::Unknown(_)) && !is_well_formed(rtype, &data) {
        return Err(Fault::new(place, format!("data is not what type {rtype} holds")));
    }
    Ok(StaticRecord {
        owner: owner.into(),
        rtype: rtype.to_int(),
        ttl_secs: record.ttl().as_secs(),
        data: data.into(),
        place,
    })
}

/// Data written as `\#` for a type that is known must be what that type holds, its names uncompressed
/// (RFC 3597 section 5).
fn is_well_formed(rtype: Rtype, data: &[u8]) -> bool {
    if let Some(whole) = known::are_whole(rtype, data) {
        return whole;
    }
    // `domain` takes it, but one string is the least (RFC 1035 section 3.3.14).
    if rtype == Rtype::TXT && data.is_empty() {
        return false;
    }
    let mut parser = Parser::from_ref(data);
    type Parsed<'a> = ZoneRecordData<&'a [u8], ParsedName<&'a [u8]>>;
    let Ok(Some(parsed)) = Parsed::parse_rdata(rtype, &mut parser) else { return false };
    let mut again = Vec::new();
    // Writing to a vector does not fail.
    let Ok(()) = parsed.compose_rdata(&mut again);
    parser.remaining() == 0 && again == data
}
