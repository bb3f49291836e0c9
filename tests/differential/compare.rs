//! What must hold of the two replies to a question, and what must stand in them; both as hickory reads them.

use std::collections::BTreeSet;

use hickory_proto::op::Message;
use hickory_proto::rr::{Record, RecordType};

use crate::exchange::is_silent;
use crate::questions::{Asked, Fate, Question};
use crate::reply::{BADVERS, FORMERR, NOTIMP, Reply, Wrong, lower, octets, target, text, texts};
use crate::world::{A, CNAME, Found, SOA, Set, Sets, World, Zone, wire};

/// The server that was asked.
pub(crate) struct View<'a> {
    pub(crate) world: &'a World,
    pub(crate) ready: bool,
    pub(crate) udp_octets_max: u16,
}

/// What was seen, to be counted.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) rcode: Option<u16>,
    pub(crate) truncated: bool,
    pub(crate) glue: bool,
    /// Glue was left out of the datagram.
    pub(crate) less_glue: bool,
    pub(crate) negative: bool,
    pub(crate) records: usize,
}

/// Extended errors (RFC 8914 section 4).
const NOT_READY: u16 = 14;
const NOT_AUTHORITATIVE: u16 = 20;

const ANY: u16 = 255;

const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
const NOTAUTH: u16 = 9;

