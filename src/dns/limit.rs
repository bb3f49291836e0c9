//! Reply-rate limiting: strangers who ask in a victim's name get few replies sent to it.
//!
//! Replies are counted by the network that they go to and by what they say: each name and type on its own, negative
//! answers together, errors together, and all of them. What is beyond the rate is dropped, but for some that are sent
//! empty with TC set: a true client asks again over TCP, a victim is sent no more than it was made to ask.
//!
//! An account is one number, the time at which it will be even again (the generic cell rate algorithm): no lock, no
//! allocation, and the table never grows. Where two accounts meet in one set, the one that is even first gives way.
//!
//! Knows nothing of sockets.
#![deny(clippy::indexing_slicing)]

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use super::answer::query::Question;
use crate::clients::{IPV4_PREFIX, IPV6_PREFIX, Network};
use crate::model::Nets;

/// How replies are limited. The bounds of each field are beside its default, in the configuration's comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whether, and whether in earnest.
    pub mode: Mode,
    /// Replies a second to one network that say the same.
    pub replies_per_second: u32,
    /// Negative answers and errors a second to one network, each.
    pub negatives_per_second: u32,
    /// Replies a second to one network in all.
    pub all_per_second: u32,
    /// Of what is beyond a rate, one in so many is sent empty with TC set; 0: none, 1: each.
    pub slip: u32,
    /// How long the prefix of an IPv4 network is.
    pub ipv4_prefix: u8,
    /// How long the prefix of an IPv6 network is.
    pub ipv6_prefix: u8,
    /// Who is never limited.
    pub exempt: Nets,
    /// Accounts that are kept.
    pub accounts: usize,
}

/// Whether replies are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No.
    Off,
    /// Only counted: what would be dropped is sent.
    Observe,
    /// Yes.
    On,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            replies_per_second: 200,
            negatives_per_second: 200,
            all_per_second: 2_000,
            slip: 2,
            ipv4_prefix: IPV4_PREFIX,
            ipv6_prefix: IPV6_PREFIX,
            exempt: Nets::loopback(),
            accounts: 65_536,
        }
    }
}

/// What becomes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Sent.
    Pass,
    /// Sent, though it is beyond the rate: nothing is limited in earnest.
    Observed,
    /// Sent empty, with TC set.
    Slip,
    /// Not sent.
    Drop,
}

/// The accounts of all networks, shared by all workers.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    /// Sets of [`WAYS`] accounts. Of each the upper half tells whose it is, the lower half when it is even.
    accounts: Box<[AtomicU64]>,
    hashing: RandomState,
    /// What time is counted from, for all who judge.
    start: Instant,
}

/// Accounts that may stand in place of one another.
const WAYS: usize = 4;
/// An account may be ahead of its time by so much, in microseconds: a second's replies may come at once.
const BURST_MICROS: u32 = 1_000_000;

/// What a reply says, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Says<'a> {
    /// Records of that name (in lower case) and type.
    Records(&'a [u8], u16),
    /// No such name, or no such data.
    Negative,
    Error,
    /// Anything.
    All,
}

impl Limiter {
    /// With every account even; none where nothing is limited.
    #[must_use]
    pub fn new(limits: &Limits) -> Option<Self> {
        if limits.mode == Mode::Off {
            return None;
        }
        let sets = limits.accounts.div_ceil(WAYS).max(1);
        let accounts = (0..sets * WAYS).map(|_| AtomicU64::new(0)).collect();
        let hashing = RandomState::default();
        Some(Self { limits: limits.clone(), accounts, hashing, start: Instant::now() })
    }

    /// The time now, for [`Self::judge`]: microseconds since a moment that is the same for all.
    #[must_use]
    pub fn now_micros(&self) -> u32 {
        self.start.elapsed().as_micros() as u32
    }

