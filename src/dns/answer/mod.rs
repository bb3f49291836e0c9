//! From a query to its reply, purely: the one function behind every transport.
//!
//! ```text
//! header -> opcode -> question -> EDNS -> class, type -> zone -> name -> records
//!   Drop    NOTIMP    FORMERR    BADVERS  REFUSED NOTIMP REFUSED SERVFAIL NXDOMAIN, NODATA
//! ```
//!
//! Total over all inputs: nothing, or a well-formed reply within its limit. No allocation, lock, log, clock or
//! random source in here. The numbers of docs/dns-behaviour.md and RFC sections stand where they are fulfilled.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::cast_possible_truncation)
)]

mod ask;
mod browse;
pub(super) mod codes;
pub mod cookie;
pub mod out;
pub mod policy;
pub mod query;
mod records;
pub mod reply;

pub use self::ask::{Ask, Verdict};
use self::codes::{
    AA, BADVERS, COPIED, FORMERR, NOERROR, NOTAUTH, NOTIMP, NXDOMAIN, QR, RA, RD, REFUSED,
    SERVFAIL, TC,
};
use self::out::{Out, Picks};
use self::query::{Edns, HEADER_OCTETS, Header, NAME_OCTETS_MAX, Question};
use self::reply::{ExtendedError, MESSAGE_OCTETS_MAX, Options, Reply, Section};
use crate::zone::statics::{self, Alias};
use crate::zone::{Found, Snapshot, Zone};

/// Aliases that are followed one after the other; nobody has so many.
const ALIASES_MAX: usize = 8;

const OPCODE_QUERY: u16 = 0;
/// RFC 1996.
const OPCODE_NOTIFY: u16 = 4;

const CLASS_IN: u16 = 1;
const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;
const TYPE_ANY: u16 = 255;

/// Answers one query from one snapshot.
pub fn answer(snapshot: &Snapshot, ask: &Ask<'_>, query: &[u8], out: &mut Out) -> Verdict {
    let mut question = Question::NONE;
    question.fill(query);
    answer_read(snapshot, ask, (query, &question), out)
}

/// The same, where the query's question has been read.
pub(super) fn answer_read(
    snapshot: &Snapshot,
    ask: &Ask<'_>,
    (query, question): (&[u8], &Question),
    out: &mut Out,
) -> Verdict {
    out.known = false;
    // 1: shorter than a header, or a response: never a word, or two servers shout at each other.
    let Some(header) = Header::read(query).filter(|header| !header.is_response()) else {
        return Verdict::Drop;
    };
    if header.questions() != 1 || !question.is_read() {
        return without_question(ask, &header, query, out);
    }
    let written = question.octets(query);
    let (edns, malformed) = match query::read_edns(query, &header, written.len()) {
        Ok(edns) => (edns, false),
        Err(query::Malformed) => (None, true),
    };
    let options = options(ask, edns, out);
    let limit = ask.policy.limit(ask.transport, edns.as_ref());
    let forwards = ask.policy.forwards_for(ask.client);
    let flags = if forwards { QR | RA } else { QR };
    let mut asked = Asked { snapshot, ask, header, question, written, limit, options, flags };
    if let Some(rcode) = asked.refusal(edns, malformed) {
        // 2: RA is clear where the opcode is not understood (RFC 8906 section 3.2).
        asked.flags = if rcode == NOTIMP { QR } else { flags };
        return asked.bare(out, 0, rcode);
    }
    if ask.slip {
        return asked.bare(out, TC, NOERROR);
    }
    let Some((zone, relative)) = snapshot.zone(asked.question.name()) else {
        if forwards && header.opcode() == OPCODE_QUERY && header.flags & RD != 0 {
            return Verdict::Forward;
        }
        // 18: no referral, no SOA.
        asked.options.error = Some(ExtendedError::NotAuthoritative);
        return asked.bare(out, 0, REFUSED);
    };
    let found = zone.find(relative);
    asked.note_stale(zone, found);
    match found {
        Found::Unknown => asked.not_ready(out),
        Found::Missing => asked.negative(out, zone, NXDOMAIN),
        Found::Between => asked.negative(out, zone, NOERROR),
        found => asked.positive(out, zone, found),
    }
}

