//! From entries to records: everything that a reader must remember (origin, owner, times to live) is written
//! out, so that each record stands on a line of its own for `domain` to read.
//!
//! Knows nothing of what makes a set of records a zone: `rules` does.

use std::fmt::Write;
use std::str::FromStr;

use domain::base::iana::{Class, Rtype};
use domain::base::name::{FlattenInto, Name, ParsedName};
use domain::base::rdata::{ComposeRecordData, ParseRecordData, RecordData};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry as DomainEntry, ScannedRecord, Zonefile};

use super::entries::{Entries, Entry, Token};
use super::{Fault, RECORDS_MAX, StaticRecord, rules, types};
use crate::zone::settings::ZoneName;

/// Longest time to live (RFC 2181 section 8).
const TTL_SECS_MAX: u32 = i32::MAX as u32;
/// Longest name as text: 255 octets, each an escape.
const NAME_CHARS_MAX: usize = 4 * 255;
/// Longest data: with header, question and the longest owner it still fits a message.
const DATA_OCTETS_MAX: usize = 65_535 - 12 - 259 - 265;

/// All records of a text, in order.
pub(super) fn records(text: &str, zone: &ZoneName) -> Result<Vec<StaticRecord>, Fault> {
    let mut reader = Reader {
        zone,
        origin: zone.as_str().to_owned(),
        owner: String::new(),
        default_ttl: None,
        last_ttl: None,
        text: String::new(),
        records: Vec::new(),
    };
    let mut entries = Entries::new(text);
    while let Some(entry) = entries.next()? {
        reader.read(&entry)?;
    }
    Ok(reader.records)
}

/// What has been read so far.
struct Reader<'z> {
    zone: &'z ZoneName,
    /// What relative names end in, with its final dot.
    origin: String,
    /// The last owner, for indented entries; empty before the first.
    owner: String,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    /// The record at hand, written out. One buffer for all: a long origin under a million short records
    /// must not take their product of memory.
    text: String,
    records: Vec<StaticRecord>,
}