    /// Judges a reply to that client; `now_micros` may wrap around. `draw` is a random number.
    #[must_use]
    pub fn judge(&self, client: IpAddr, reply: &[u8], now_micros: u32, draw: u64) -> Judgement {
        let client = client.to_canonical();
        if self.limits.exempt.contain(client) {
            return Judgement::Pass;
        }
        let network = Network::of(client, self.limits.ipv4_prefix, self.limits.ipv6_prefix);
        let Limits { mode, replies_per_second, negatives_per_second, all_per_second, slip, .. } =
            self.limits;
        let question = Question::read(reply);
        let (says, rate) = match (reply.get(3).map(|flags| flags & 0x0f), reply.get(6..8)) {
            (Some(0), Some([0, 0])) | (Some(3), _) => (Says::Negative, negatives_per_second),
            (Some(0), _) => match &question {
                Some(question) => {
                    (Says::Records(question.name(), question.rtype), replies_per_second)
                }
                None => (Says::Error, negatives_per_second),
            },
            _ => (Says::Error, negatives_per_second),
        };
        // Both are charged, whichever says no.
        let same = self.charge(network, says, rate, now_micros);
        let all = self.charge(network, Says::All, all_per_second, now_micros);
        match (same && all, mode) {
            (true, _) => Judgement::Pass,
            (false, Mode::Observe | Mode::Off) => Judgement::Observed,
            (false, Mode::On) if slip > 0 && draw.is_multiple_of(slip.into()) => Judgement::Slip,
            (false, Mode::On) => Judgement::Drop,
        }
    }

    /// Charges an account with one reply; whether it is within its rate. One that is beyond is not charged more, so
    /// that it is even again a second after the flood.
    fn charge(&self, network: Network, says: Says<'_>, rate: u32, now: u32) -> bool {
        let hash = self.hashing.hash_one((network, says));
        let (tag, place) = ((hash >> 32) as u32, hash as u32 as usize);
        let first = place % (self.accounts.len() / WAYS) * WAYS;
        let Some(set) = self.accounts.get(first..first + WAYS) else { return true };
        let account = find(set, tag, now);
        let cost = 1_000_000 / rate.max(1);
        let charged = account.fetch_update(Relaxed, Relaxed, |of| {
            let ahead = if (of >> 32) as u32 == tag { ahead(of, now) } else { 0 };
            let even = now.wrapping_add(ahead).wrapping_add(cost);
            (ahead + cost <= BURST_MICROS.max(cost)).then(|| u64::from(tag) << 32 | u64::from(even))
        });
        charged.is_ok()
    }
}

/// By how much an account is ahead of its time; 0 is nobody's. What looks further ahead than it can be, even by another
/// worker's clock, was even a long time ago.
fn ahead(account: u64, now: u32) -> u32 {
    let ahead = (account as u32).wrapping_sub(now);
    if account != 0 && ahead <= 2 * BURST_MICROS { ahead } else { 0 }
}

/// The account of that tag, or the one that is to give way to it.
fn find(set: &[AtomicU64], tag: u32, now: u32) -> &AtomicU64 {
    let own = set.iter().find(|account| (account.load(Relaxed) >> 32) as u32 == tag);
    let first_even = || set.iter().min_by_key(|account| ahead(account.load(Relaxed), now));
    own.or_else(first_even).unwrap_or(&NONE)
}

