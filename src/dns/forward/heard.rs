//! What is known of a question: records from others, from us, or from both.
//!
//! Knows nothing of where it came from.

use hickory_resolver::MAX_TTL;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// An answer's content.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// The response code.
    pub(super) rcode: u16,
    /// The answer section.
    pub(super) answers: Vec<Record>,
    /// The authority section.
    pub(super) authorities: Vec<Record>,
}

impl Heard {
    /// A response code, and nothing else.
    pub(super) fn bare(rcode: u16) -> Self {
        Self { rcode, ..Self::default() }
    }

    /// The first SOA of the authority section, with its time to live.
    fn soa(&self) -> Option<(&SOA, u32)> {
        self.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some((soa, record.ttl)),
            _ => None,
        })
    }

    /// For how many seconds a negative answer may be kept (RFC 2308 section 5); none without an SOA.
    fn negative_ttl(&self) -> Option<u32> {
        self.soa().map(|(soa, ttl)| ttl.min(soa.minimum))
    }

    /// For how many seconds an answer to a question of that type may be kept. An alias that leads to nothing is kept no
    /// longer than that there is nothing.
    pub(super) fn lifetime_secs(&self, rtype: RecordType) -> u32 {
        let of_type = |record: &Record| rtype.is_any() || record.record_type() == rtype;
        let is_positive = self.answers.iter().any(of_type);
        let longest = if is_positive { MAX_TTL } else { self.negative_ttl().unwrap_or(0) };
        self.answers.iter().map(|record| record.ttl).fold(longest.min(MAX_TTL), u32::min)
    }
}

impl From<Message> for Heard {
    fn from(message: Message) -> Self {
        Self {
            rcode: message.metadata.response_code.into(),
            answers: message.answers,
            authorities: message.authorities,
        }
    }
}