impl View<'_> {
    /// Looks at both replies to a question.
    pub(crate) fn check(
        &self,
        question: &Question,
        udp: Option<&[u8]>,
        tcp: Option<&[u8]>,
    ) -> Result<Seen, Wrong> {
        let (udp, tcp) = match (udp, tcp) {
            (None, None) => {
                hold!(is_silent(&question.octets), "silence");
                return Ok(Seen::default());
            }
            (Some(udp), Some(tcp)) => (udp, tcp),
            (udp, _) => {
                return Err(format!(
                    "answered over {} alone",
                    if udp.is_some() { "UDP" } else { "TCP" }
                ));
            }
        };
        hold!(!is_silent(&question.octets), "a reply where silence is due");
        let udp = Reply::read(udp).map_err(|why| format!("over UDP: {why}"))?;
        let tcp = Reply::read(tcp).map_err(|why| format!("over TCP: {why}"))?;
        for reply in [&udp, &tcp] {
            reply.belongs_to(&question.octets)?;
            self.opt(question, reply)?;
            self.sections(reply)?;
        }
        self.same(&udp, &tcp)?;
        let limit = match &question.fate {
            Fate::Asked(asked) => {
                self.expected(asked, &tcp)?;
                asked.edns.map_or(512, |edns| edns.octets.min(self.udp_octets_max).max(512))
            }
            Fate::Malformed { question, opcode } => {
                let rcode = if matches!(opcode, 0 | 4) { FORMERR } else { NOTIMP };
                hold!(tcp.rcode == rcode, "rcode {} for a malformed message", tcp.rcode);
                hold!(tcp.question == *question, "the question comes back {}", tcp.question);
                hold!(!*question || tcp.message.edns.is_none() || rcode == NOTIMP, "OPT");
                512
            }
            // What the client takes may have been changed, too.
            Fate::Open if udp.message.edns.is_some() => self.udp_octets_max,
            Fate::Open => 512,
        };
        hold!(udp.octets.len() <= limit.into(), "{} octets, {limit} are allowed", udp.octets.len());
        let known = !matches!(question.fate, Fate::Open);
        let less_glue = known && self.fullness(&udp, &tcp, limit.into())?;
        Ok(Seen {
            rcode: Some(tcp.rcode),
            truncated: udp.truncated(),
            glue: !udp.message.additionals.is_empty(),
            less_glue,
            negative: !tcp.message.authorities.is_empty(),
            records: tcp.message.answers.len(),
        })
    }

    /// OPT is as it should be where there is one.
    fn opt(&self, question: &Question, reply: &Reply<'_>) -> Result<(), Wrong> {
        let Some(edns) = &reply.message.edns else { return Ok(()) };
        hold!(edns.version() == 0, "EDNS version {}", edns.version());
        hold!(edns.max_payload() == self.udp_octets_max, "EDNS size {}", edns.max_payload());
        let flags = edns.flags();
        hold!(flags.z == 0, "EDNS flags");
        if let Fate::Asked(Asked { edns: Some(asked), .. }) = &question.fate {
            hold!(flags.dnssec_ok == asked.dnssec_ok, "DO is {}", flags.dnssec_ok);
        }
        let expected = match reply.rcode {
            SERVFAIL => &[NOT_READY][..],
            REFUSED => &[NOT_AUTHORITATIVE],
            _ => &[],
        };
        // REFUSED says why for names that are not ours only.
        let ede = reply.extended_errors()?;
        let fits = ede == expected || ede.is_empty() && reply.rcode == REFUSED;
        hold!(fits, "extended errors {ede:?}");
        Ok(())
    }

    /// What holds between sections, whatever was asked.
    fn sections(&self, reply: &Reply<'_>) -> Result<(), Wrong> {
        let Message { answers, authorities, additionals, .. } = &reply.message;
        let denies = match reply.rcode {
            // A notification that was taken note of is answered bare.
            0 => reply.opcode == 0 && reply.leads_nowhere() && !reply.truncated(),
            NXDOMAIN => true,
            _ => {
                hold!(answers.is_empty() && authorities.is_empty(), "records beside an error");
                false
            }
        };
        let positive = !answers.is_empty();
        hold!(reply.authoritative() == (denies || positive), "AA {}", reply.authoritative());
        hold!(authorities.len() == usize::from(denies), "{} authorities", authorities.len());
        hold!(positive || additionals.is_empty(), "additional records of no answer");
        hold!(!reply.truncated() || additionals.is_empty(), "additional records beside TC");
        for soa in authorities {
            hold!(u16::from(soa.record_type()) == SOA, "{soa} in AUTHORITY");
        }
        for section in [answers, additionals] {
            let texts: BTreeSet<_> = section.iter().map(text).collect();
            hold!(texts.len() == section.len(), "a record twice");
        }
        if positive {
            self.glue(reply)?;
        }
        Ok(())
    }

    /// ADDITIONAL holds the addresses of the answer's targets, in its order, A before AAAA, whole sets only; where
    /// not all of them are there, the last ones are missing.
    fn glue(&self, reply: &Reply<'_>) -> Result<(), Wrong> {
        let mut rest = &reply.message.additionals[..];
        for (target, rtype, set) in self.due(reply) {
            if rest.is_empty() {
                break;
            }
            hold!(rest.len() >= set.data.len(), "a part of the addresses of {target:?}");
            let (these, behind) = rest.split_at(set.data.len());
            for record in these {
                let owner = lower(record);
                hold!(owner == target, "{record} where {target:?} is due");
                let fits = u16::from(record.record_type()) == rtype && record.ttl == set.ttl;
                hold!(
                    fits && set.data.contains(&record.data.to_string()),
                    "{record} is not of its target"
                );
            }
            rest = behind;
        }
        hold!(rest.is_empty(), "{} additional records of nobody", rest.len());
        Ok(())
    }

    /// The sets that complete ADDITIONAL has: owner, type, records.
    fn due(&self, reply: &Reply<'_>) -> Vec<(Vec<u8>, u16, &Set)> {
        let mut seen = BTreeSet::new();
        let targets = reply.message.answers.iter().filter_map(target);
        let once = targets.filter(|target| seen.insert(target.clone()));
        let sets = once.flat_map(|target| {
            let sets = self.world.addresses(&target, self.ready);
            sets.into_iter().map(move |(rtype, set)| (target.clone(), rtype, set))
        });
        sets.collect()
    }

    /// The two say the same, as far as the datagram goes.
    fn same(&self, udp: &Reply<'_>, tcp: &Reply<'_>) -> Result<(), Wrong> {
        let (u, t) = (udp.octets, tcp.octets);
        hold!(u[..2] == t[..2] && u[2] & !2 == t[2] && u[3] == t[3], "headers differ");
        hold!(udp.rcode == tcp.rcode, "rcode {} and {}", udp.rcode, tcp.rcode);
        hold!(udp.question == tcp.question, "the question comes back on one way only");
        hold!(udp.message.edns == tcp.message.edns, "OPT differs");
        let (few, all) = (texts(&udp.message.answers), texts(&tcp.message.answers));
        hold!(few.is_subset(&all), "UDP has records that TCP has not");
        hold!(udp.truncated() || few == all, "UDP is incomplete, and TC is clear");
        hold!(!udp.truncated() || few.len() < all.len(), "TC is set, and nothing is missing");
        hold!(!udp.truncated() || !few.is_empty(), "TC, and no record at all");
        let (one, other) = (texts(&udp.message.authorities), texts(&tcp.message.authorities));
        hold!(one == other, "authorities differ");
        Ok(())
    }

    /// Neither records nor glue were left out that would have fitted; tells whether glue was.
    fn fullness(&self, udp: &Reply<'_>, tcp: &Reply<'_>, limit: usize) -> Result<bool, Wrong> {
        let room = limit.saturating_sub(udp.octets.len());
        if udp.truncated() {
            let left = tcp.message.answers.iter().map(octets).max().unwrap_or(0);
            hold!(room < left, "{room} octets are left, and no record has more than {left}");
        }
        let mut less_glue = false;
        for (reply, room) in [(udp, room), (tcp, usize::from(u16::MAX) - tcp.octets.len())] {
            let due = self.due(reply);
            let written = reply.message.additionals.len();
            let mut before = 0;
            let next = due.iter().find(|(.., set)| {
                before += set.data.len();
                before > written
            });
            // Of very many targets over TCP the first few hundred have their addresses sent along.
            let Some((_, rtype, set)) = next.filter(|_| !reply.truncated() && due.len() <= 500)
            else {
                continue;
            };
            let least = set.data.len() * if *rtype == A { 16 } else { 28 };
            hold!(room < least, "{room} octets are left, and the next glue has {least}");
            less_glue = true;
        }
        Ok(less_glue)
    }

    /// What the world says that must come.
    fn expected(&self, asked: &Asked, tcp: &Reply<'_>) -> Result<(), Wrong> {
        hold!(tcp.question, "no question");
        hold!(tcp.message.edns.is_some() == asked.edns.is_some(), "OPT");
        let (rcode, ede) = match self.refusal(asked) {
            Some(refused) => refused,
            None => match self.world.find(&asked.name, self.ready) {
                Found::Elsewhere => (REFUSED, Some(NOT_AUTHORITATIVE)),
                Found::Unknown => (SERVFAIL, Some(NOT_READY)),
                Found::Missing(zone) => {
                    negative(zone, tcp)?;
                    (NXDOMAIN, None)
                }
                Found::Name(zone, sets) => {
                    let all = sets_of(sets, asked.rtype);
                    match all.as_slice() {
                        [] => negative(zone, tcp)?,
                        [(CNAME, alias)] if !matches!(asked.rtype, CNAME | ANY) => {
                            self.aliased(alias, asked, tcp)?;
                        }
                        _ => positive(&all, &asked.name, &tcp.message.answers)?,
                    }
                    (0, None)
                }
            },
        };
        hold!(tcp.rcode == rcode, "rcode {}, not {rcode}", tcp.rcode);
        let ede: Vec<u16> = ede.filter(|_| asked.edns.is_some()).into_iter().collect();
        hold!(tcp.extended_errors()? == ede, "extended errors are not {ede:?}");
        Ok(())
    }

    /// An alias, and behind it what its target has.
    fn aliased(&self, alias: &Set, asked: &Asked, tcp: &Reply<'_>) -> Result<(), Wrong> {
        let name = wire(alias.data.first().expect("an alias has a target"));
        let Some((first, rest)) = tcp.message.answers.split_first() else {
            return Err("no alias".into());
        };
        positive(&[(CNAME, alias)], &asked.name, std::slice::from_ref(first))?;
        let Found::Name(zone, sets) = self.world.find(&name, self.ready) else {
            return Err("this world's aliases lead to names".into());
        };
        match sets_of(sets, asked.rtype) {
            all if all.is_empty() => negative(zone, tcp),
            all => positive(&all, &name, rest),
        }
    }

    /// What is answered whatever the name has.
    fn refusal(&self, asked: &Asked) -> Option<(u16, Option<u16>)> {
        let rcode = match (asked.opcode, asked.class, asked.rtype) {
            (opcode, ..) if !matches!(opcode, 0 | 4) => NOTIMP,
            _ if asked.edns.is_some_and(|edns| edns.version > 0) => BADVERS,
            (4, class, _) => {
                if class == 1 && self.world.is_apex(&asked.name) {
                    0
                } else {
                    NOTAUTH
                }
            }
            (_, class, _) if class != 1 => REFUSED,
            (.., 251 | 252) => REFUSED,
            (.., 41 | 128..=254) => NOTIMP,
            _ => return None,
        };
        Some((rcode, None))
    }
}

