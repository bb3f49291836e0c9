//! Writes a reply's octets into a buffer that was allocated once, never beyond its limit.
//!
//! Records are written whole or not at all. Room for the OPT record is kept from the start, so that it is
//! never what does not fit (RFC 6891 section 7).

use super::cookie::COOKIE_OCTETS;
use super::query::{HEADER_OCTETS, OPTION_COOKIE, OPTION_PADDING, TYPE_OPT};

/// Largest message (RFC 1035 section 4.2.2: a length of 16 bits).
pub const MESSAGE_OCTETS_MAX: usize = 65_535;
/// Where the question's name stands.
pub const QUESTION_PLACE: usize = 12;
/// Pointers reach this far (RFC 1035 section 4.1.4).
const POINTER_MAX: u16 = 0x3fff;
/// Octets of one.
const POINTER_OCTETS: usize = 2;
/// An OPT record without options.
const OPT_OCTETS: usize = 11;
/// An option's code and length.
const OPTION_OCTETS: usize = 4;
/// The extended error option, without text.
const ERROR_OCTETS: usize = OPTION_OCTETS + 2;
/// The extended error option's code (RFC 8914 section 2).
const OPTION_EDE: u16 = 15;
/// DNSSEC OK, of the lower flags of an OPT record (RFC 6891 section 6.1.4).
const DO: u8 = 0x80;
/// What padded replies are multiples of (RFC 8467 section 4.1).
const PADDED_OCTETS: usize = 468;
/// Class IN.
const CLASS_IN: u16 = 1;

/// An extended error (RFC 8914 section 4); their names are the RFC's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ExtendedError {
    /// 4.4: the registry has not been heard of for a while.
    StaleAnswer = 3,
    /// 4.14: it failed a moment ago.
    CachedError = 13,
    /// 4.15: the server has not read its registry yet.
    NotReady = 14,
    /// 4.20: the same for a name that does not exist.
    StaleNxdomain = 19,
    /// 4.21: the name is in none of our zones.
    NotAuthoritative = 20,
    /// 4.23: nobody answers who could say.
    NoReachableAuthority = 22,
    /// 4.24: nobody can be reached, or understood, who could say.
    NetworkError = 23,
}

/// The sections that records are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The answer.
    Answer,
    /// The authority section.
    Authority,
    /// The additional section.
    Additional,
}

/// A reply being written.
#[derive(Debug)]
pub struct Reply<'o> {
    octets: &'o mut [u8],
    at: usize,
    /// What may be written up to here; the rest is kept for OPT.
    end: usize,
    counts: [u16; 3],
    /// Where the name stands that the answer is about: the question's, or that of an alias's target.
    owner: usize,
}

/// A state of a reply to go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: usize,
    counts: [u16; 3],
}

