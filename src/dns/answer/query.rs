//! Reads a query's octets, as much of them as an answer needs: header, the one question, EDNS.
//!
//! Total over all inputs and free of allocation. What is malformed is told apart by how much of it can be
//! echoed. RFC 1035 section 4, RFC 6891 section 6, RFC 9619.

use super::cookie::Cookie;

/// Octets of a message header (RFC 1035 section 4.1.1).
pub const HEADER_OCTETS: usize = 12;
/// Longest name in wire form, root label included (RFC 1035 section 2.3.4).
pub const NAME_OCTETS_MAX: usize = 255;
/// The OPT pseudo-record (RFC 6891 section 6.1.1).
pub const TYPE_OPT: u16 = 41;
/// Octets of a name that fit one register of any processor of today.
const FOLDED_AT_ONCE: usize = 16;
/// The cookie option (RFC 7873 section 4).
pub const OPTION_COOKIE: u16 = 10;
/// The padding option (RFC 7830 section 3).
pub const OPTION_PADDING: u16 = 12;

/// The header's fields that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The message's id.
    pub id: [u8; 2],
    /// The flags as they came.
    pub flags: u16,
    questions: u16,
    /// Records behind the question: answers and authorities, then additionals.
    records: u32,
    additionals: u16,
}

impl Header {
    /// Reads a header; none if there are not enough octets.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_OCTETS] = octets.first_chunk()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *header;
        let pair = |high, low| u16::from_be_bytes([high, low]);
        Some(Self {
            id: [a, b],
            flags: pair(c, d),
            questions: pair(e, f),
            records: u32::from(pair(g, h)) + u32::from(pair(i, j)),
            additionals: pair(k, l),
        })
    }

    /// Whether it is a response.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Its opcode.
    #[must_use]
    pub fn opcode(&self) -> u16 {
        (self.flags >> 11) & 0xf
    }

    /// How many questions it announces.
    #[must_use]
    pub fn questions(&self) -> u16 {
        self.questions
    }
}

/// The question, as it is looked up. One that is filled again and again costs no more than its octets.
#[derive(Debug, Clone)]
pub struct Question {
    /// 0 where none was read: the shortest name, the root, has one octet.
    name_octets: usize,
    /// The type asked for.
    pub rtype: u16,
    /// The class asked for.
    pub class: u16,
    lower: [u8; NAME_OCTETS_MAX.next_multiple_of(FOLDED_AT_ONCE)],
}

impl Question {
    /// None read yet.
    pub(in crate::dns) const NONE: Self = Self {
        name_octets: 0,
        rtype: 0,
        class: 0,
        lower: [0; NAME_OCTETS_MAX.next_multiple_of(FOLDED_AT_ONCE)],
    };

    /// Reads the question behind a header. Compression has nothing to point to there, so a pointer is as
    /// malformed as the reserved label types.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut question = Self::NONE;
        question.fill(message);
        question.is_read().then_some(question)
    }

    /// Reads the question of another message in place of the one before.
    #[inline]
    pub(in crate::dns) fn fill(&mut self, message: &[u8]) {
        self.name_octets = self.fill_in(message).unwrap_or(0);
    }

    /// Whether the message last read has one.
    #[inline]
    pub(super) fn is_read(&self) -> bool {
        self.name_octets > 0
    }

    /// How many octets its name has.
    #[inline]
    fn fill_in(&mut self, message: &[u8]) -> Option<usize> {
        let question = message.get(HEADER_OCTETS..)?;
        let mut octets = 0;
        loop {
            let length = usize::from(*question.get(octets)?);
            octets += 1 + length;
            if length > 63 || octets > NAME_OCTETS_MAX {
                return None;
            }
            if length == 0 {
                break;
            }
        }
        let [t1, t2, c1, c2] = *question.get(octets..)?.first_chunk()?;
        self.rtype = u16::from_be_bytes([t1, t2]);
        self.class = u16::from_be_bytes([c1, c2]);
        // Length octets are below 64, so that folding letters leaves them alone. Pieces of one size are folded
        // without a loop: what is behind the name comes along where there is enough of it, and is not looked at.
        let pieces = self.lower.chunks_exact_mut(FOLDED_AT_ONCE);
        for (to, at) in pieces.zip((0..octets).step_by(FOLDED_AT_ONCE)) {
            let from = question.get(at..)?;
            match (to.first_chunk_mut::<FOLDED_AT_ONCE>(), from.first_chunk()) {
                (Some(to), Some(from)) => {
                    *to = *from;
                    to.make_ascii_lowercase();
                }
                _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_ascii_lowercase()),
            }
        }
        Some(octets)
    }

    /// The name in lower case, wire form, root label included.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.lower.get(..self.name_octets).unwrap_or_default()
    }

    /// Name, type and class as they came in the message that it was read from.
    #[must_use]
    pub fn octets<'m>(&self, message: &'m [u8]) -> &'m [u8] {
        message.get(HEADER_OCTETS..HEADER_OCTETS + self.name_octets + 4).unwrap_or_default()
    }
}