/// The sets of which one is the answer: the type's own, an alias, or any.
fn sets_of(sets: &Sets, rtype: u16) -> Vec<(u16, &Set)> {
    let of = |rtype: u16| sets.get(&rtype).map(|set| (rtype, set));
    match rtype {
        ANY => sets.iter().map(|(rtype, set)| (*rtype, set)).collect(),
        _ => of(rtype).or_else(|| of(CNAME)).into_iter().collect(),
    }
}

fn positive(sets: &[(u16, &Set)], name: &[u8], answers: &[Record]) -> Result<(), Wrong> {
    let mut data = BTreeSet::new();
    for record in answers {
        hold!(lower(record) == name, "{record} in ANSWER");
        let (_, text) = text(record);
        // Ends with the question's own octets, in its case.
        let is_pointer = record.record_type() == RecordType::PTR;
        data.insert(if is_pointer { text.to_ascii_lowercase() } else { text });
    }
    let rtype = answers.first().map(|record| u16::from(record.record_type()));
    let set = sets.iter().find(|(other, _)| Some(*other) == rtype);
    let (rtype, set) = set.ok_or_else(|| format!("answers of type {rtype:?}"))?;
    hold!(
        answers
            .iter()
            .all(|record| u16::from(record.record_type()) == *rtype && record.ttl == set.ttl),
        "types or times to live differ"
    );
    hold!(data == set.data, "answers are {data:?}, not {:?}", set.data);
    Ok(())
}

fn negative(zone: &Zone, tcp: &Reply<'_>) -> Result<(), Wrong> {
    let [soa] = &tcp.message.authorities[..] else {
        return Err(format!("{} authorities of a negative answer", tcp.message.authorities.len()));
    };
    hold!(lower(soa) == zone.apex && soa.ttl == zone.negative_ttl, "{soa}");
    Ok(())
}
