//! What a zone has besides its apps: the apex and the static records of its zone file, or the built-in apex.
//!
//! Immutable. The SOA's serial is not in here: it belongs to the moment, not to the file.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::settings::{ZoneName, ZoneSettings};
use super::wire;
use super::zonefile::{Place, StaticRecord};

/// SOA (RFC 1035 section 3.3.13).
pub const TYPE_SOA: u16 = 6;
/// NS (RFC 1035 section 3.3.11).
pub const TYPE_NS: u16 = 2;
/// CNAME (RFC 1035 section 3.3.1).
pub const TYPE_CNAME: u16 = 5;
/// PTR (RFC 1035 section 3.3.12).
pub(super) const TYPE_PTR: u16 = 12;
/// Any type (RFC 1035 section 3.2.3).
const TYPE_ANY: u16 = 255;
/// Octets of the five numbers at the end of SOA data; the first is the serial.
pub(super) const SOA_NUMBERS_OCTETS: usize = 20;

/// What stands before the data of a record whose owner is a pointer (RFC 1035 section 4.1.3).
const RECORD_HEADER: usize = 12;

/// The label of a wildcard.
pub(super) const WILDCARD: &[u8] = b"\x01*";

/// Times of the built-in SOA, in seconds: refresh, retry and expire are RFC 1912 section 2.2's smaller values,
/// since a secondary is told of changes anyway.
const BUILT_IN_TIMES: [u32; 3] = [1_200, 180, 1_209_600];
/// The built-in apex names this host as its server: nothing better is known, and it exists everywhere.
const BUILT_IN_SERVER: &[u8] = b"\x09localhost\x00";

/// The static part of one zone.
#[derive(Debug)]
pub struct Statics {
    names: HashMap<Box<[u8]>, StaticNode, RandomState>,
    /// Whether any name begins with the label `*`.
    has_wildcards: bool,
    soa: Soa,
    digest: u64,
}

/// A name with static records, or one on the way to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticNode {
    /// Its RRsets; none: the name merely exists (an empty non-terminal).
    pub sets: Vec<RrSet>,
    /// Where its first record stands, for messages: `svc.zone:12`, or its key.
    place: String,
    /// It comes from what is registered, and not from a zone file.
    registered: bool,
}

/// Records of one name and type.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct RrSet {
    /// Type number.
    pub rtype: u16,
    /// Time to live in seconds.
    pub ttl_secs: u32,
    /// Data of each record in wire form, names uncompressed.
    pub data: Vec<Arc<[u8]>>,
}

impl RrSet {
    /// Octets that its records take in an answer, with pointers as their owners.
    pub(super) fn answer_octets(&self) -> usize {
        self.data.iter().map(|data| RECORD_HEADER + data.len()).sum()
    }
}

/// Another name that a name stands for.
#[derive(Debug, Clone, Copy)]
pub struct Alias<'a> {
    /// Time to live in seconds.
    pub ttl_secs: u32,
    /// That name in wire form, in the zone file's case.
    pub target: &'a [u8],
}

/// The zone's SOA record.
#[derive(Debug, Hash)]
pub struct Soa {
    /// Time to live in seconds.
    pub ttl_secs: u32,
    /// Time to live of negative answers: the smaller of the SOA's own and its MINIMUM (RFC 2308 section 5).
    pub negative_ttl_secs: u32,
    /// Data in wire form, with the file's serial in it.
    data: Box<[u8]>,
}

impl Soa {
    /// Its data before the serial, and behind it.
    #[must_use]
    pub fn around_serial(&self) -> (&[u8], &[u8]) {
        let (names, numbers) =
            self.data.split_at(self.data.len().saturating_sub(SOA_NUMBERS_OCTETS));
        (names, numbers.get(4..).unwrap_or_default())
    }

    /// The serial that the zone file gives.
    #[must_use]
    pub fn file_serial(&self) -> u32 {
        let at = self.data.len().saturating_sub(SOA_NUMBERS_OCTETS);
        self.data
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |octets| u32::from_be_bytes(*octets))
    }

    fn new(ttl_secs: u32, data: Box<[u8]>) -> Self {
        let minimum = data.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
        Self { ttl_secs, negative_ttl_secs: ttl_secs.min(minimum), data }
    }
}

impl Statics {
    /// The static part of a zone as configured.
    #[must_use]
    pub fn new(settings: &ZoneSettings) -> Self {
        match &settings.file {
            Some(file) => {
                let place = |record: &StaticRecord| {
                    format!("{}:{}", file.path_of(record).display(), record.place.line)
                };
                Self::from_records(&file.records, &place)
            }
            None => {
                Self::from_records(&built_in(&settings.name, settings.negative_ttl_secs), &|_| {
                    "built-in apex".to_owned()
                })
            }
        }
    }

    /// The zone's SOA.
    #[must_use]
    pub fn soa(&self) -> &Soa {
        &self.soa
    }

    /// The static name with these labels, relative to the zone.
    #[must_use]
    pub fn find(&self, relative: &[u8]) -> Option<&StaticNode> {
        self.names.get(relative)
    }

    /// Whether the zone has wildcards (RFC 4592 section 2.1.1).
    pub(super) fn has_wildcards(&self) -> bool {
        self.has_wildcards
    }