impl Reader<'_> {
    fn read(&mut self, entry: &Entry) -> Result<(), Fault> {
        let first = &entry.tokens[0];
        if !entry.indented && !first.quoted && first.text.starts_with('$') {
            return self.directive(entry);
        }
        let line = first.line;
        if self.records.len() == RECORDS_MAX {
            return Err(Fault::new(line, format!("more than {RECORDS_MAX} records")));
        }
        let rest = if entry.indented {
            &entry.tokens[..]
        } else {
            self.owner = self.absolute(name(first)?);
            &entry.tokens[1..]
        };
        if self.owner.is_empty() {
            let message = "no owner: begin the first record's line with its name";
            return Err(Fault::new(line, message));
        }
        let (ttl, rtype, data) = self.head(rest, line)?;
        if let Some(why) = rules::refused_type(rtype) {
            return Err(Fault::new(line, why));
        }
        self.text.clear();
        // Writing to a string does not fail.
        let _ = write!(self.text, "{} {ttl} IN {}", self.owner, Rtype::from_int(rtype));
        self.data(rtype, data)?;
        self.text.push('\n');
        let record = self.record(line)?;
        self.records.push(record);
        Ok(())
    }

    /// Has `domain` read the record at hand.
    fn record(&self, line: usize) -> Result<StaticRecord, Fault> {
        match Zonefile::from(self.text.as_str()).next_entry() {
            Ok(Some(DomainEntry::Record(record))) => convert(&record, self.zone, line),
            Ok(_) => Err(Fault::new(line, "record is not readable")),
            Err(error) => {
                // Its own position is one in the text that we wrote.
                let error = error.to_string();
                let what = error.splitn(3, ':').last().unwrap_or(&error).trim();
                Err(Fault::new(line, format!("record is not readable: {what}")))
            }
        }
    }

    fn directive(&mut self, entry: &Entry) -> Result<(), Fault> {
        let Token { text, line, .. } = &entry.tokens[0];
        let one = |what: &str| match &entry.tokens[1..] {
            [one] => Ok(one),
            _ => Err(Fault::new(*line, format!("{text} takes one {what}"))),
        };
        match text.to_ascii_uppercase().as_str() {
            "$ORIGIN" => {
                let written = name(one("name")?)?;
                self.origin = self.absolute(written);
                if self.origin.len() > NAME_CHARS_MAX {
                    return Err(Fault::new(*line, "$ORIGIN is longer than a name may be"));
                }
                Ok(())
            }
            "$TTL" => {
                let written = one("time")?;
                let ttl = duration(&written.text).ok_or_else(|| bad_ttl(written))?;
                self.default_ttl = Some(ttl);
                Ok(())
            }
            "$INCLUDE" => {
                Err(Fault::new(*line, "$INCLUDE is not served yet: put the records into this file"))
            }
            _ => Err(Fault::new(*line, format!("{text} is not known: $ORIGIN and $TTL are"))),
        }
    }

    /// Time to live and class in either order, both optional, then the type (RFC 1035 section 5.1).
    fn head<'t>(
        &mut self,
        mut rest: &'t [Token],
        line: usize,
    ) -> Result<(u32, u16, &'t [Token]), Fault> {
        let (mut ttl, mut class) = (None, None);
        loop {
            let Some((token, after)) = rest.split_first() else {
                return Err(Fault::new(line, "record ends before its type"));
            };
            if token.quoted {
                return Err(Fault::new(token.line, "type in quotes"));
            }
            rest = after;
            let digit = token.text.starts_with(|c: char| c.is_ascii_digit());
            if ttl.is_none() && digit {
                ttl = Some(duration(&token.text).ok_or_else(|| bad_ttl(token))?);
            } else if let (None, Some(written)) = (class, class_of(&token.text)) {
                if written != Class::IN {
                    let message = format!("class {written} is not served: only IN is");
                    return Err(Fault::new(token.line, message));
                }
                class = Some(written);
            } else {
                let rtype = Rtype::from_str(&token.text).map_err(|_| {
                    let message = format!("{:?} is no type: unknown ones are TYPEnnn", token.text);
                    Fault::new(token.line, message)
                })?;
                self.last_ttl = ttl.or(self.last_ttl);
                let ttl = ttl.or(self.default_ttl).or(self.last_ttl).ok_or_else(|| {
                    Fault::new(line, "no time to live: give one, or $TTL above the first record")
                })?;
                return Ok((ttl, rtype.to_int(), rest));
            }
        }
    }

    /// The data: names that are `@` become the origin, times of an SOA seconds.
    fn data(&mut self, rtype: u16, data: &[Token]) -> Result<(), Fault> {
        let unknown = data.first().is_some_and(|token| !token.quoted && token.text == "\\#");
        for (i, token) in data.iter().enumerate() {
            self.text.push(' ');
            if token.quoted {
                self.text.push('"');
                self.text.push_str(&token.text);
                self.text.push('"');
            } else if !unknown && is_name(rtype, i, data) {
                let name = self.absolute(name(token)?);
                self.text.push_str(&name);
            } else if !unknown && rtype == types::SOA && (3..=6).contains(&i) {
                let secs = duration(&token.text).ok_or_else(|| bad_ttl(token))?;
                // Writing to a string does not fail.
                let _ = write!(self.text, "{secs}");
            } else {
                self.text.push_str(&token.text);
            }
        }
        Ok(())
    }

    /// A name with all its labels.
    fn absolute(&self, written: &str) -> String {
        match written {
            "@" => self.origin.clone(),
            _ if is_absolute(written) => written.to_owned(),
            _ => format!("{written}.{}", self.origin.strip_prefix('.').unwrap_or(&self.origin)),
        }
    }
}

/// A token that is a name.
fn name(token: &Token) -> Result<&str, Fault> {
    if token.quoted {
        return Err(Fault::new(token.line, "name in quotes"));
    }
    if token.text.len() > NAME_CHARS_MAX {
        return Err(Fault::new(token.line, "name is longer than a name may be"));
    }
    Ok(&token.text)
}

/// Whether a name ends in a dot that is not escaped.
fn is_absolute(name: &str) -> bool {
    let Some(before) = name.strip_suffix('.') else { return false };
    // After `\DDD` come digits, so only a run of backslashes straight before the dot can escape it.
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    backslashes % 2 == 0
}

