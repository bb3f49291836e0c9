//! What others have said, for as long as it holds (RFC 1035 section 7.4, RFC 2308 section 5), and that they could not
//! say (RFC 9520).
//!
//! Answers are kept as the octets that came, and counted by them: a record that has been read takes many times its
//! octets. So the cache is bounded by what it really takes. What an answer holds that nobody asked for is left out each
//! time it is used.
//!
//! Knows nothing of who said it, nor of our zones.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::MAX_TTL;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RecordType;
use moka::Expiry;
use tokio::time::Instant;

use super::heard::Heard;
use super::under_way::Key;

/// Longest answer that is kept. Nearly all fit a datagram; whoever asks for others asks upstream each time.
const OCTETS_MAX: usize = 8 << 10;
/// A failure is kept this long, so that those who ask again at once do not add to what causes it (RFC 9520 section
/// 3.2 asks for a second at least).
const FAILURE: Duration = Duration::from_secs(1);
/// What an entry takes beside its octets and those of its name, in the cache's own tables above all: some 360 octets by
/// the test below, and what the allocator adds.
const ENTRY_OCTETS: usize = 480;

/// The cache; none where nothing is to be kept.
#[derive(Debug)]
pub(super) struct Cache {
    entries: Option<moka::sync::Cache<Key, Entry>>,
}

/// It is known that nobody could say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

#[derive(Debug, Clone)]
struct Entry {
    /// The message; none where nobody could say.
    message: Option<Arc<[u8]>>,
    since: Instant,
    lifetime: Duration,
}

impl Cache {
    /// Of so many octets.
    pub(super) fn new(octets_max: u64) -> Self {
        let cache = || {
            moka::sync::Cache::builder()
                .max_capacity(octets_max)
                .weigher(weigh)
                .expire_after(Lifetime)
                .build()
        };
        Self { entries: (octets_max > 0).then(cache) }
    }

    /// What is known of a question, its times to live counted down.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Result<Heard, Failed>> {
        let entry = self.entries.as_ref()?.get(key)?;
        let age = now.saturating_duration_since(entry.since);
        if age >= entry.lifetime {
            return None;
        }
        let Some(message) = entry.message else { return Some(Err(Failed)) };
        let mut heard = Heard::from(Message::from_vec(&message).ok()?);
        // No older than a lifetime, which is a day at most.
        let age_secs = age.as_secs() as u32;
        for record in heard.answers.iter_mut().chain(&mut heard.authorities) {
            record.ttl = record.ttl.min(MAX_TTL).saturating_sub(age_secs);
        }
        Some(Ok(heard))
    }

    /// Keeps an answer: what was heard, and the message that it was heard in.
    pub(super) fn put(&self, key: Key, heard: &Heard, message: &[u8], now: Instant) {
        let lifetime_secs = heard.lifetime_secs(RecordType::from(key.1));
        if lifetime_secs > 0 && message.len() <= OCTETS_MAX {
            self.insert(key, Some(message), Duration::from_secs(lifetime_secs.into()), now);
        }
    }

    /// Remembers for a moment that nobody could say.
    pub(super) fn put_failure(&self, key: Key, now: Instant) {
        self.insert(key, None, FAILURE, now);
    }

    fn insert(&self, key: Key, message: Option<&[u8]>, lifetime: Duration, since: Instant) {
        if let Some(entries) = &self.entries {
            entries.insert(key, Entry { message: message.map(Arc::from), since, lifetime });
        }
    }
}

/// The octets that an entry takes.
fn weigh((name, ..): &Key, entry: &Entry) -> u32 {
    let message = entry.message.as_ref().map_or(0, |message| message.len());
    // A message has at most [`OCTETS_MAX`] octets, a name 255.
    (ENTRY_OCTETS + name.len() + message) as u32
}

/// Entries leave the cache when they hold no longer.
struct Lifetime;