    /// The wildcard right below a name; one without records of its own too, for which the answer is that there are
    /// none (RFC 4592 section 4.9).
    pub(super) fn wildcard(&self, encloser: &[u8]) -> Option<&StaticNode> {
        let mut name = [0; 255];
        let octets = WILDCARD.len() + encloser.len();
        let name = name.get_mut(..octets)?;
        let (label, rest) = name.split_at_mut(WILDCARD.len());
        label.copy_from_slice(WILDCARD);
        rest.copy_from_slice(encloser);
        self.find(name)
    }

    /// Where a name has static records; none where it has none of its own.
    pub(super) fn place(&self, relative: &[u8]) -> Option<&str> {
        self.names.get(relative).and_then(StaticNode::place)
    }

    /// Makes the names on the way to that one exist: a zone of its own begins there.
    pub(super) fn lead_to(&mut self, relative: &[u8]) {
        for name in wire::above(relative) {
            self.names.entry(name.into()).or_default();
        }
    }

    /// The names whose records stand elsewhere than they do among the others, or are only here.
    pub(super) fn moved<'s>(&'s self, others: &'s Self) -> impl Iterator<Item = &'s [u8]> {
        let names = self.names.keys().map(|name| &**name);
        names.filter(|name| self.place(name).is_some() && self.place(name) != others.place(name))
    }

    /// All of it, for comparison.
    #[cfg(test)]
    pub(super) fn listing(&self) -> Vec<String> {
        let mut all: Vec<_> = self
            .names
            .iter()
            .map(|(name, StaticNode { sets, place, .. })| {
                let mut sets: Vec<_> = sets.iter().map(|set| format!("{set:?}")).collect();
                sets.sort();
                format!("{} {place} {sets:?}", name.escape_ascii())
            })
            .collect();
        all.sort();
        all.push(format!("{:?} {} {}", self.soa, self.digest, self.has_wildcards));
        all
    }

    /// A number that changes with the content, its order apart.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    fn from_records(records: &[StaticRecord], place: &dyn Fn(&StaticRecord) -> String) -> Self {
        let mut names: HashMap<Box<[u8]>, StaticNode, RandomState> = HashMap::default();
        let mut soa = None;
        let mut digest = 0_u64;
        for record in records {
            let mut hasher = DefaultHasher::new();
            (&record.owner, record.rtype, record.ttl_secs, &record.data).hash(&mut hasher);
            digest = digest.wrapping_add(hasher.finish());
            for name in wire::above(&record.owner) {
                names.entry(name.into()).or_default();
            }
            if record.rtype == TYPE_SOA {
                soa = Some(Soa::new(record.ttl_secs, record.data.clone()));
            }
            let node = names.entry(record.owner.clone()).or_default();
            if node.sets.is_empty() {
                node.place = place(record);
            }
            node.add(record);
        }
        // A zone file without SOA was refused when it was read.
        let soa = soa.unwrap_or_else(|| Soa::new(0, vec![0; 2 + SOA_NUMBERS_OCTETS].into()));
        let has_wildcards = names.keys().any(|name| name.starts_with(WILDCARD));
        Self { names, has_wildcards, soa, digest }
    }
}

impl StaticNode {
    /// A name with those sets, which stand in no file; `place` says where else.
    pub(super) fn registered(sets: Vec<RrSet>, place: String) -> Self {
        Self { sets, place, registered: true }
    }

    /// Whether its records come from what is registered.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// Where its first record stands; none where it has none.
    pub(super) fn place(&self) -> Option<&str> {
        (!self.sets.is_empty()).then_some(&self.place)
    }

    /// Its records of one type.
    #[must_use]
    pub fn set(&self, rtype: u16) -> Option<&RrSet> {
        self.sets.iter().find(|set| set.rtype == rtype)
    }

    /// Where to look for records of a type instead; none where it has them itself, or is asked about its alias.
    #[must_use]
    pub fn alias(&self, rtype: u16) -> Option<Alias<'_>> {
        if matches!(rtype, TYPE_CNAME | TYPE_ANY) || self.set(rtype).is_some() {
            return None;
        }
        let set = self.set(TYPE_CNAME)?;
        Some(Alias { ttl_secs: set.ttl_secs, target: set.data.first()? })
    }

    fn add(&mut self, record: &StaticRecord) {
        match self.sets.iter_mut().find(|set| set.rtype == record.rtype) {
            Some(set) => set.data.push((*record.data).into()),
            None => self.sets.push(RrSet {
                rtype: record.rtype,
                ttl_secs: record.ttl_secs,
                data: vec![(*record.data).into()],
            }),
        }
    }
}

/// SOA and NS of a zone without a file.
fn built_in(zone: &ZoneName, negative_ttl_secs: u32) -> Vec<StaticRecord> {
    let mut soa = BUILT_IN_SERVER.to_vec();
    wire::push_label(&mut soa, b"hostmaster");
    soa.extend_from_slice(zone.wire());
    let [refresh, retry, expire] = BUILT_IN_TIMES;
    for number in [0, refresh, retry, expire, negative_ttl_secs] {
        soa.extend_from_slice(&number.to_be_bytes());
    }
    let record = |rtype, data: Vec<u8>| StaticRecord {
        owner: Box::default(),
        rtype,
        ttl_secs: BUILT_IN_TIMES[0],
        data: data.into(),
        place: Place::default(),
    };
    vec![record(TYPE_SOA, soa), record(TYPE_NS, BUILT_IN_SERVER.to_vec())]
}
