//! From a query to its reply, purely: the one function behind every transport.
//!
//! ```text
//! header -> opcode -> question -> EDNS -> class, type -> zone -> name -> records
//!   Drop    NOTIMP    FORMERR    BADVERS  REFUSED NOTIMP REFUSED SERVFAIL NXDOMAIN, NODATA
//! ```
//!
//! Total over all inputs: nothing, or a well-formed reply within its limit. No allocation, lock, log, clock or
//! random source in here. The numbers of docs/dns-behaviour.md and RFC sections stand where they are fulfilled.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::net::IpAddr;

use super::query::{self, Edns, HEADER_OCTETS, Header, Question};
use super::records;
use super::reply::{ExtendedError, MESSAGE_OCTETS_MAX, Options, Out, Picks, Reply, Section};
use crate::zone::{Found, Snapshot, Zone, statics};

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a TCP connection.
    Tcp,
}

/// What is known of a query besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Who asks.
    pub client: IpAddr,
    /// How.
    pub transport: Transport,
    /// Our own limit on a UDP reply in octets, 512 to 8192; TCP always has 65,535.
    pub udp_octets_max: u16,
    /// A random number: the order of records, and which of them are left out, come from it.
    pub draw: u64,
}

/// What to do with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send this many octets of [`Out::octets`].
    Reply(usize),
    /// Send nothing.
    Drop,
}

/// UDP limit of a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_UDP_OCTETS: u16 = 512;

/// Response, authoritative, truncated (RFC 1035 section 4.1.1).
const QR: u16 = 0x8000;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
/// What a reply copies: opcode, RD, CD (RFC 4035 section 3.1.6).
const COPIED: u16 = 0x7800 | 0x0100 | 0x0010;

const OPCODE_QUERY: u16 = 0;
/// RFC 1996.
const OPCODE_NOTIFY: u16 = 4;

const CLASS_IN: u16 = 1;
const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;
const TYPE_ANY: u16 = 255;

const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
/// RFC 2136 section 2.2.
const NOTAUTH: u16 = 9;
/// RFC 6891 section 9.
const BADVERS: u16 = 16;

/// Answers one query from one snapshot.
pub fn answer(snapshot: &Snapshot, ask: &Ask, query: &[u8], out: &mut Out) -> Verdict {
    // 1: shorter than a header, or a response: never a word, or two servers shout at each other.
    let Some(header) = Header::read(query).filter(|header| !header.is_response()) else {
        return Verdict::Drop;
    };
    let question = if header.questions() == 1 { Question::read(query) } else { None };
    let Some(question) = question else {
        // 2 and 3: QDCOUNT other than 1 is malformed in a query (RFC 9619 section 4) and in a notification
        // (RFC 1996 section 3.7); other opcodes may have their own ways, and are not implemented.
        let known = matches!(header.opcode(), OPCODE_QUERY | OPCODE_NOTIFY);
        let rcode = if known { FORMERR } else { NOTIMP };
        let reply = Reply::begin(&mut out.octets, MESSAGE_OCTETS_MAX, &[], Options::default());
        return finish(reply, &header, QR, rcode, 0, Options::default());
    };
    let (edns, malformed) = match query::read_edns(query, &header, &question) {
        Ok(edns) => (edns, false),
        Err(query::Malformed) => (None, true),
    };
    let options = Options { udp_octets: edns.map(|_| ask.udp_octets_max), error: None };
    let limit = usize::from(match (ask.transport, edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => {
            edns.udp_octets.min(ask.udp_octets_max).max(PLAIN_UDP_OCTETS)
        }
        (Transport::Udp, None) => PLAIN_UDP_OCTETS,
    });
    let mut asked = Asked { snapshot, ask, header, question: &question, limit, options };
    if let Some(rcode) = asked.refusal(edns, malformed) {
        return asked.bare(out, QR, rcode);
    }
    let Some((zone, relative)) = snapshot.zone(asked.question.name()) else {
        // 18: no referral, no SOA.
        asked.options.error = Some(ExtendedError::NotAuthoritative);
        return asked.bare(out, QR, REFUSED);
    };
    match zone.find(relative) {
        Found::Unknown => {
            // 17, and law 1 (docs/architecture.md): never NXDOMAIN out of ignorance.
            asked.options.error = Some(ExtendedError::NotReady);
            asked.bare(out, QR, SERVFAIL)
        }
        Found::Missing => asked.negative(out, zone, NXDOMAIN),
        Found::Between => asked.negative(out, zone, NOERROR),
        found => asked.positive(out, zone, found),
    }
}

/// A query that was read, and what limits its reply.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    ask: &'a Ask,
    header: Header,
    question: &'a Question<'a>,
    limit: usize,
    options: Options,
}