/// Stands for an account where there is none.
static NONE: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = u32::MAX - 500_000;

    fn limiter(change: impl FnOnce(&mut Limits)) -> Limiter {
        let mut limits =
            Limits { mode: Mode::On, replies_per_second: 10, slip: 0, ..Limits::default() };
        limits.negatives_per_second = 5;
        limits.all_per_second = 100;
        change(&mut limits);
        Limiter::new(&limits).unwrap()
    }

    /// A reply of that code about a name, with so many answers.
    fn reply(rcode: u8, answers: u8, name: &[u8]) -> Vec<u8> {
        let header = [0, 1, 0x84, rcode, 0, 1, 0, answers, 0, 0, 0, 0];
        [&header, name, &[0, 0, 1, 0, 1]].concat()
    }

    /// How many of those replies pass at that time.
    fn passed(limiter: &Limiter, client: &str, replies: &[Vec<u8>], now: u32) -> usize {
        let client: IpAddr = client.parse().unwrap();
        let pass = |reply: &&Vec<u8>| limiter.judge(client, reply, now, 1) == Judgement::Pass;
        replies.iter().filter(pass).count()
    }

    #[test]
    fn each_name_has_a_rate_and_so_have_negatives_errors_and_all() {
        let limiter = limiter(|_| {});
        let one = vec![reply(0, 1, b"\x01a"); 50];
        assert_eq!(passed(&limiter, "192.0.2.1", &one, NOW), 10);
        // The same network has the same account, whatever the name's case; others have theirs.
        assert_eq!(passed(&limiter, "192.0.2.200", &[reply(0, 1, b"\x01A")], NOW), 0);
        assert_eq!(passed(&limiter, "192.0.3.1", &one, NOW), 10);
        assert_eq!(passed(&limiter, "192.0.2.1", &[reply(0, 1, b"\x01b")], NOW), 1);
        // Random names that don't exist are one account, with names that lack the type.
        let missing: Vec<_> = (b'a'..=b'z').map(|letter| reply(3, 0, &[1, letter])).collect();
        assert_eq!(passed(&limiter, "192.0.2.1", &missing, NOW), 5);
        assert_eq!(passed(&limiter, "192.0.2.1", &[reply(0, 0, b"\x01a")], NOW), 0);
        let refused: Vec<_> = (b'a'..=b'z').map(|letter| reply(5, 0, &[1, letter])).collect();
        assert_eq!(passed(&limiter, "192.0.2.1", &refused, NOW), 5);
        // Names without end, as below a wildcard: all together have a rate too.
        let many: Vec<_> = (0..=255).map(|octet| reply(0, 1, &[2, octet, b'w'])).collect();
        assert!(passed(&limiter, "198.51.100.1", &many, NOW) <= 100);
    }

    #[test]
    fn an_account_recovers_with_time_and_across_the_clocks_end() {
        let limiter = limiter(|_| {});
        let one = vec![reply(0, 1, b"\x01a"); 50];
        assert_eq!(passed(&limiter, "192.0.2.1", &one, NOW), 10);
        assert_eq!(passed(&limiter, "192.0.2.1", &one, NOW.wrapping_add(99_999)), 0);
        assert_eq!(passed(&limiter, "192.0.2.1", &one, NOW.wrapping_add(200_000)), 2);
        assert_eq!(passed(&limiter, "192.0.2.1", &one, NOW.wrapping_add(2_000_000)), 10);
        // After so long that the clock has gone round, what is left of an account says nothing.
        assert_eq!(passed(&limiter, "192.0.2.1", &one, NOW.wrapping_sub(5_000_000)), 10);
    }

    #[test]
    fn what_is_beyond_slips_is_dropped_or_is_only_counted() {
        let judged = |limiter: &Limiter, client: &str| {
            let client = client.parse().unwrap();
            let one = reply(0, 1, b"\x01a");
            let all = (0..110).map(|draw| limiter.judge(client, &one, NOW, draw));
            let all: Vec<_> = all.collect();
            [Judgement::Pass, Judgement::Observed, Judgement::Slip, Judgement::Drop]
                .map(|which| all.iter().filter(|one| **one == which).count())
        };
        assert_eq!(judged(&limiter(|l| l.slip = 4), "192.0.2.1"), [10, 0, 25, 75]);
        assert_eq!(judged(&limiter(|l| l.slip = 1), "2001:db8::1"), [10, 0, 100, 0]);
        assert_eq!(judged(&limiter(|l| l.mode = Mode::Observe), "192.0.2.1"), [10, 100, 0, 0]);
        for exempt in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(judged(&limiter(|_| {}), exempt), [110, 0, 0, 0], "{exempt}");
        }
        assert!(Limiter::new(&Limits::default()).is_none());
    }

    #[test]
    fn a_small_table_forgets_those_who_are_even_first() {
        let limiter = limiter(|l| {
            l.accounts = WAYS;
            l.all_per_second = 1_000_000;
        });
        let flood = vec![reply(0, 1, b"\x01a"); 50];
        assert_eq!(passed(&limiter, "192.0.2.1", &flood, NOW), 10);
        // Many others come, each once: the flood's account is the furthest ahead, and stays.
        for net in 0..200_u8 {
            let one = [reply(0, 1, b"\x01a")];
            let _ = passed(&limiter, &format!("10.0.{net}.1"), &one, NOW);
        }
        assert_eq!(passed(&limiter, "192.0.2.1", &flood, NOW), 0);
    }
}