impl Expiry<Key, Entry> for Lifetime {
    fn expire_after_create(
        &self,
        _: &Key,
        entry: &Entry,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(entry.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Entry,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use allocation_counter::measure;
    use hickory_resolver::proto::op::{OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
    use hickory_resolver::proto::rr::{Name, RData, Record};

    use super::super::upstream::Wishes;
    use super::*;
    use crate::dns::answer::codes::{NOERROR, NXDOMAIN};

    /// Room enough.
    const OCTETS: u64 = 1 << 20;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn key(text: &str) -> Key {
        (super::super::name::lower(&name(text)).into(), 1, Wishes::new(false, false))
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let data = SOA::new(name("ns."), name("who."), 1, 2, 3, 4, minimum);
        Record::from_rdata(name("org."), ttl, RData::SOA(data))
    }

    fn address(owner: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
    }

    fn message(rcode: u16, answers: Vec<Record>, authorities: Vec<Record>) -> Vec<u8> {
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = ResponseCode::from(0, rcode as u8);
        message.add_answers(answers);
        message.add_authorities(authorities);
        message.to_vec().unwrap()
    }

    fn put(cache: &Cache, text: &str, message: &[u8], now: Instant) {
        let heard = Heard::from(Message::from_vec(message).unwrap());
        cache.put(key(text), &heard, message, now);
    }

    fn get(cache: &Cache, text: &str, at: Instant, secs: u64) -> Option<Heard> {
        cache.get(&key(text), at + Duration::from_secs(secs))?.ok()
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says() {
        let (cache, now) = (Cache::new(OCTETS), Instant::now());
        let answer =
            message(NOERROR, vec![address("a.org.", 10, 1), address("a.org.", 20, 2)], vec![]);
        put(&cache, "a.org.", &answer, now);
        let later = get(&cache, "A.ORG.", now, 4).unwrap();
        let ttls: Vec<_> = later.answers.iter().map(|record| record.ttl).collect();
        assert_eq!(ttls, [6, 16], "counted down, and found without case");
        assert!(get(&cache, "a.org.", now, 10).is_none());
        put(&cache, "b.org.", &message(NOERROR, vec![address("b.org.", 0, 1)], vec![]), now);
        assert!(get(&cache, "b.org.", now, 0).is_none(), "for once only");
        let long = vec![address("c.org.", 90_000, 1)];
        put(&cache, "c.org.", &message(NOERROR, long, vec![]), now);
        assert_eq!(get(&cache, "c.org.", now, 1).unwrap().answers[0].ttl, MAX_TTL - 1);
        let many = (0..=255).chain(0..=255).map(|last| address("many.example.org.", 60, last));
        let many = message(NOERROR, many.collect(), vec![]);
        assert!(many.len() > OCTETS_MAX);
        put(&cache, "many.example.org.", &many, now);
        assert!(get(&cache, "many.example.org.", now, 0).is_none(), "too long to keep");
        let none = Cache::new(0);
        put(&none, "a.org.", &answer, now);
        assert!(get(&none, "a.org.", now, 0).is_none());
    }

    #[test]
    fn a_negative_answer_holds_as_long_as_its_soa_says() {
        let (cache, now) = (Cache::new(OCTETS), Instant::now());
        put(&cache, "no.org.", &message(NXDOMAIN, vec![], vec![soa(60, 5)]), now);
        let later = get(&cache, "no.org.", now, 4).unwrap();
        assert_eq!((later.rcode, later.authorities.len()), (NXDOMAIN, 1));
        assert!(get(&cache, "no.org.", now, 6).is_none());
        put(&cache, "no.org.", &message(NXDOMAIN, vec![], vec![]), now);
        assert!(get(&cache, "no.org.", now, 6).is_none(), "without SOA: not kept");
    }

    #[test]
    fn an_alias_to_nothing_holds_no_longer_than_the_nothing() {
        let (cache, now) = (Cache::new(OCTETS), Instant::now());
        let alias = RData::CNAME(CNAME(name("no.org.")));
        let alias = Record::from_rdata(name("a.org."), 600, alias);
        put(&cache, "a.org.", &message(NXDOMAIN, vec![alias], vec![soa(60, 5)]), now);
        let later = get(&cache, "a.org.", now, 4).unwrap();
        assert_eq!((later.rcode, later.answers.len()), (NXDOMAIN, 1));
        assert!(get(&cache, "a.org.", now, 6).is_none());
    }

    #[test]
    fn a_failure_is_remembered_for_a_moment_whatever_the_wishes() {
        let (cache, now) = (Cache::new(OCTETS), Instant::now());
        for wishes in Wishes::ALL {
            let key = (key("a.org.").0, 1, wishes);
            cache.put_failure(key.clone(), now);
            assert_eq!(cache.get(&key, now).unwrap().unwrap_err(), Failed);
            assert!(cache.get(&key, now + FAILURE).is_none());
        }
    }

    #[test]
    fn a_full_cache_takes_no_more_than_it_may() {
        const MOST: u64 = 8 << 20;
        let now = Instant::now();
        // Many records, which take most when they have been read, and few, where the cache's tables do.
        for records in [1, 250] {
            let answers = || (0..records).map(|last| address("www.example.org.", 60, last as u8));
            let answer = message(NOERROR, answers().collect(), vec![]);
            let heard = Heard::from(Message::from_vec(&answer).unwrap());
            // Some that left are still on their way out. They are freed once no thread of this process is amid a
            // look-up, and other tests have threads: so it is tried again.
            let most = MOST + 64 * OCTETS_MAX as u64;
            let mut said = Vec::new();
            let fits = (0..10).any(|_| {
                let (taken, text) = fill(MOST, &heard, &answer, now);
                said.push(text);
                (1..=most).contains(&taken)
            });
            assert!(fits, "{said:?}");
        }
    }

    /// What a cache of that size takes once it is full, and what it says of itself.
    fn fill(most: u64, heard: &Heard, answer: &[u8], now: Instant) -> (u64, String) {
        let mut kept = None;
        let info = measure(|| {
            let cache = Cache::new(most);
            for i in 0..20_000 {
                cache.put(key(&format!("n{i}.example.org.")), heard, answer, now);
            }
            let entries = cache.entries.unwrap();
            entries.run_pending_tasks();
            kept = Some(entries);
        });
        let entries = kept.unwrap();
        let (weight, count, taken) =
            (entries.weighted_size(), entries.entry_count(), info.bytes_current);
        let said = format!("{count} entries: {taken} octets, {weight} said");
        assert!(weight <= most && weight > most / 2, "{said}");
        (taken.try_into().unwrap_or(0), said)
    }
}
