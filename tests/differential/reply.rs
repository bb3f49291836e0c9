//! One reply as hickory reads it.

use std::collections::BTreeSet;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::world::{SOA, without_serial};

/// What is wrong, in words.
pub(crate) type Wrong = String;

pub(crate) const FORMERR: u16 = 1;
pub(crate) const NOTIMP: u16 = 4;
/// RFC 6891 section 9.
pub(crate) const BADVERS: u16 = 16;

/// One reply, read.
pub(crate) struct Reply<'r> {
    pub(crate) octets: &'r [u8],
    pub(crate) message: Message,
    /// With its upper bits.
    pub(crate) rcode: u16,
    pub(crate) opcode: u8,
    /// Whether the question came back.
    pub(crate) question: bool,
}

impl<'r> Reply<'r> {
    pub(crate) fn read(octets: &'r [u8]) -> Result<Self, Wrong> {
        let mut decoder = BinDecoder::new(octets);
        let message = Message::read(&mut decoder).map_err(|why| format!("not decodable: {why}"))?;
        hold!(decoder.is_empty(), "octets behind the last record");
        let high = message.edns.as_ref().map_or(0, |edns| u16::from(edns.rcode_high()));
        let rcode = high << 4 | u16::from(octets[3] & 15);
        let read = match message.metadata.response_code {
            ResponseCode::BADSIG => BADVERS,
            other => u16::from(other),
        };
        hold!(rcode == read, "rcode {rcode} is read as {read}");
        let question = match octets[4..6] {
            [0, 0] => false,
            [0, 1] => true,
            _ => return Err("QDCOUNT".to_owned()),
        };
        Ok(Self { octets, message, rcode, opcode: octets[2] >> 3 & 15, question })
    }

    /// Id, flags and question are those of the query.
    pub(crate) fn belongs_to(&self, query: &[u8]) -> Result<(), Wrong> {
        let reply = self.octets;
        hold!(reply[..2] == query[..2], "id");
        hold!(reply[2] & 0x80 != 0, "QR is clear");
        hold!(reply[2] & 0x79 == query[2] & 0x79, "opcode or RD differ");
        hold!(reply[3] & 0xf0 == query[3] & 0x10, "RA, Z, AD or CD");
        if !self.question {
            hold!(reply.len() == 12, "records without a question");
            hold!(matches!(self.rcode, FORMERR | NOTIMP), "rcode {}", self.rcode);
            return Ok(());
        }
        let mut end = 12;
        while reply[end] != 0 {
            end += usize::from(reply[end]) + 1;
        }
        end += 5;
        hold!(query.get(12..end) == Some(&reply[12..end]), "the question is another");
        Ok(())
    }

    /// Whether the answer holds nothing, or aliases that lead to nothing of the type asked for.
    pub(crate) fn leads_nowhere(&self) -> bool {
        let asked = self.message.queries.first().map(hickory_proto::op::Query::query_type);
        let about_alias = matches!(asked, Some(RecordType::CNAME | RecordType::ANY));
        let mut answers = self.message.answers.iter();
        answers.all(|record| !about_alias && record.record_type() == RecordType::CNAME)
    }

    pub(crate) fn truncated(&self) -> bool {
        self.octets[2] & 2 != 0
    }

    pub(crate) fn authoritative(&self) -> bool {
        self.octets[2] & 4 != 0
    }

    pub(crate) fn extended_errors(&self) -> Result<Vec<u16>, Wrong> {
        let Some(edns) = &self.message.edns else { return Ok(Vec::new()) };
        let each = edns.options().options.iter().map(|option| match option {
            (EdnsCode::Unknown(15), EdnsOption::Unknown(_, data)) => match data[..] {
                [high, low] => Ok(u16::from_be_bytes([high, low])),
                _ => Err(format!("an extended error of {data:?}")),
            },
            other => Err(format!("option {other:?}")),
        });
        each.collect()
    }
}

/// A record's owner and data.
pub(crate) fn text(record: &Record) -> (Vec<u8>, String) {
    let data = record.data.to_string();
    let data = if u16::from(record.record_type()) == SOA { without_serial(&data) } else { data };
    (lower(record), data)
}

/// All of them, with type and time to live.
pub(crate) fn texts(records: &[Record]) -> BTreeSet<((Vec<u8>, String), u16, u32)> {
    records.iter().map(|record| (text(record), record.record_type().into(), record.ttl)).collect()
}

/// A record's owner in wire form and lower case.
pub(crate) fn lower(record: &Record) -> Vec<u8> {
    name_octets(&record.name)
}

fn name_octets(name: &Name) -> Vec<u8> {
    let mut octets = Vec::with_capacity(name.len());
    for label in name.iter() {
        octets.push(label.len() as u8);
        octets.extend(label.to_ascii_lowercase());
    }
    octets.push(0);
    octets
}

/// The host that a record names and a client will want the addresses of.
pub(crate) fn target(record: &Record) -> Option<Vec<u8>> {
    match &record.data {
        RData::SRV(srv) => Some(name_octets(&srv.target)),
        RData::NS(ns) => Some(name_octets(&ns.0)),
        RData::MX(mx) => Some(name_octets(&mx.exchange)),
        _ => None,
    }
}

/// Octets of a record whose owner is a pointer, at most.
pub(crate) fn octets(record: &Record) -> usize {
    12 + match &record.data {
        RData::A(_) => 4,
        RData::AAAA(_) => 16,
        RData::SRV(srv) => 6 + name_octets(&srv.target).len(),
        // Of others there are never too many here.
        _ => 512,
    }
}
