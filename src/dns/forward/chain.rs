//! From a client's question to its answer, through aliases that lead out of our zones and into them.
//!
//! What is in our zones is said by us alone: it is never asked of others, and what they say of it is left out. The
//! same holds for a domain that has upstream servers of its own. Which questions are asked, and in which order,
//! is decided here; that they are asked, elsewhere: so that a test can give any answers.
//!
//! Knows nothing of sockets, caches and time.

use std::net::IpAddr;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::heard::Heard;
use super::name::{lower, suffix_at, wire};
use super::routes::{Route, Routes};
use super::special;
use crate::dns::answer::Verdict;
use crate::dns::answer::codes::{NOERROR, SERVFAIL};
use crate::dns::answer::out::Out;
use crate::dns::source::Source;
use crate::dns::transport::Transport;

/// Longest way from alias to alias, in one answer and from one to the next. Names of large sites have eight and more.
const ALIASES_MAX: usize = 16;

/// Types that prove something (RFC 4034, RFC 5155): RRSIG, NSEC, NSEC3.
const PROOFS: [u16; 3] = [46, 47, 50];
const TYPE_RRSIG: u16 = 46;
const TYPE_DNAME: u16 = 39;
/// No records, but parts of a message: OPT and TSIG.
const OF_MESSAGES: [u16; 2] = [41, 250];

/// One client's question on its way.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    /// Our own answers; it forwards nothing.
    own: &'a Source,
    routes: &'a Routes,
    client: IpAddr,
    rtype: RecordType,
    /// The client wants the records of DNSSEC.
    dnssec_ok: bool,
    /// The name that the way has come to.
    name: Name,
    lower: Vec<u8>,
    aliases: usize,
    heard: Heard,
    done: bool,
    dead_end: Option<DeadEnd>,
}

/// Why a way ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeadEnd {
    /// Aliases lead in a circle, or on and on.
    Aliases,
    /// They lead into a zone of ours of which nothing is known yet.
    NotReady,
}

/// A question to be asked of others.
#[derive(Debug)]
pub(super) struct Ask {
    /// The name.
    pub(super) name: Name,
    /// The type.
    pub(super) rtype: RecordType,
    /// The name in wire form and lower case.
    pub(super) lower: Vec<u8>,
    /// Whom to ask.
    pub(super) route: Route,
}

impl<'a> Chain<'a> {
    /// Begins with the client's question.
    pub(super) fn new(
        (own, routes): (&'a Source, &'a Routes),
        client: IpAddr,
        (name, rtype): (Name, RecordType),
        dnssec_ok: bool,
    ) -> Self {
        Self {
            own,
            routes,
            client,
            rtype,
            dnssec_ok,
            lower: lower(&name),
            name,
            aliases: 0,
            heard: Heard::default(),
            done: false,
            dead_end: None,
        }
    }

    /// What is to be asked next, of others; none when all is known. What we know ourselves is taken on the way.
    pub(super) fn next(&mut self) -> Option<Ask> {
        while !self.done {
            let heard = if self.is_own(&self.lower) {
                let heard = self.ask_own();
                if heard.rcode == SERVFAIL {
                    self.give_up(DeadEnd::NotReady);
                    return None;
                }
                heard
            } else if let Some(heard) = self.special(&self.name, &self.lower) {
                heard
            } else {
                let (name, lower) = (self.name.clone(), self.lower.clone());
                let (rtype, route) = (self.rtype, self.routes.of(&lower));
                return Some(Ask { name, rtype, lower, route });
            };
            self.add(heard);
        }
        None
    }

    /// What others say to the question asked last.
    pub(super) fn take(&mut self, mut heard: Heard) {
        let own = |record: &Record| self.is_own(&lower(&record.name));
        heard.answers.retain(|record| !own(record));
        heard.authorities.retain(|record| !own(record));
        self.add(heard);
    }

    /// The answer.
    pub(super) fn into_heard(self) -> Result<Heard, DeadEnd> {
        self.dead_end.map_or(Ok(self.heard), Err)
    }

    /// What we say ourselves of where the way has come to: at its beginning, what becomes of one of our aliases for those
    /// for whom nobody is asked.
    pub(super) fn own_words(&self) -> Option<Heard> {
        self.is_own(&self.lower).then(|| self.ask_own()).filter(|heard| heard.rcode != SERVFAIL)
    }

    fn add(&mut self, Heard { rcode, mut answers, mut authorities }: Heard) {
        let Some((owners, goes_on)) = self.follow(rcode, &answers, &authorities) else {
            return self.give_up(DeadEnd::Aliases);
        };
        answers.retain(|record| self.is_wanted(record, &owners));
        self.heard.answers.append(&mut answers);
        if let Some(target) = goes_on {
            self.aliases += 1;
            if self.aliases > ALIASES_MAX {
                return self.give_up(DeadEnd::Aliases);
            }
            self.lower = lower(&target);
            self.name = target;
            return;
        }
        let rtype = self.rtype;
        let of_type = |record: &Record| rtype.is_any() || record.record_type() == rtype;
        let negative = !self.heard.answers.iter().any(of_type);
        authorities.retain(|record| {
            let rtype = record.record_type();
            negative && rtype.is_soa() || self.dnssec_ok && PROOFS.contains(&rtype.into())
        });
        let mut answers = std::mem::take(&mut self.heard.answers);
        self.rotate(&mut answers);
        self.end(Heard { rcode, answers, authorities });
    }