/// A record does not fit any more; nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<'o> Reply<'o> {
    /// Begins a reply of at most `limit` octets with the question as it came. The header is written last.
    pub fn begin(out: &'o mut [u8], limit: usize, question: &[u8], options: Options) -> Self {
        let limit = limit.min(MESSAGE_OCTETS_MAX);
        let mut reply = Self {
            octets: out,
            at: HEADER_OCTETS,
            end: limit.saturating_sub(options.octets()),
            counts: [0; 3],
            owner: QUESTION_PLACE,
        };
        // The smallest limit is 512; header, question and OPT with its options take at most 316.
        let _ = reply.put(question);
        reply
    }

    /// What follows is about the name that stands at that place: the target of an alias. Such stand in front of
    /// all other records, within reach of pointers.
    pub fn follow(&mut self, owner: usize) {
        self.owner = owner;
    }

    /// The place of the name that the answer is about.
    #[must_use]
    pub fn owner(&self) -> usize {
        self.owner
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts == [0; 3]
    }

    /// What is written so far, for [`Self::rewind`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { at: self.at, counts: self.counts }
    }

    /// Forgets all records that were written since.
    pub fn rewind(&mut self, to: Mark) {
        (self.at, self.counts) = (to.at, to.counts);
    }

    /// Writes one record that is whole already, its owner being the question's name, and gives the place where it
    /// begins.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    #[inline]
    pub fn ready(&mut self, section: Section, record: &[u8]) -> Result<usize, Full> {
        let start = self.at;
        self.put(record)?;
        if self.owner != QUESTION_PLACE {
            self.own(start);
        }
        self.count(section, 1);
        Ok(start)
    }

    /// Gives the record there the owner that the answer is about.
    #[cold]
    fn own(&mut self, start: usize) {
        let to = self.octets.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
        if let (Some(to), Some(pointer)) = (to, pointer(self.owner)) {
            *to = pointer;
        }
    }

    /// Writes additional records of `each` octets that are whole but for their owner, which is the name that
    /// stands at that place of the message. All of them or none: they are one RRset.
    ///
    /// # Errors
    /// [`Full`] if they do not fit.
    #[inline]
    pub fn glue(&mut self, owner: usize, records: &[u8], each: usize) -> Result<(), Full> {
        if records.is_empty() {
            return Ok(());
        }
        let before = self.mark();
        let Some(pointer) = pointer(owner) else {
            let written = records.chunks_exact(each).try_for_each(|record| {
                self.put_owner(owner)?;
                self.put(record.get(POINTER_OCTETS..).unwrap_or_default())?;
                self.count(Section::Additional, 1);
                Ok(())
            });
            return written.inspect_err(|Full| self.rewind(before));
        };
        self.put(records)?;
        let written = self.octets.get_mut(before.at..self.at).unwrap_or_default();
        for record in written.chunks_exact_mut(each) {
            if let Some(owner) = record.first_chunk_mut() {
                *owner = pointer;
            }
            self.counts[2] += 1;
        }
        Ok(())
    }

    /// Writes one record whose owner is the name that stands at that place of the message, and whose data are
    /// these parts; gives the place where the data begin.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn record(
        &mut self,
        section: Section,
        owner: usize,
        rtype: u16,
        ttl_secs: u32,
        data: &[&[u8]],
    ) -> Result<usize, Full> {
        let before = self.mark();
        let written = self.try_record(owner, rtype, ttl_secs, data);
        match written {
            Ok(_) => self.count(section, 1),
            Err(Full) => self.rewind(before),
        }
        written
    }

    fn count(&mut self, section: Section, records: u16) {
        let [answers, authorities, additionals] = &mut self.counts;
        *match section {
            Section::Answer => answers,
            Section::Authority => authorities,
            Section::Additional => additionals,
        } += records;
    }

    fn try_record(
        &mut self,
        owner: usize,
        rtype: u16,
        ttl_secs: u32,
        data: &[&[u8]],
    ) -> Result<usize, Full> {
        self.put_owner(owner)?;
        let octets = data.iter().map(|part| part.len()).sum::<usize>();
        let [l1, l2] = u16::try_from(octets).map_err(|_| Full)?.to_be_bytes();
        let [t1, t2] = rtype.to_be_bytes();
        let [c1, c2] = CLASS_IN.to_be_bytes();
        let [s1, s2, s3, s4] = ttl_secs.to_be_bytes();
        self.put(&[t1, t2, c1, c2, s1, s2, s3, s4, l1, l2])?;
        let place = self.at;
        data.iter().try_for_each(|part| self.put(part))?;
        Ok(place)
    }

    /// A pointer to the name at that place; where none reaches, the name again.
    fn put_owner(&mut self, place: usize) -> Result<(), Full> {
        if let Some(pointer) = pointer(place) {
            return self.put(&pointer);
        }
        let name = place..place + self.name(place).len();
        let behind = self.at + name.len();
        let is_there = !name.is_empty() && name.end <= self.at;
        if !is_there || behind > self.end || behind > self.octets.len() {
            return Err(Full);
        }
        self.octets.copy_within(name, self.at);
        self.at = behind;
        Ok(())
    }

    /// The name that is written out at that place of the message.
    #[must_use]
    pub fn name(&self, place: usize) -> &[u8] {
        let mut end = place;
        while let Some(length @ 1..) = self.octets.get(end).copied() {
            end += 1 + usize::from(length);
        }
        self.octets.get(place..=end).unwrap_or_default()
    }

    /// Writes the OPT record and the header, and gives the reply's length.
    #[must_use]
    pub fn finish(
        mut self,
        id: [u8; 2],
        flags: u16,
        rcode: u16,
        questions: u16,
        options: Options,
    ) -> usize {
        let mut additionals = self.counts[2];
        if let Some(udp_octets) = options.udp_octets {
            self.end += options.octets();
            additionals += 1;
            let [t1, t2] = TYPE_OPT.to_be_bytes();
            let [s1, s2] = udp_octets.to_be_bytes();
            // The upper eight bits of the RCODE (RFC 6891 section 6.1.3); version 0; of the flags DO alone, as it
            // came (RFC 3225 section 3).
            let [_, high] = (rcode >> 4).to_be_bytes();
            let flags = if options.dnssec_ok { DO } else { 0 };
            let padding = if options.padding { self.padding(options) } else { 0 };
            let [l2, l1, ..] = (options.data_octets() + padding).to_le_bytes();
            let _ = self.put(&[0, t1, t2, s1, s2, high, 0, flags, 0, l1, l2]);
            if let Some(cookie) = options.cookie {
                let [o1, o2] = OPTION_COOKIE.to_be_bytes();
                let [octets, ..] = COOKIE_OCTETS.to_le_bytes();
                let _ = self.put(&[o1, o2, 0, octets]);
                let _ = self.put(&cookie);
            }
            if let Some(error) = options.error {
                let [o1, o2] = OPTION_EDE.to_be_bytes();
                let [e1, e2] = (error as u16).to_be_bytes();
                let _ = self.put(&[o1, o2, 0, 2, e1, e2]);
            }
            if options.padding {
                self.pad(padding);
            }
        }
        let [i1, i2] = id;
        let [f1, f2] = (flags | (rcode & 0xf)).to_be_bytes();
        let [q1, q2] = questions.to_be_bytes();
        let [[a1, a2], [n1, n2]] = [self.counts[0].to_be_bytes(), self.counts[1].to_be_bytes()];
        let [x1, x2] = additionals.to_be_bytes();
        if let Some(header) = self.octets.first_chunk_mut() {
            *header = [i1, i2, f1, f2, q1, q2, a1, a2, n1, n2, x1, x2];
        }
        self.at
    }

    /// How many octets of padding make the reply as long as others are, so that its length tells nothing.
    #[cold]
    fn padding(&self, options: Options) -> usize {
        let bare = self.at + options.octets();
        let padded = bare.next_multiple_of(PADDED_OCTETS).min(self.end).min(self.octets.len());
        padded.saturating_sub(bare)
    }

    /// Writes the padding option (RFC 7830 section 3), which is the last one.
    #[cold]
    fn pad(&mut self, padding: usize) {
        let [o1, o2] = OPTION_PADDING.to_be_bytes();
        let [l2, l1, ..] = padding.to_le_bytes();
        let _ = self.put(&[o1, o2, l1, l2]);
        if let Some(zeros) = self.octets.get_mut(self.at..self.at + padding) {
            zeros.fill(0);
            self.at += padding;
        }
    }

    fn put(&mut self, part: &[u8]) -> Result<(), Full> {
        let end = self.at + part.len();
        if end > self.end {
            return Err(Full);
        }
        copy(self.octets.get_mut(self.at..end).ok_or(Full)?, part);
        self.at = end;
        Ok(())
    }
}