/// Which fields of a type's data are names, of the types that `domain` reads by their fields.
fn is_name(rtype: u16, field: usize, data: &[Token]) -> bool {
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2..=5 | 7..=9 | 12 => field == 0,
        // SOA, MINFO, RP
        types::SOA | 14 | 17 => field < 2,
        // MX, SVCB, HTTPS
        15 | 64 | 65 => field == 1,
        // SRV
        33 => field == 3,
        // NAPTR
        35 => field == 5,
        // IPSECKEY, whose second field says what the fourth is (RFC 4025 section 2.3)
        45 => field == 3 && data[1].text == "3",
        _ => false,
    }
}

fn class_of(text: &str) -> Option<Class> {
    // `ANY` and `NONE` are classes of questions and updates; `ANY` would be taken for a type's mnemonic.
    Class::from_str(text).ok()
}

/// Seconds, bare or in units of weeks to seconds (`1w2d`, `1h`): at most [`TTL_SECS_MAX`].
fn duration(text: &str) -> Option<u32> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        let (unit, after) = match rest[digits..].chars().next() {
            // A bare number only as the whole.
            None if digits == text.len() => (1, ""),
            Some(c) => {
                let unit = match c.to_ascii_lowercase() {
                    's' => 1,
                    'm' => 60,
                    'h' => 3_600,
                    'd' => 86_400,
                    'w' => 604_800,
                    _ => return None,
                };
                (unit, &rest[digits + c.len_utf8()..])
            }
            None => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = after;
    }
    u32::try_from(total).ok().filter(|secs| !text.is_empty() && *secs <= TTL_SECS_MAX)
}

fn bad_ttl(token: &Token) -> Fault {
    let message = format!(
        "{:?} is no time: write seconds or units (90, 1h30m), at most {TTL_SECS_MAX} s (RFC 2181 section 8)",
        token.text
    );
    Fault::new(token.line, message)
}

/// One record as `domain` read it, in our terms.
fn convert(record: &ScannedRecord, zone: &ZoneName, line: usize) -> Result<StaticRecord, Fault> {
    let owner: Name<Vec<u8>> = record.owner().clone().flatten_into();
    let shown = owner.to_string();
    let mut owner = owner.as_slice().to_ascii_lowercase();
    if !is_below(&owner, zone.wire()) {
        return Err(Fault::new(line, format!("{shown}. is outside the zone {zone}")));
    }
    owner.truncate(owner.len() - zone.wire().len());
    let mut data = Vec::new();
    // Writing to a vector does not fail.
    let Ok(()) = record.data().compose_rdata(&mut data);
    let rtype = record.data().rtype();
    if data.len() > DATA_OCTETS_MAX {
        let message = format!("data is {} octets long: it fits no message", data.len());
        return Err(Fault::new(line, message));
    }
    if matches!(record.data(), ZoneRecordData::Unknown(_)) && !is_well_formed(rtype, &data) {
        return Err(Fault::new(line, format!("data is not what type {rtype} holds")));
    }
    Ok(StaticRecord {
        owner: owner.into(),
        rtype: rtype.to_int(),
        ttl_secs: record.ttl().as_secs(),
        data: data.into(),
        line,
    })
}

/// Whether a name (lower case) is the zone's or below it, label by label.
fn is_below(owner: &[u8], zone: &[u8]) -> bool {
    let mut rest = owner;
    while rest.len() > zone.len() {
        let label = usize::from(rest[0]) + 1;
        let Some(after) = rest.get(label..) else { return false };
        rest = after;
    }
    rest == zone
}

/// Data written as `\#` for a type that we know must be what that type holds, its names uncompressed
/// (RFC 3597 section 5).
fn is_well_formed(rtype: Rtype, data: &[u8]) -> bool {
    let mut parser = Parser::from_ref(data);
    type Parsed<'a> = ZoneRecordData<&'a [u8], ParsedName<&'a [u8]>>;
    let Ok(Some(parsed)) = Parsed::parse_rdata(rtype, &mut parser) else { return false };
    let mut again = Vec::new();
    // Writing to a vector does not fail.
    let Ok(()) = parsed.compose_rdata(&mut again);
    parser.remaining() == 0 && again == data
}