/// 2 and 3: QDCOUNT other than 1 is malformed in a query (RFC 9619 section 4) and in a notification (RFC 1996
/// section 3.7); other opcodes may have their own ways, and are not implemented. A query for nothing but a cookie
/// has none (RFC 7873 section 5.4).
fn without_question(ask: &Ask<'_>, header: &Header, query: &[u8], out: &mut Out) -> Verdict {
    let mut none = Options::default();
    let rcode = match header.opcode() {
        OPCODE_QUERY if header.questions() == 0 => {
            let edns = query::read_edns(query, header, 0).ok().flatten();
            let options = options(ask, edns.filter(|edns| edns.version == 0), out);
            if options.cookie.is_some() {
                none = options;
                NOERROR
            } else {
                FORMERR
            }
        }
        OPCODE_QUERY | OPCODE_NOTIFY => FORMERR,
        _ => NOTIMP,
    };
    let reply = Reply::begin(&mut out.octets, MESSAGE_OCTETS_MAX, &[], none);
    finish(reply, header, QR, rcode, 0, none)
}

/// What the reply's OPT record says; a cookie that is ours makes the client known.
fn options(ask: &Ask<'_>, edns: Option<Edns>, out: &mut Out) -> Options {
    let (options, known) =
        ask.policy.options(ask.client, ask.transport, ask.now_secs, edns.as_ref());
    out.known = known;
    options
}