/// Copies octets to a place of their length. Records have 16 to 64 as a rule: two or four registers that overlap
/// cost less than a call.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    const WORD: usize = 16;
    if to.len() != from.len() {
        return;
    }
    let word = |at: usize| {
        let from = from.get(at..).and_then(<[u8]>::first_chunk::<WORD>);
        let to = to.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<WORD>);
        if let (Some(to), Some(from)) = (to, from) {
            *to = *from;
        }
    };
    let len = from.len();
    match len {
        16..=32 => [0, len - WORD].into_iter().for_each(word),
        33..=64 => [0, WORD, len - 2 * WORD, len - WORD].into_iter().for_each(word),
        _ => to.copy_from_slice(from),
    }
}

/// A pointer to that place, if one reaches it.
fn pointer(place: usize) -> Option<[u8; POINTER_OCTETS]> {
    let place = u16::try_from(place).ok().filter(|place| *place <= POINTER_MAX)?;
    Some((0xc000 | place).to_be_bytes())
}

/// What the OPT record says, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The UDP size that we take; none: no OPT record, since the query had none.
    pub udp_octets: Option<u16>,
    /// An extended error.
    pub error: Option<ExtendedError>,
    /// The client's cookie and ours.
    pub cookie: Option<[u8; COOKIE_OCTETS]>,
    /// The query had DO set.
    pub dnssec_ok: bool,
    /// The reply is padded.
    pub padding: bool,
}

impl Options {
    fn octets(self) -> usize {
        if self.udp_octets.is_some() { OPT_OCTETS + self.data_octets() } else { 0 }
    }

    /// Octets of the options alone, and of none of the padding itself.
    fn data_octets(self) -> usize {
        let error = if self.error.is_some() { ERROR_OCTETS } else { 0 };
        let cookie = if self.cookie.is_some() { OPTION_OCTETS + COOKIE_OCTETS } else { 0 };
        let padding = if self.padding { OPTION_OCTETS } else { 0 };
        error + cookie + padding
    }
}

#[cfg(test)]
mod tests {
    use super::copy;

    #[test]
    fn copies_of_every_length_are_whole() {
        let from: Vec<u8> = (1..=100).collect();
        for len in 0..=from.len() {
            let (from, _) = from.split_at(len);
            let mut to = vec![0; len];
            copy(&mut to, from);
            assert_eq!(to, from);
        }
    }
}