    /// Records of the type asked for begin with any of them, so that clients who take the first spread, also over what
    /// is kept.
    fn rotate(&self, answers: &mut [Record]) {
        let of_type = |record: &Record| record.record_type() == self.rtype;
        let first = answers.iter().position(of_type).unwrap_or(answers.len());
        let set = answers.get_mut(first..).unwrap_or_default();
        // Proofs and others between them stay where they are.
        if set.iter().all(of_type) {
            set.rotate_left(fastrand::usize(..set.len().max(1)));
        }
    }

    fn end(&mut self, heard: Heard) {
        self.heard = heard;
        self.done = true;
    }

    fn give_up(&mut self, why: DeadEnd) {
        self.dead_end = Some(why);
        self.done = true;
    }

    /// The names that an answer leads through, and the one that is to be asked for next, if it leads on. None where
    /// it leads in a circle.
    fn follow(
        &self,
        rcode: u16,
        answers: &[Record],
        authorities: &[Record],
    ) -> Option<(Vec<Name>, Option<Name>)> {
        let mut owners = vec![self.name.clone()];
        if self.rtype.is_any() || self.rtype.is_cname() {
            return Some((owners, None));
        }
        let mut last = self.name.clone();
        while let Some(target) = alias(answers, &last) {
            if owners.contains(target) || owners.len() > ALIASES_MAX {
                return None;
            }
            if self.is_elsewhere(&lower(target), target) {
                return Some((owners, Some(target.clone())));
            }
            owners.push(target.clone());
            last = target.clone();
        }
        // A server that does not go on from an alias itself.
        let ends = |record: &Record| record.record_type() == self.rtype && record.name == last;
        let left_open = owners.len() > 1
            && rcode == NOERROR
            && !answers.iter().any(ends)
            && !authorities.iter().any(|record| record.record_type().is_soa());
        Some((owners, left_open.then_some(last)))
    }

    /// Whether somebody else than who was just asked is to be asked for a name.
    fn is_elsewhere(&self, lower: &[u8], name: &Name) -> bool {
        self.is_own(lower) != self.is_own(&self.lower)
            || self.special(name, lower).is_some()
            || self.routes.of(lower) != self.routes.of(&self.lower)
    }

    fn is_wanted(&self, record: &Record, owners: &[Name]) -> bool {
        let rtype = record.record_type();
        let number = u16::from(rtype);
        if record.dns_class != DNSClass::IN || OF_MESSAGES.contains(&number) {
            return false;
        }
        let is_asked = self.rtype.is_any() || rtype == self.rtype || rtype.is_cname();
        owners.contains(&record.name) && (is_asked || self.dnssec_ok && number == TYPE_RRSIG)
            || number == TYPE_DNAME && self.is_above(&record.name, owners)
    }

    /// Whether a name stands above one of those, and belongs to who was just asked: then a DNAME there may be what leads
    /// on from that name (RFC 6672 section 2.3).
    fn is_above(&self, name: &Name, below: &[Name]) -> bool {
        let name = lower(name);
        self.routes.of(&name) == self.routes.of(&self.lower)
            && below.iter().any(|below| suffix_at(&lower(below), &name).is_some_and(|at| at > 0))
    }

    fn is_own(&self, lower: &[u8]) -> bool {
        self.own.view().snapshot().zone(lower).is_some()
    }

    fn special(&self, name: &Name, lower: &[u8]) -> Option<Heard> {
        // Whoever names servers for it has it.
        if self.routes.of(lower).is_named() {
            return None;
        }
        special::answer(name, lower, self.rtype)
    }

    /// What we say of the name ourselves.
    fn ask_own(&self) -> Heard {
        let mut query = vec![0; 12];
        if let Some(questions) = query.get_mut(5) {
            *questions = 1;
        }
        query.extend(wire(&self.name));
        query.extend(u16::from(self.rtype).to_be_bytes());
        query.extend(u16::from(DNSClass::IN).to_be_bytes());
        let mut out = Out::new();
        let draw = fastrand::u64(..);
        // All of it, as over TCP; what does not fit the client's datagram is left out in the end.
        match self.own.view().answer(self.client, Transport::Tcp, draw, &query, &mut out) {
            Verdict::Reply(len) => Message::from_vec(out.octets(len))
                .map_or_else(|_| Heard::bare(SERVFAIL), Heard::from),
            Verdict::Drop | Verdict::Forward => Heard::bare(SERVFAIL),
        }
    }
}

/// What a name is an alias of.
fn alias<'r>(answers: &'r [Record], name: &Name) -> Option<&'r Name> {
    answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(&target.0),
        _ => None,
    })
}