impl Asked<'_> {
    /// What is answered without looking at any zone's records.
    fn refusal(&self, edns: Option<Edns>, malformed: bool) -> Option<u16> {
        let opcode = self.header.opcode();
        if !matches!(opcode, OPCODE_QUERY | OPCODE_NOTIFY) {
            return Some(NOTIMP);
        }
        match (edns, self.question.class, self.question.rtype) {
            _ if malformed => Some(FORMERR),
            (Some(edns), _, _) if edns.version > 0 => Some(BADVERS),
            // Taken note of; nothing changes (RFC 1996 section 3.7 is for secondaries).
            (_, class, _) if opcode == OPCODE_NOTIFY => {
                let zone = self.snapshot.zone(self.question.name());
                let ours = zone.is_some_and(|(_, relative)| relative.is_empty());
                Some(if ours && class == CLASS_IN { NOERROR } else { NOTAUTH })
            }
            (_, class, _) if class != CLASS_IN => Some(REFUSED),
            // 6: transfers are not allowed to anyone.
            (_, _, TYPE_AXFR | TYPE_IXFR) => Some(REFUSED),
            (_, _, TYPE_ANY) => None,
            (_, _, query::TYPE_OPT | 128..=255) => Some(NOTIMP),
            _ => None,
        }
    }

    /// A reply without records.
    fn bare(&self, out: &mut Out, flags: u16, rcode: u16) -> Verdict {
        let reply = Reply::begin(&mut out.octets, self.limit, self.question.octets, self.options);
        self.finish(reply, flags, rcode)
    }

    /// 14 and 15: no such name, or no such data: one SOA, and nothing else (RFC 2308 section 5).
    fn negative(&self, out: &mut Out, zone: &Zone, rcode: u16) -> Verdict {
        let mut reply =
            Reply::begin(&mut out.octets, self.limit, self.question.octets, self.options);
        let in_front = self.question.name().len().saturating_sub(zone.name().wire().len());
        let place = HEADER_OCTETS + in_front;
        let soa = zone.statics().soa();
        let (names, times) = soa.around_serial();
        let data = [names, &zone.serial.to_be_bytes(), times];
        let ttl = soa.negative_ttl_secs;
        let fits = reply.record(Section::Authority, place, statics::TYPE_SOA, ttl, &data);
        let flags = if fits.is_ok() { QR | AA } else { QR | AA | TC };
        self.finish(reply, flags, rcode)
    }

    fn positive(&self, out: &mut Out, zone: &Zone, found: Found<'_>) -> Verdict {
        let Out { octets, picks } = out;
        let mut reply = Reply::begin(octets, self.limit, self.question.octets, self.options);
        let write = |reply: &mut Reply<'_>, picks: &mut Picks, seed| match found {
            Found::Static(node) => {
                records::write_static(reply, picks, zone, node, self.question.rtype, seed)
            }
            Found::App(node) => records::write_app(reply, picks, node, self.question.rtype, seed),
            Found::Between | Found::Missing | Found::Unknown => records::Written::None,
        };
        let empty = reply.mark();
        let mut flags = QR | AA;
        match write(&mut reply, picks, self.ask.draw) {
            records::Written::None => return self.negative(out, zone, NOERROR),
            records::Written::All => {}
            records::Written::Some => match self.ask.transport {
                Transport::Udp => flags |= TC,
                // 12: too big even for TCP: a sample that is the same for this client each time.
                Transport::Tcp => {
                    reply.rewind(empty);
                    write(&mut reply, picks, steady(self.ask.client));
                }
            },
        }
        if flags & TC == 0 {
            let rtype = self.question.rtype;
            records::write_glue(&mut reply, picks, self.snapshot, found, rtype);
        }
        self.finish(reply, flags, NOERROR)
    }

    fn finish(&self, reply: Reply<'_>, flags: u16, rcode: u16) -> Verdict {
        finish(reply, &self.header, flags, rcode, 1, self.options)
    }
}

fn finish(
    reply: Reply<'_>,
    header: &Header,
    flags: u16,
    rcode: u16,
    questions: u16,
    options: Options,
) -> Verdict {
    Verdict::Reply(reply.finish(
        header.id,
        flags | header.flags & COPIED,
        rcode,
        questions,
        options,
    ))
}

/// A number that belongs to a client.
fn steady(client: IpAddr) -> u64 {
    let bits = match client {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.segments().map(u64::from);
            (a << 48 | b << 32 | c << 16 | d) ^ (e << 48 | f << 32 | g << 16 | h)
        }
    };
    bits ^ 0x9e37_79b9_7f4a_7c15
}
