//! What others have said, for as long as it holds (RFC 1035 section 7.4, RFC 2308 section 5, RFC 9520).
//!
//! Bounded in two ways: so many answers, and none that is longer than [`OCTETS_MAX`].
//!
//! Knows nothing of who said it, nor of our zones.

use std::time::Instant;

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::{ResponseCache, TtlConfig};

use super::heard::{Heard, SERVFAIL};

/// Longest answer that is kept. Nearly all fit a datagram; whoever asks for others asks upstream each time.
const OCTETS_MAX: usize = 8 << 10;
/// A failure is kept this long, so that those who ask again at once do not add to what causes it (RFC 9520 section
/// 3.2 asks for a second at least).
const FAILURE_SECS: u32 = 1;

/// The cache; none where nothing is to be kept.
#[derive(Debug)]
pub(super) struct Cache {
    responses: Option<ResponseCache>,
}

impl Cache {
    /// Of so many answers.
    pub(super) fn new(entries_max: usize) -> Self {
        let responses =
            (entries_max > 0).then(|| ResponseCache::new(entries_max as u64, TtlConfig::default()));
        Self { responses }
    }

    /// What is known of a question, its times to live counted down. SERVFAIL is a failure that is remembered.
    pub(super) fn get(&self, query: &Query, now: Instant) -> Option<Heard> {
        Heard::from_kept(self.responses.as_ref()?.get(query, now)?)
    }

    /// Keeps an answer that was so many octets long.
    pub(super) fn put(&self, query: &Query, heard: Heard, octets: usize, now: Instant) {
        if let Some(responses) = self.responses.as_ref().filter(|_| octets <= OCTETS_MAX) {
            responses.insert(query.clone(), heard.into_kept(query), now);
        }
    }

    /// Remembers for a moment that nobody could say.
    pub(super) fn put_failure(&self, query: &Query, now: Instant) {
        if let Some(responses) = &self.responses {
            let code = ResponseCode::from(0, SERVFAIL.to_le_bytes()[0]);
            let mut none = NoRecords::new(query.clone(), code);
            none.negative_ttl = Some(FAILURE_SECS);
            let failed = NetError::Dns(DnsError::NoRecordsFound(none));
            responses.insert(query.clone(), Err(failed), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;
    use std::time::Duration;

    use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
    use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

    use super::super::heard::{NOERROR, NXDOMAIN};
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn query(text: &str) -> Query {
        Query::query(name(text), RecordType::A)
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let data = SOA::new(name("ns."), name("who."), 1, 2, 3, 4, minimum);
        Record::from_rdata(name("org."), ttl, RData::SOA(data))
    }

    fn after(from: Instant, secs: u64) -> Instant {
        from + Duration::from_secs(secs)
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says() {
        let (cache, now) = (Cache::new(10), tokio::time::Instant::now().into_std());
        let answer = Record::from_rdata(name("a.org."), 10, RData::A(A::new(192, 0, 2, 1)));
        let heard = Heard { answers: vec![answer], ..Heard::bare(NOERROR) };
        cache.put(&query("a.org."), heard.clone(), 100, now);
        let later = cache.get(&query("A.ORG."), after(now, 4)).unwrap();
        assert_eq!(later.answers[0].ttl, 6, "counted down, and found without case");
        assert!(cache.get(&query("a.org."), after(now, 11)).is_none());
        cache.put(&query("b.org."), heard.clone(), OCTETS_MAX + 1, now);
        assert!(cache.get(&query("b.org."), now).is_none(), "too long to keep");
        let none = Cache::new(0);
        none.put(&query("a.org."), heard, 100, now);
        assert!(none.get(&query("a.org."), now).is_none());
    }

    #[test]
    fn a_negative_answer_holds_as_long_as_its_soa_says() {
        let (cache, now) = (Cache::new(10), tokio::time::Instant::now().into_std());
        let heard = Heard { authorities: vec![soa(60, 5)], ..Heard::bare(NXDOMAIN) };
        cache.put(&query("no.org."), heard, 100, now);
        let later = cache.get(&query("no.org."), after(now, 4)).unwrap();
        assert_eq!((later.rcode, later.authorities.len()), (NXDOMAIN, 1));
        assert!(cache.get(&query("no.org."), after(now, 6)).is_none());
        cache.put(&query("no.org."), Heard::bare(NXDOMAIN), 100, now);
        assert!(cache.get(&query("no.org."), after(now, 1)).is_none(), "without SOA: not kept");
    }

    #[test]
    fn an_alias_to_nothing_holds_no_longer_than_the_nothing() {
        let (cache, now) = (Cache::new(10), tokio::time::Instant::now().into_std());
        let alias = RData::CNAME(CNAME(name("no.org.")));
        let alias = Record::from_rdata(name("a.org."), 600, alias);
        let heard =
            Heard { answers: vec![alias], authorities: vec![soa(60, 5)], ..Heard::bare(NXDOMAIN) };
        cache.put(&query("a.org."), heard, 100, now);
        let later = cache.get(&query("a.org."), after(now, 4)).unwrap();
        assert_eq!((later.rcode, later.answers.len()), (NXDOMAIN, 1));
        assert!(cache.get(&query("a.org."), after(now, 6)).is_none());
    }

    #[test]
    fn a_failure_is_remembered_for_a_moment() {
        let (cache, now) = (Cache::new(10), tokio::time::Instant::now().into_std());
        cache.put_failure(&query("a.org."), now);
        assert_eq!(cache.get(&query("a.org."), now).unwrap().rcode, SERVFAIL);
        assert!(cache.get(&query("a.org."), after(now, 2)).is_none());
    }
}
