//! Replies to forwarded questions: the client's own id, question, RD and CD around what was heard.
//!
//! RA is set, since the question was forwarded; AA and AD are clear, since nothing of it is ours to vouch for, unless all
//! of it is ours. What does not fit sets TC, and no record is cut (RFC 2181 section 9).
//!
//! Knows nothing of where answers come from.

use std::net::IpAddr;

use hickory_resolver::MAX_TTL;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::proto::serialize::binary::{BinEncodable as _, BinEncoder, NameEncoding};

use super::heard::Heard;
use super::name::{suffix_at, wire};
use crate::dns::answer::codes::{AA, COPIED, QR, RA, TC};
use crate::dns::answer::policy::Policy;
use crate::dns::answer::query::{self, Header, Question};
use crate::dns::answer::reply::{
    ExtendedError, Full, MESSAGE_OCTETS_MAX, Options, QUESTION_PLACE, Reply, Section,
};
use crate::dns::transport::Transport;

/// A client's question, as far as its reply depends on it.
#[derive(Debug)]
pub(super) struct Asked<'q> {
    pub(super) header: Header,
    pub(super) question: Question,
    /// The question as the client wrote it.
    pub(super) written: &'q [u8],
    pub(super) dnssec_ok: bool,
    limit: usize,
    options: Options,
}

impl<'q> Asked<'q> {
    /// Reads a query that can be answered, as it can when `answer()` says that it is to be forwarded.
    pub(super) fn read(
        query: &'q [u8],
        client: IpAddr,
        transport: Transport,
        (policy, now_secs): (&Policy, u32),
    ) -> Option<Self> {
        let header = Header::read(query)?;
        let question = Question::read(query)?;
        let written = question.octets(query);
        let edns = query::read_edns(query, &header, written.len()).ok()?;
        let (options, _) = policy.options(client, transport, now_secs, edns.as_ref());
        let limit = policy.limit(transport, edns.as_ref());
        let dnssec_ok = edns.is_some_and(|edns| edns.dnssec_ok);
        Some(Self { header, question, written, dnssec_ok, limit, options })
    }

    /// A reply without records, and with TC set.
    pub(super) fn slip(&self) -> Vec<u8> {
        self.write(&Heard::default(), TC, None)
    }

    /// The reply.
    pub(super) fn reply(&self, heard: &Heard, error: Option<ExtendedError>) -> Vec<u8> {
        self.write(heard, 0, error)
    }

    /// The reply where all that is said is ours.
    pub(super) fn reply_with_own(&self, own: &Heard, error: Option<ExtendedError>) -> Vec<u8> {
        self.write(own, AA, error)
    }

    fn write(&self, heard: &Heard, flags: u16, error: Option<ExtendedError>) -> Vec<u8> {
        let mut octets = vec![0; self.limit.min(MESSAGE_OCTETS_MAX)];
        let options = Options { error, ..self.options };
        let reply = Reply::begin(&mut octets, self.limit, self.written, options);
        let mut writer =
            Writer { reply, names: vec![(QUESTION_PLACE, self.question.name().to_vec())] };
        let cut = if writer.write(heard).is_ok() { 0 } else { TC };
        let flags = QR | RA | flags | cut | self.header.flags & COPIED;
        let len = writer.reply.finish(self.header.id, flags, heard.rcode, 1, options);
        octets.truncate(len);
        // There was room for the longest reply; it may wait long until it is sent.
        octets.shrink_to_fit();
        octets
    }
}

/// A reply, and the names in it that others can point to: where they stand, in lower case.
struct Writer<'o> {
    reply: Reply<'o>,
    names: Vec<(usize, Vec<u8>)>,
}

impl Writer<'_> {
    fn write(&mut self, heard: &Heard) -> Result<(), Full> {
        for record in &heard.answers {
            self.record(Section::Answer, record)?;
        }
        heard.authorities.iter().try_for_each(|record| self.record(Section::Authority, record))
    }

    fn record(&mut self, section: Section, record: &Record) -> Result<(), Full> {
        // What the codec has read, it can write.
        let Some(data) = data(&record.data) else { return Ok(()) };
        let rtype = u16::from(record.record_type());
        let ttl = record.ttl.min(MAX_TTL);
        let owner = wire(&record.name);
        let lower = owner.to_ascii_lowercase();
        let place =
            self.names.iter().find_map(|(place, name)| Some(place + suffix_at(name, &lower)?));
        let data_place = if let Some(place) = place {
            self.reply.record(section, place, rtype, ttl, &[&data])?
        } else {
            let octets = u16::try_from(data.len()).map_err(|_| Full)?.to_be_bytes();
            let whole = [
                owner.as_slice(),
                &rtype.to_be_bytes(),
                &[0, 1],
                &ttl.to_be_bytes(),
                &octets,
                &data,
            ]
            .concat();
            let start = self.reply.ready(section, &whole)?;
            self.names.push((start, lower));
            return Ok(());
        };
        if let RData::CNAME(target) = &record.data {
            self.names.push((data_place, super::name::lower(&target.0)));
        }
        Ok(())
    }
}

/// A record's data without compression (RFC 3597 section 4).
fn data(data: &RData) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).ok()?;
    Some(octets)
}
