//! What is known of a question: records from others, from us, or from both.
//!
//! Knows nothing of where it came from.

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{RData, Record};

pub(super) const NOERROR: u16 = 0;
pub(super) const FORMERR: u16 = 1;
pub(super) const SERVFAIL: u16 = 2;
pub(super) const NXDOMAIN: u16 = 3;

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
    pub(super) fn negative_ttl(&self) -> Option<u32> {
        self.soa().map(|(soa, ttl)| ttl.min(soa.minimum))
    }

    /// In the form that the cache keeps.
    pub(super) fn into_kept(mut self, query: &Query) -> Result<Message, NetError> {
        let rtype = query.query_type();
        let negative_ttl = self.negative_ttl();
        if self.answers.is_empty() {
            let mut none =
                NoRecords::new(query.clone(), ResponseCode::from(0, self.rcode.to_le_bytes()[0]));
            none.negative_ttl = negative_ttl;
            none.authorities = Some(self.authorities.into());
            return Err(NetError::Dns(DnsError::NoRecordsFound(none)));
        }
        // An alias that leads to nothing is kept no longer than that there is nothing.
        if !rtype.is_any() && !self.answers.iter().any(|record| record.record_type() == rtype) {
            let longest = negative_ttl.unwrap_or(0);
            self.answers.iter_mut().for_each(|record| record.ttl = record.ttl.min(longest));
        }
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = ResponseCode::from(0, self.rcode.to_le_bytes()[0]);
        message.answers = self.answers;
        message.authorities = self.authorities;
        Ok(message)
    }

    /// From that form.
    pub(super) fn from_kept(kept: Result<Message, NetError>) -> Option<Self> {
        match kept {
            Ok(message) => Some(message.into()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Some(Self {
                rcode: none.response_code.into(),
                answers: Vec::new(),
                authorities: none.authorities.map(|all| all.to_vec()).unwrap_or_default(),
            }),
            Err(_) => None,
        }
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