/// What a query says by EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The UDP reply that the client takes, in octets; below 512 it counts as 512 (RFC 6891 section 6.2.3).
    pub udp_octets: u16,
    /// The version.
    pub version: u8,
    /// The client wants the records of DNSSEC (RFC 3225 section 3).
    pub dnssec_ok: bool,
    /// What its options say.
    pub options: Wishes,
}

/// What the options of a query say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// The cookie.
    pub cookie: Option<Cookie>,
    /// The reply is to be padded where nobody can read it on its way (RFC 7830 section 4).
    pub padding: bool,
}

/// Reads the records behind a question of so many octets, for the sake of EDNS.
///
/// # Errors
/// [`Malformed`] where they end early, hold a bad name, or a second or misplaced OPT.
pub fn read_edns(
    message: &[u8],
    header: &Header,
    question_octets: usize,
) -> Result<Option<Edns>, Malformed> {
    let mut at = HEADER_OCTETS + question_octets;
    let mut edns = None;
    for index in 0..header.records + u32::from(header.additionals) {
        let record = Record::read(message, at).ok_or(Malformed)?;
        at = record.end;
        if record.rtype == TYPE_OPT {
            if index < header.records || edns.is_some() || !record.at_root {
                return Err(Malformed);
            }
            edns = Some(Edns {
                udp_octets: record.class.max(512),
                version: record.version,
                dnssec_ok: record.flags & 0x80 != 0,
                options: read_options(record.data)?,
            });
        }
    }
    Ok(edns)
}

/// A message that is no DNS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

struct Record<'q> {
    at_root: bool,
    rtype: u16,
    class: u16,
    version: u8,
    /// The upper octet of an OPT record's flags.
    flags: u8,
    data: &'q [u8],
    end: usize,
}

impl<'q> Record<'q> {
    fn read(message: &'q [u8], at: usize) -> Option<Self> {
        let behind = skip_name(message, at)?;
        let [t1, t2, c1, c2, _, version, flags, _, l1, l2] =
            *message.get(behind..)?.first_chunk()?;
        let start = behind + 10;
        let end = start + usize::from(u16::from_be_bytes([l1, l2]));
        Some(Self {
            at_root: message.get(at) == Some(&0),
            rtype: u16::from_be_bytes([t1, t2]),
            class: u16::from_be_bytes([c1, c2]),
            version,
            flags,
            data: message.get(start..end)?,
            end,
        })
    }
}

/// Where a name's octets end. A pointer must point backwards, so that no chain of them is a loop; each is
/// checked by one step only, since nobody follows it.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            192.. => {
                let low = *message.get(at + 1)?;
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                return (HEADER_OCTETS..start).contains(&target).then_some(at + 2);
            }
            _ => return None,
        }
        if at - start >= NAME_OCTETS_MAX {
            return None;
        }
    }
}

/// Reads the options of an OPT record, for the sake of padding and of the first cookie (RFC 7873 section 5.2).
fn read_options(mut data: &[u8]) -> Result<Wishes, Malformed> {
    let mut wishes = Wishes::default();
    while !data.is_empty() {
        let [c1, c2, l1, l2] = *data.first_chunk().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([l1, l2]));
        let option = data.get(4..4 + length).ok_or(Malformed)?;
        match u16::from_be_bytes([c1, c2]) {
            OPTION_COOKIE if wishes.cookie.is_none() => wishes.cookie = Some(read_cookie(option)?),
            OPTION_PADDING => wishes.padding = true,
            _ => {}
        }
        data = data.get(4 + length..).unwrap_or_default();
    }
    Ok(wishes)
}

/// 8 octets of the client's, then none or 8 to 32 of a server's (RFC 7873 section 4). Ours have 16.
fn read_cookie(option: &[u8]) -> Result<Cookie, Malformed> {
    let (client, server) = option.split_first_chunk().ok_or(Malformed)?;
    match server.len() {
        0 | 8..=32 => Ok(Cookie { client: *client, server: server.try_into().ok() }),
        _ => Err(Malformed),
    }
}
