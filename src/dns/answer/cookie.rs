//! Server cookies (RFC 7873, RFC 9018): a client that brings one back has shown that it can hear us, and a client
//! that hears its own back knows that the reply is none of a stranger's.
//!
//! Servers with the same secret know each other's cookies (RFC 9018 section 4): any of them may answer next time.
//!
//! Knows nothing of messages, and reads no clock.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Octets of a client cookie (RFC 7873 section 4.1).
pub const CLIENT_OCTETS: usize = 8;
/// Octets of a server cookie of version 1 (RFC 9018 section 4).
pub const SERVER_OCTETS: usize = 16;
/// Octets of both.
pub const COOKIE_OCTETS: usize = CLIENT_OCTETS + SERVER_OCTETS;
/// Octets of a secret: the key of SipHash.
pub const SECRET_OCTETS: usize = 16;

/// Version 1, and three reserved octets.
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// A cookie is good for so long, in seconds (RFC 9018 section 4.3) ...
const AGE_MAX: i32 = 3_600;
/// ... and from a server whose clock is ahead by so much.
const AHEAD_MAX: i32 = 300;
/// One that is older is replaced before it is of no use.
const RENEW_AGE: i32 = 1_800;

/// What a query brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// The client's part.
    pub client: [u8; CLIENT_OCTETS],
    /// A server's part, if there was one that can be ours.
    pub server: Option<[u8; SERVER_OCTETS]>,
}

/// What server cookies are made with, the newest first. The others are those of before, which clients still have.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    newest: [u8; SECRET_OCTETS],
    /// The one before.
    before: Option<[u8; SECRET_OCTETS]>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// One to make cookies with, and the one before, whose cookies are still good.
    #[must_use]
    pub fn new(newest: [u8; SECRET_OCTETS], before: Option<[u8; SECRET_OCTETS]>) -> Self {
        Self { newest, before }
    }

    /// What the reply's cookie is, and whether the query brought one of ours that is still good.
    #[must_use]
    pub fn answer(
        &self,
        cookie: &Cookie,
        client: IpAddr,
        now_secs: u32,
    ) -> ([u8; COOKIE_OCTETS], bool) {
        let brought = cookie.server.filter(|own| {
            let age = age(own, now_secs);
            (-AHEAD_MAX..=AGE_MAX).contains(&age)
        });
        let is_of = |secret: &_, own: &_| make(secret, &cookie.client, time(own), client) == *own;
        let of_newest = brought.filter(|own| is_of(&self.newest, own));
        let of_before =
            || brought.filter(|own| self.before.as_ref().is_some_and(|it| is_of(it, own)));
        let good = of_newest.or_else(of_before).is_some();
        // What the newest secret has not made is replaced before that secret is gone.
        let own = of_newest
            .filter(|own| age(own, now_secs) <= RENEW_AGE)
            .unwrap_or_else(|| make(&self.newest, &cookie.client, now_secs, client));
        let mut both = [0; COOKIE_OCTETS];
        for (to, from) in both.iter_mut().zip(cookie.client.iter().chain(&own)) {
            *to = *from;
        }
        (both, good)
    }
}

/// How old a server cookie is, in seconds, by serial number arithmetic: good beyond 2106 (RFC 9018 section 4.3).
fn age(own: &[u8; SERVER_OCTETS], now_secs: u32) -> i32 {
    now_secs.wrapping_sub(time(own)).cast_signed()
}

/// The time that a server cookie was made at.
fn time(own: &[u8; SERVER_OCTETS]) -> u32 {
    let [_, _, _, _, a, b, c, d, ..] = *own;
    u32::from_be_bytes([a, b, c, d])
}

/// A server cookie (RFC 9018 section 4.4): SipHash-2-4 over the client's cookie, what stands in front, and its address.
fn make(
    secret: &[u8; SECRET_OCTETS],
    client_cookie: &[u8; CLIENT_OCTETS],
    now_secs: u32,
    client: IpAddr,
) -> [u8; SERVER_OCTETS] {
    let now = now_secs.to_be_bytes();
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(client_cookie);
    hasher.write(&VERSION);
    hasher.write(&now);
    match client {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    let hash = hasher.finish().to_le_bytes();
    let mut own = [0; SERVER_OCTETS];
    for (to, from) in own.iter_mut().zip(VERSION.iter().chain(&now).chain(&hash)) {
        *to = *from;
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets<const N: usize>(hex: &str) -> [u8; N] {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
    }

    /// The secret, client and time of RFC 9018 appendix A.1.
    fn example() -> (Secrets, Cookie, IpAddr) {
        let secret = octets("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let cookie = Cookie { client: octets("2464c4abcf10c957"), server: None };
        (Secrets::new(secret, None), cookie, "198.51.100.100".parse().unwrap())
    }

    const NOW: u32 = 1_559_731_985;

    #[test]
    fn cookies_are_those_of_the_rfc() {
        let (secrets, cookie, client) = example();
        let (made, good) = secrets.answer(&cookie, client, NOW);
        let expected = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        assert_eq!((made, good), (expected, false));
        // Appendix A.3: IPv6, and a secret that is replaced.
        let [old, new] = ["dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"];
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let cookie = Cookie {
            client: octets("22681ab97d52c298"),
            server: Some(octets("010000005cf7c57926556bd0934c72f8")),
        };
        let secrets = Secrets::new(octets(new), Some(octets(old)));
        let (made, good) = secrets.answer(&cookie, client, 1_559_741_961);
        // Made with the old secret: good, and replaced.
        let expected = octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
        assert_eq!((made, good), (expected, true));
    }

    #[test]
    fn a_cookie_is_good_for_its_client_and_its_time_alone() {
        let (secrets, mut cookie, client) = example();
        let (made, _) = secrets.answer(&cookie, client, NOW);
        cookie.server = made.last_chunk().copied();
        let good = |cookie: &Cookie, client, now| secrets.answer(cookie, client, now).1;
        assert!(good(&cookie, client, NOW));
        assert!(good(&cookie, client, NOW - 300) && good(&cookie, client, NOW + 3_600));
        assert!(!good(&cookie, client, NOW - 301) && !good(&cookie, client, NOW + 3_601));
        assert!(!good(&cookie, "198.51.100.101".parse().unwrap(), NOW));
        let other = Cookie { client: [7; 8], ..cookie };
        assert!(!good(&other, client, NOW));
        let others = Secrets::new([7; 16], None);
        assert!(!others.answer(&cookie, client, NOW).1);
        // Sent back as it is for half an hour, then renewed.
        assert_eq!(secrets.answer(&cookie, client, NOW + 1_800).0, made);
        assert_ne!(secrets.answer(&cookie, client, NOW + 1_801).0, made);
    }
}