/// A query that was read, and what limits its reply.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    ask: &'a Ask<'a>,
    header: Header,
    question: &'a Question,
    /// The question as it came.
    written: &'a [u8],
    limit: usize,
    options: Options,
    /// Flags of every reply to it.
    flags: u16,
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

    /// 9: says so where what is registered may be out of date; what a zone file says is not.
    #[inline]
    fn note_stale(&mut self, zone: &Zone, found: Found<'_>) {
        if self.ask.stale && zone.has_namespace() {
            match found {
                Found::Missing => self.options.error = Some(ExtendedError::StaleNxdomain),
                Found::App(_) | Found::Between => {
                    self.options.error = Some(ExtendedError::StaleAnswer);
                }
                Found::Static(node) if node.is_registered() => {
                    self.options.error = Some(ExtendedError::StaleAnswer);
                }
                Found::Static(_) | Found::Unknown => {}
            }
        }
    }

    /// 17, and law 1 (docs/architecture.md): never NXDOMAIN out of ignorance.
    fn not_ready(&mut self, out: &mut Out) -> Verdict {
        self.options.error = Some(ExtendedError::NotReady);
        self.bare(out, 0, SERVFAIL)
    }

    /// A reply without records.
    fn bare(&self, out: &mut Out, flags: u16, rcode: u16) -> Verdict {
        let reply = self.begin(&mut out.octets);
        self.finish(reply, flags, rcode)
    }

    fn begin<'o>(&self, octets: &'o mut [u8]) -> Reply<'o> {
        // Whether there are options that the query had no OPT record for is the reply's to know.
        Reply::begin(octets, self.limit, self.written, self.options)
    }

    /// 14 and 15: no such name, or no such data: one SOA, and nothing else (RFC 2308 section 5).
    fn negative(&self, out: &mut Out, zone: &Zone, rcode: u16) -> Verdict {
        let mut reply = self.begin(&mut out.octets);
        let in_front = self.question.name().len().saturating_sub(zone.name().wire().len());
        let flags = write_soa(&mut reply, zone, HEADER_OCTETS + in_front);
        self.finish(reply, AA | flags, rcode)
    }

    fn positive(&mut self, out: &mut Out, zone: &Zone, found: Found<'_>) -> Verdict {
        if let Found::Static(node) = found
            && let Some(alias) = node.alias(self.question.rtype)
        {
            return self.aliased(out, alias);
        }
        let Out { octets, picks, .. } = out;
        let mut reply = self.begin(octets);
        match self.records(&mut reply, picks, zone, found) {
            Some(flags) => self.finish(reply, AA | flags, NOERROR),
            None => self.negative(out, zone, NOERROR),
        }
    }

    /// Writes what a name has of the type asked for, and gives the flags that come of it; none where it has nothing.
    #[inline]
    fn records(
        &self,
        reply: &mut Reply<'_>,
        picks: &mut Picks,
        zone: &Zone,
        found: Found<'_>,
    ) -> Option<u16> {
        let rtype = self.question.rtype;
        let write = |reply: &mut Reply<'_>, picks: &mut Picks, seed| match found {
            Found::Static(node) => records::write_static(reply, picks, zone, node, rtype, seed),
            Found::App(node) => records::write_app(reply, picks, zone, node, rtype, seed),
            Found::Between | Found::Missing | Found::Unknown => records::Written::None,
        };
        let before = reply.mark();
        match write(reply, picks, self.ask.draw) {
            records::Written::None => return None,
            records::Written::All => {}
            records::Written::Some if self.ask.transport.is_datagram() => return Some(TC),
            // 12: too big even for TCP: a sample that is the same for this client each time.
            records::Written::Some => {
                reply.rewind(before);
                write(reply, picks, self.ask.steady());
            }
        }
        records::write_glue(reply, picks, self.snapshot, found, rtype);
        Some(0)
    }

    /// 13: an alias is followed for as long as our zones know its target (RFC 1034 section 3.6.2): the reply says
    /// what it leads to, or that it leads to nothing there (RFC 6604 section 3).
    #[cold]
    fn aliased(&mut self, out: &mut Out, first: Alias<'_>) -> Verdict {
        let Out { octets, picks, .. } = out;
        // Room for what may have to be said of a name that it leads to.
        let error = self.ask.stale.then_some(ExtendedError::StaleAnswer);
        let room = Options { error, ..self.options };
        let mut reply = Reply::begin(octets, self.limit, self.written, room);
        let mut owners: [&[u8]; ALIASES_MAX] = [self.question.name(); ALIASES_MAX];
        let mut alias = first;
        for at in 1..=ALIASES_MAX {
            let data = [alias.target];
            let owner = reply.owner();
            let written =
                reply.record(Section::Answer, owner, statics::TYPE_CNAME, alias.ttl_secs, &data);
            let Ok(place) = written else { return self.finish(reply, AA | TC, NOERROR) };
            reply.follow(place);
            // A loop leads nowhere, and no record stands in an answer twice (RFC 2181 section 5).
            if owners.iter().any(|owner| owner.eq_ignore_ascii_case(alias.target)) {
                break;
            }
            if let Some(owner) = owners.get_mut(at) {
                *owner = alias.target;
            }
            let mut lower = [0; NAME_OCTETS_MAX];
            let target = lower_case(alias.target, &mut lower);
            let Some((zone, relative)) = self.snapshot.zone(target) else {
                return if self.ask.policy.forwards_for(self.ask.client)
                    && self.header.flags & RD != 0
                {
                    Verdict::Forward
                } else {
                    self.finish(reply, AA, NOERROR)
                };
            };
            let found = zone.find(relative);
            self.note_stale(zone, found);
            match found {
                Found::Unknown => return self.not_ready(out),
                Found::Static(node) => {
                    if let Some(next) = node.alias(self.question.rtype) {
                        alias = next;
                        continue;
                    }
                }
                Found::App(_) | Found::Between | Found::Missing => {}
            }
            let flags = self.records(&mut reply, picks, zone, found);
            let missing = matches!(found, Found::Missing);
            let flags = flags.unwrap_or_else(|| {
                let in_front = target.len().saturating_sub(zone.name().wire().len());
                write_soa(&mut reply, zone, place + in_front)
            });
            return self.finish(reply, AA | flags, if missing { NXDOMAIN } else { NOERROR });
        }
        // A loop, or a chain so long that nobody means it.
        self.finish(reply, AA, NOERROR)
    }

    fn finish(&self, reply: Reply<'_>, flags: u16, rcode: u16) -> Verdict {
        finish(reply, &self.header, self.flags | flags, rcode, 1, self.options)
    }
}

/// Writes the SOA of a negative answer, the zone's name standing at that place; the flags that come of it.
fn write_soa(reply: &mut Reply<'_>, zone: &Zone, place: usize) -> u16 {
    let soa = zone.statics().soa();
    let (names, times) = soa.around_serial();
    let data = [names, &zone.serial.to_be_bytes(), times];
    let ttl = soa.negative_ttl_secs;
    let fits = reply.record(Section::Authority, place, statics::TYPE_SOA, ttl, &data);
    if fits.is_ok() { 0 } else { TC }
}

/// A name of a zone file's data, as it is looked up.
fn lower_case<'a>(name: &[u8], lower: &'a mut [u8; NAME_OCTETS_MAX]) -> &'a [u8] {
    let Some(lower) = lower.get_mut(..name.len()) else { return &[] };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    lower
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
