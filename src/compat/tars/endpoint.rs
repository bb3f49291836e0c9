//! Endpoints as Tars writes them: `tcp -h 10.0.0.1 -p 17890 -t 60000`, several of them joined by colons
//! (TarsCloud/TarsCpp, util/src/tc_clientsocket.cpp).
//!
//! ```text
//! tcp|udp|ssl -h host -p port [-t milliseconds] [-v weight type [-w weight]] [-s set] [-g grid] [-q qos] [-e auth]
//! ```
//!
//! Options stand in any order. One that has a single letter and is not known is passed over with its argument, as Tars does.
//! A port is required here, where Tars takes none for a path of the file system.
//!
//! Knows nothing of which server an endpoint is of.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::layout::foreign::Host;
use crate::model::Transport;

/// Where an adapter listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// TCP, for `ssl` too.
    pub transport: Transport,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// Its host; none for `*`, which stands for every address of the machine and must not be published.
    pub host: Option<Host>,
    /// Its port, never 0.
    pub port: u16,
    /// How long it keeps an idle connection.
    pub timeout: Duration,
    /// Share of traffic; none where it is not weighted, and so equal to others. 0 is a weight like any other.
    pub weight: Option<u16>,
    /// The set that it belongs to: `name.area.group`.
    pub set: Option<String>,
}

impl Endpoint {
    /// All endpoints of a string.
    ///
    /// A colon divides them only where one of the three kinds follows as a word of its own: IPv6 addresses have colons
    /// too, and a host may be called `tcp.example.org`.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let mut endpoints = Vec::new();
        let mut rest = text;
        for (colon, _) in text.match_indices(':') {
            let behind = text.get(colon + 1..).unwrap_or_default();
            if begins_endpoint(behind) {
                let octets = rest.len().saturating_sub(behind.len() + 1);
                endpoints.push(rest.get(..octets).unwrap_or_default().parse()?);
                rest = behind;
            }
        }
        endpoints.push(rest.parse()?);
        Ok(endpoints)
    }
}

/// Whether the first word is a kind of endpoint, in whatever case: written otherwise than Tars does, it is to be refused for
/// that, and not for what stands before it.
fn begins_endpoint(text: &str) -> bool {
    let text = text.trim_ascii_start().as_bytes();
    let Some((kind, rest)) = text.split_at_checked(3) else { return false };
    let known =
        ["tcp", "udp", "ssl"].iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes()));
    known && rest.first().is_none_or(u8::is_ascii_whitespace)
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|why| format!("{why} in endpoint {:?}", text.trim()))
    }
}

impl Endpoint {
    fn read(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace().peekable();
        let (transport, tls) = match words.next().unwrap_or_default() {
            "tcp" => (Transport::Tcp, false),
            "ssl" => (Transport::Tcp, true),
            "udp" => (Transport::Udp, false),
            other => return Err(format!("tcp, udp or ssl must come first, got {other:?}")),
        };
        let (mut host, mut port, mut set) = (None, None, None);
        let (mut timeout, mut weight, mut weight_type) = (TIMEOUT_DEFAULT, None, 0);
        while let Some(option) = words.next() {
            let &[b'-', letter] = option.as_bytes() else {
                return Err(format!("{option:?} is no option"));
            };
            let argument = words.next_if(|word| !word.starts_with('-')).unwrap_or_default();
            match letter {
                b'h' => host = Some(argument),
                b'p' => port = Some(number::<u16>(option, argument)?),
                b't' => timeout = number(option, argument).map(Duration::from_millis)?,
                b'w' => weight = Some(number::<u32>(option, argument)?),
                b'v' => weight_type = number::<u32>(option, argument)?,
                // Of no use here, and yet no endpoint of Tars with anything else behind it.
                b'g' | b'q' => {
                    number::<u32>(option, argument)?;
                }
                b'e' if !matches!(argument, "0" | "1") => {
                    return Err(format!("-e must be 0 or 1, got {argument:?}"));
                }
                b's' => set = Some(argument.to_owned()).filter(|set| !set.is_empty()),
                _ => {}
            }
        }
        let weight = weight.unwrap_or(WEIGHT_MAX).min(WEIGHT_MAX);
        Ok(Self {
            transport,
            tls,
            host: read_host(host.ok_or("-h, the host, is missing")?)?,
            port: match port {
                Some(port @ 1..) => port,
                Some(0) => return Err("-p must be 1 to 65535, got 0".to_owned()),
                None => return Err("-p, the port, is missing".to_owned()),
            },
            timeout,
            weight: u16::try_from(weight).ok().filter(|_| weight_type != 0),
            set,
        })
    }
}

/// The host; none where it stands for every address.
fn read_host(text: &str) -> Result<Option<Host>, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let every = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified());
    if every || text == "*" { Ok(None) } else { Host::new(text).map(Some) }
}

fn number<N: FromStr>(option: &str, argument: &str) -> Result<N, String> {
    argument.parse().map_err(|_| format!("{option} must be a number in range, got {argument:?}"))
}

/// What Tars takes where `-t` is absent.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
/// The largest weight, and that of a weighted endpoint which says none.
const WEIGHT_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// What an endpoint says, in one line; defaults are left out.
    fn told(text: &str) -> String {
        let endpoints = match Endpoint::list(text) {
            Ok(endpoints) => endpoints,
            Err(why) => return why,
        };
        let tell = |endpoint: &Endpoint| {
            let host = match &endpoint.host {
                Some(Host::Address(address)) => address.to_string(),
                Some(Host::Name(name)) => format!("{name}!"),
                None => "any".to_owned(),
            };
            let mut told = format!("{} {host} {}", endpoint.transport, endpoint.port);
            told += if endpoint.tls { " tls" } else { "" };
            if endpoint.timeout != TIMEOUT_DEFAULT {
                told += &format!(" {:?}", endpoint.timeout);
            }
            told += &endpoint.weight.map(|weight| format!(" weight={weight}")).unwrap_or_default();
            told + &endpoint.set.as_ref().map(|set| format!(" set={set}")).unwrap_or_default()
        };
        endpoints.iter().map(tell).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn endpoints_are_read_as_tars_reads_them() {
        for (text, is) in [
            ("tcp -h 10.0.0.1 -p 17890 -t 60000", "tcp 10.0.0.1 17890 60s"),
            ("udp -p 18000 -h 10.0.0.1", "udp 10.0.0.1 18000"),
            ("ssl -h fd00::1 -p 443 -w 250 -v 1", "tcp fd00::1 443 tls weight=100"),
            ("tcp -h * -p 80", "tcp any 80"),
            ("tcp -h 0.0.0.0 -p 80", "tcp any 80"),
            ("tcp -h :: -p 80", "tcp any 80"),
            ("tcp -h [0::0] -p 80", "tcp any 80"),
            ("tcp -h [fd00::1] -p 80", "tcp fd00::1 80"),
            ("  tcp\t-h\n10.0.0.1 \r -p 80 ", "tcp 10.0.0.1 80"),
            ("tcp -h localip.tars.com -t 60000 -p 17890", "tcp localip.tars.com! 17890 60s"),
            ("tcp -h 10.0.0.1 -p 80 -w 30", "tcp 10.0.0.1 80"),
            ("tcp -h 10.0.0.1 -p 80 -w 30 -v 0", "tcp 10.0.0.1 80"),
            ("tcp -h 10.0.0.1 -p 80 -w 30 -v 1", "tcp 10.0.0.1 80 weight=30"),
            ("tcp -h 10.0.0.1 -p 80 -w 0 -v 2", "tcp 10.0.0.1 80 weight=0"),
            ("tcp -h 10.0.0.1 -p 80 -v 1", "tcp 10.0.0.1 80 weight=100"),
            ("tcp -h 10.0.0.1 -p 80 -g 1 -q 2 -e 1 -x what -y", "tcp 10.0.0.1 80"),
            ("tcp -h 10.0.0.1 -p 80 -s app.sz.1", "tcp 10.0.0.1 80 set=app.sz.1"),
            ("tcp -h a -h b -p 80", "tcp b! 80"),
        ] {
            assert_eq!(told(text), is, "{text:?}");
        }
    }

    #[test]
    fn what_tars_refuses_or_nobody_can_reach_is_refused() {
        for (text, why) in [
            ("", "tcp, udp or ssl must come first, got \"\" in endpoint \"\""),
            ("TCP -h 10.0.0.1 -p 80", "tcp, udp or ssl must come first, got \"TCP\""),
            ("tcp -p 80", "-h, the host, is missing in endpoint \"tcp -p 80\""),
            ("tcp -h -p 80", "no host is given"),
            ("tcp -h 10.0.0 -p 80", "is no address and no host name"),
            ("tcp -h 10.0.0.1", "-p, the port, is missing"),
            ("tcp -h 10.0.0.1 -p 0", "-p must be 1 to 65535, got 0"),
            ("tcp -h 10.0.0.1 -p 70000", "-p must be a number in range, got \"70000\""),
            ("tcp -h 10.0.0.1 -p", "-p must be a number in range, got \"\""),
            ("tcp -h 10.0.0.1 -p 80 -t 1s", "-t must be a number in range, got \"1s\""),
            ("tcp -h 10.0.0.1 -p 80 -w -1", "-w must be a number in range, got \"\""),
            ("tcp -h 10.0.0.1 -p 80 -v x", "-v must be a number in range, got \"x\""),
            ("tcp -h 10.0.0.1 -p 80 -g x", "-g must be a number in range"),
            ("tcp -h 10.0.0.1 -p 80 -q x", "-q must be a number in range"),
            ("tcp -h 10.0.0.1 -p 80 -e 2", "-e must be 0 or 1, got \"2\""),
            ("tcp -h 10.0.0.1 -p 80 extra", "\"extra\" is no option"),
            ("tcp -host 10.0.0.1 -p 80", "\"-host\" is no option"),
        ] {
            assert!(told(text).contains(why), "{text:?}: {}", told(text));
        }
    }

    #[test]
    fn a_colon_divides_endpoints_only_before_the_next() {
        for (text, is) in [
            ("tcp -h 10.0.0.1 -p 1:udp -h 10.0.0.1 -p 2", "tcp 10.0.0.1 1, udp 10.0.0.1 2"),
            (
                "tcp -h fd00::1 -p 1 : ssl -h fd00::2 -p 2:udp -p 3 -h ::1",
                "tcp fd00::1 1, tcp fd00::2 2 tls, udp ::1 3",
            ),
            (
                "tcp -h tcp.example.org -p 1:tcp -h my-udp -p 2",
                "tcp tcp.example.org! 1, tcp my-udp! 2",
            ),
        ] {
            assert_eq!(told(text), is, "{text:?}");
        }
        for (text, why) in [
            ("tcp -h 10.0.0.1 -p 1:", "-p must be a number in range, got \"1:\""),
            ("tcp -h 10.0.0.1 -p 1:tcpx", "-p must be a number in range, got \"1:tcpx\""),
            ("tcp -h 10.0.0.1 -p 1:UDP -h 10.0.0.1 -p 2", "must come first, got \"UDP\""),
            ("tcp -h 10.0.0.1 -p 1:tcp", "-h, the host, is missing in endpoint \"tcp\""),
            (":tcp -h 10.0.0.1 -p 1", "must come first, got \"\""),
        ] {
            assert!(told(text).contains(why), "{text:?}: {}", told(text));
        }
    }
}
