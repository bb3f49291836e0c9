//! The language of `tests/cases/*.case`: what is registered, what is asked, what must come back.
//!
//! ```text
//! title The rule in a sentence (RFC 0000 section 0)
//! not ready                                    no source has had a complete view yet
//! stale                                        the registry has not been heard of for a while
//! cookies e5e973e5a6b2a43f48e7dc849e37bfcf     the secret that server cookies are made with; none: no cookies
//! forwards                                     names of others are looked up for everyone
//! zone svc. default ttl=5 negative=1 scale=1   as configured; none: `svc.` serving `default`; `-`: no namespace
//! zone consul. default names=consul datacenter=dc1        answered as Consul's
//! file svc.                                    the zone's file, indented, until the next line that is not
//!   @ 60 IN SOA ns hostmaster 1 2 3 4 5
//! reverse 10.9.0.0/16 default                  a reverse zone; without namespaces: of all
//! instance greeter/a {"address":"10.0.0.1","port":9000}
//! instance staging:big/i-{1..40} {"address":"10.0.1.{}","port":9000}      forty of them
//! instance greeter/b {"host":"db.example","port":9000}    known by a host name, as other systems may have it
//! record local/skydns/web/a-{1..2} {"host":"10.0.0.{}","port":80}        below /skydns/, as SkyDNS has it
//! offline greeter/a                            an operator's mark; `offline greeter` marks the whole app
//! pin greeter 127.0.0.1:9000
//!
//! ask greeter.svc A +noedns                    as to dig: RD and EDNS with 1232 octets unless it says otherwise
//!   status NOERROR qr aa rd                    response code, then exactly the flags that are set
//!   edns ede=20 cookie=0102030405060708        `edns none`: no OPT; without the line: OPT if the query had one; of the
//!                                                cookie the client's part, which a server's part follows;
//!                                                `padded`: to a multiple of 468 octets where it is encrypted
//!   question none                              without the line: the question, octet for octet
//!   octets 400-512
//!   answer                                     exactly these, in any order; `answer ordered`; `answer 1-3`: a sample;
//!                                                `answer varied`: another first one, another sample, now and then
//!     greeter.svc. 5 IN A 10.0.0.1             `*` stands for any one word, `{1..40}` for forty records
//!   ahead REASON                               known not to hold yet, and an error once it does
//! ask raw 0007 0100 0001 0000 0000 0000 +udp
//!   no reply
//! ```
//!
//! Sections that are not named are empty. Flags: `+udp` and `+tcp` (one transport alone), `+noedns`,
//! `+bufsize=N`, `+edns=VERSION`, `+ednsopt=CODE:HEX`, `+twoopts`, `+do`, `+ednsflags=HEX`, `+opcode=N`, `+norec`, `+aa`, `+tc`,
//! `+ra`, `+ad`, `+cd`, `+z`, `+qr`.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use rollcall::dns::Policy;
use rollcall::dns::answer::cookie::Secrets;
use rollcall::layout::foreign::{Foreign, System};
use rollcall::layout::{Note, OfflineMark, Parsed, Registration};
use rollcall::model::{AppName, Label, Namespace, Nets, Protocol, Spec, Transport, net};
use rollcall::registry::{Entry, Origin};
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{ConsulNames, Names, Network, Pin, ZoneName, ZoneSettings};

use crate::wire::{Query, unhex};

/// One file.
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) zones: Vec<ZoneSettings>,
    pub(crate) registrations: Vec<Registration>,
    /// Plain records with their keys.
    pub(crate) records: Vec<(String, Parsed)>,
    pub(crate) marks: Vec<OfflineMark>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) ready: bool,
    pub(crate) stale: bool,
    pub(crate) policy: Policy,
    pub(crate) asks: Vec<Ask>,
}

/// One question with its answer.
pub(crate) struct Ask {
    /// As written, with its line.
    pub(crate) text: String,
    pub(crate) query: Vec<u8>,
    /// What the query says of its sender's UDP size; none without EDNS.
    pub(crate) bufsize: Option<u16>,
    /// What DO must be in the reply; none where the query is octets.
    pub(crate) dnssec_ok: Option<bool>,
    pub(crate) udp: bool,
    pub(crate) tcp: bool,
    pub(crate) expected: Expected,
}

/// What must come back.
pub(crate) struct Expected {
    pub(crate) reply: bool,
    /// Known not to hold yet.
    pub(crate) ahead: bool,
    pub(crate) status: String,
    pub(crate) flags: Vec<String>,
    pub(crate) question: bool,
    pub(crate) edns: bool,
    pub(crate) ede: Option<u16>,
    /// The client's part.
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) padded: bool,
    pub(crate) octets: Option<RangeInclusive<usize>>,
    /// Answer, authority, additional.
    pub(crate) sections: [Section; 3],
}

/// One section.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) records: Vec<String>,
    /// How many of them there must be; none: all.
    pub(crate) count: Option<RangeInclusive<usize>>,
    pub(crate) ordered: bool,
    /// Whether random numbers must make a difference.
    pub(crate) varied: bool,
}

/// Names of the sections, in order.
pub(crate) const SECTIONS: [&str; 3] = ["answer", "authority", "additional"];

/// A line with its number, its indentation and its words.
struct Line<'a> {
    number: usize,
    depth: usize,
    text: &'a str,
}

impl Case {
    /// Reads a file's text. A mistake in it is a panic that names the line.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let case = Self::world(path, text);
        assert!(
            !case.title.is_empty() && !case.asks.is_empty(),
            "{}: nothing asked",
            path.display()
        );
        case
    }

    /// The same for tests with questions of their own, which want what is registered and no more.
    pub(crate) fn world(path: &Path, text: &str) -> Self {
        let mut case = Self {
            title: String::new(),
            zones: Vec::new(),
            registrations: Vec::new(),
            records: Vec::new(),
            marks: Vec::new(),
            pins: Vec::new(),
            ready: true,
            stale: false,
            policy: Policy::default(),
            asks: Vec::new(),
        };
        let lines: Vec<Line<'_>> = text
            .lines()
            .enumerate()
            .map(|(i, line)| Line {
                number: i + 1,
                depth: line.len() - line.trim_start().len(),
                text: line.trim(),
            })
            .filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
            .collect();
        let mut rest = &lines[..];
        while let Some((head, after)) = rest.split_first() {
            let body = after.iter().take_while(|line| line.depth > 0).count();
            let (body, after) = after.split_at(body);
            let at = format!("{}:{}: {}", path.display(), head.number, head.text);
            case.entry(head, body, &at).unwrap_or_else(|why| panic!("{at}: {why}"));
            rest = after;
        }
        if case.zones.iter().all(|zone| zone.reverse.is_some()) {
            case.zones.push(ZoneSettings::default());
        }
        case
    }

    fn entry(&mut self, head: &Line<'_>, body: &[Line<'_>], at: &str) -> Result<(), String> {
        let (kind, rest) = head.text.split_once(' ').unwrap_or((head.text, ""));
        match kind {
            "title" => rest.clone_into(&mut self.title),
            "not" if rest == "ready" => self.ready = false,
            "stale" => self.stale = true,
            "forwards" => {
                self.policy.forward_for = Some(Nets::new(vec![net("0.0.0.0/0").unwrap()]));
            }
            "cookies" => {
                let secret = unhex(rest)?.try_into().map_err(|_| "a secret has 16 octets")?;
                self.policy.cookies = Some(Secrets::new(secret, None));
            }
            "zone" => self.zones.push(zone(rest)?),
            "reverse" => self.zones.push(reverse(rest)?),
            "file" => self.file(rest, body)?,
            "instance" => self.instance(rest)?,
            "record" => self.record(rest)?,
            "offline" => self.offline(rest)?,
            "pin" => self.pins.push(pin(rest)?),
            "ask" => self.asks.push(ask(rest, body, at)?),
            _ => return Err("no such entry".into()),
        }
        if !body.is_empty() && !matches!(kind, "file" | "ask") {
            return Err("indented lines below it".into());
        }
        Ok(())
    }

    fn file(&mut self, name: &str, body: &[Line<'_>]) -> Result<(), String> {
        if self.zones.is_empty() {
            self.zones.push(ZoneSettings::default());
        }
        let zone = self.zones.iter_mut().find(|zone| zone.name.as_str() == name);
        let zone = zone.ok_or("no such zone")?;
        // Only the outermost indentation is the case's: deeper lines belong to the owner above them.
        let outer = body.iter().map(|line| line.depth).min().unwrap_or(0);
        let lines: Vec<String> = body
            .iter()
            .map(|line| format!("{}{}", " ".repeat(line.depth - outer), line.text))
            .collect();
        let path = format!("zones/{name}zone");
        let file = ZoneFile::parse(Path::new(&path), &lines.join("\n"), &zone.name);
        zone.file = Some(Arc::new(file.map_err(|error| error.to_string())?));
        Ok(())
    }

    fn instance(&mut self, rest: &str) -> Result<(), String> {
        let (key, json) = rest.split_once(' ').ok_or("no body")?;
        for (key, number) in spread(key) {
            let (namespace, name) = namespaced(&key);
            let (app, id) = name.split_once('/').ok_or("no id")?;
            let json = json.replace("{}", &number);
            let spec: Spec = serde_json::from_str(&json).map_err(|error| error.to_string())?;
            let known: KnownBy = serde_json::from_str(&json).map_err(|error| error.to_string())?;
            let nowhere = known.host.as_ref().map(|_| Ipv4Addr::LOCALHOST.into());
            let mut instance = spec.resolve(nowhere).map_err(|error| error.to_string())?;
            if known.host.is_some() {
                instance.addresses.clear();
                instance.host = known.host;
            }
            self.registrations.push(Registration {
                namespace: namespace.parse().map_err(|rule| format!("{rule}"))?,
                app: app.parse().map_err(|rule| format!("{rule}"))?,
                id: id.into(),
                origin: Origin::NATIVE,
                disabled: false,
                instance,
            });
        }
        Ok(())
    }

    fn record(&mut self, rest: &str) -> Result<(), String> {
        let (path, json) = rest.split_once(' ').ok_or("no value")?;
        let (prefix, namespace) = ("/skydns/", Namespace::default());
        let layout =
            Foreign { origin: Origin(1), system: System::Skydns, prefix: prefix.into(), namespace };
        for (path, number) in spread(path) {
            let key = format!("{prefix}{path}");
            let value = json.replace("{}", &number);
            let entry =
                Entry { key: key.clone().into(), value: value.into(), revision: 1, lease: None };
            match layout.parse(&entry) {
                plain @ Parsed::Plain(_) => self.records.push((key, plain)),
                other => return Err(format!("no record: {other:?}")),
            }
        }
        Ok(())
    }

    fn offline(&mut self, rest: &str) -> Result<(), String> {
        let (namespace, name) = namespaced(rest);
        let (app, id) = name.split_once('/').map_or((name, None), |(app, id)| (app, Some(id)));
        self.marks.push(OfflineMark {
            namespace: Namespace::new(namespace).map_err(|rule| rule.to_string())?,
            app: AppName::new(app).map_err(|rule| rule.to_string())?,
            id: id.map(Label::new).transpose().map_err(|rule| rule.to_string())?,
            of: None,
            note: Note::default(),
        });
        Ok(())
    }
}

/// What our own layout has no word for.
#[derive(serde::Deserialize)]
struct KnownBy {
    host: Option<Arc<str>>,
}

fn namespaced(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((Namespace::DEFAULT, text))
}

/// `a{1..3}` as `a1`, `a2`, `a3`, each with its number; the same braces again stand for the same number. A text
/// without braces is itself.
fn spread(text: &str) -> Vec<(String, String)> {
    let range = text.split_once('{').and_then(|(_, rest)| {
        let (range, _) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        Some((range, first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    let Some((range, first, last)) = range else { return vec![(text.to_owned(), String::new())] };
    let braces = format!("{{{range}}}");
    (first..=last)
        .map(|n| n.to_string())
        .map(|number| (text.replace(&braces, &number), number))
        .collect()
}

fn zone(text: &str) -> Result<ZoneSettings, String> {
    let mut words = text.split_whitespace();
    let name = ZoneName::new(words.next().ok_or("no name")?).map_err(|rule| rule.to_string())?;
    let namespace = match words.next().ok_or("no namespace")? {
        "-" => None,
        some => Some(Namespace::new(some).map_err(|rule| rule.to_string())?),
    };
    let mut zone = ZoneSettings { name, namespace, ..ZoneSettings::default() };
    for word in words {
        let (key, value) = word.split_once('=').ok_or("not key=value")?;
        let number = || value.parse::<u32>().map_err(|_| "not a number");
        match (key, value) {
            ("ttl", _) => zone.ttl_secs = number()?,
            ("negative", _) => zone.negative_ttl_secs = number()?,
            ("scale", _) => {
                zone.srv_weight_scale = number()?.try_into().map_err(|_| "too large")?;
            }
            ("names", "consul") => zone.names = Names::Consul(ConsulNames::default()),
            ("datacenter", name) => {
                let datacenter = Label::new(name).map_err(|rule| rule.to_string())?;
                zone.names = Names::Consul(ConsulNames { datacenter });
            }
            _ => return Err("unknown setting".into()),
        }
    }
    Ok(zone)
}

fn reverse(text: &str) -> Result<ZoneSettings, String> {
    let (network, namespaces) = text.split_once(' ').unwrap_or((text, ""));
    let network = network.parse::<Network>().map_err(|rule| rule.to_string())?;
    let shown = namespaces.split_whitespace().map(Namespace::new);
    let shown = shown.collect::<Result<Vec<_>, _>>().map_err(|rule| rule.to_string())?;
    Ok(ZoneSettings::reverse(network, Some(shown).filter(|shown| !shown.is_empty())))
}

fn pin(text: &str) -> Result<Pin, String> {
    let mut words = text.split_whitespace();
    let (namespace, app) = namespaced(words.next().ok_or("no app")?);
    Ok(Pin {
        namespace: Namespace::new(namespace).map_err(|rule| rule.to_string())?,
        app: AppName::new(app).map_err(|rule| rule.to_string())?,
        protocol: Protocol::default(),
        transport: Transport::default(),
        endpoints: words
            .map(|word| word.parse().map_err(|_| "no address"))
            .collect::<Result<_, _>>()?,
    })
}

fn ask(text: &str, body: &[Line<'_>], at: &str) -> Result<Ask, String> {
    let (flags, words): (Vec<&str>, Vec<&str>) =
        text.split_whitespace().partition(|word| word.starts_with('+'));
    let mut query = Query::default();
    let (mut udp, mut tcp) = (true, true);
    for flag in flags {
        match flag {
            "+udp" => tcp = false,
            "+tcp" => udp = false,
            _ => query.flag(&flag[1..])?,
        }
    }
    let octets = match words.split_first() {
        Some((&"raw", hex)) => unhex(&hex.concat())?,
        Some((name, [rtype])) => query.octets(name, rtype, "IN")?,
        Some((name, [class, rtype])) => query.octets(name, rtype, class)?,
        _ => return Err("ask NAME [CLASS] TYPE, or raw HEX".into()),
    };
    let bufsize = query.edns.then_some(query.bufsize).filter(|_| words[0] != "raw");
    let dnssec_ok = bufsize.map(|_| query.dnssec_ok());
    let mut expected = Expected {
        reply: true,
        ahead: false,
        status: String::new(),
        flags: Vec::new(),
        question: true,
        edns: bufsize.is_some(),
        ede: None,
        cookie: None,
        padded: false,
        octets: None,
        sections: Default::default(),
    };
    let mut section = None;
    let outer = body.first().map_or(0, |line| line.depth);
    for line in body {
        let words: Vec<&str> = line.text.split_whitespace().collect();
        if line.depth > outer {
            let section: &mut usize = section.as_mut().ok_or("a record outside a section")?;
            let records = spread(line.text).into_iter().map(|(record, _)| record);
            expected.sections[*section].records.extend(records);
        } else if let Some(i) = SECTIONS.iter().position(|name| *name == words[0]) {
            section = Some(i);
            for word in &words[1..] {
                match *word {
                    "ordered" => expected.sections[i].ordered = true,
                    "varied" => expected.sections[i].varied = true,
                    count => expected.sections[i].count = Some(range(count)?),
                }
            }
        } else {
            expected.line(&words)?;
        }
    }
    if expected.reply && expected.status.is_empty() {
        return Err("no status expected".into());
    }
    Ok(Ask { text: at.to_owned(), query: octets, bufsize, dnssec_ok, udp, tcp, expected })
}

impl Expected {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["no", "reply"] => self.reply = false,
            ["ahead", _, ..] => self.ahead = true,
            ["status", status, flags @ ..] => {
                (*status).clone_into(&mut self.status);
                self.flags = flags.iter().map(ToString::to_string).collect();
            }
            ["edns", "none"] => self.edns = false,
            ["edns", rest @ ..] => {
                self.edns = true;
                for option in rest {
                    match option.split_once('=') {
                        Some(("ede", code)) => {
                            self.ede = Some(code.parse().map_err(|_| "no code")?);
                        }
                        Some(("cookie", hex)) => self.cookie = Some(unhex(hex)?),
                        None if *option == "padded" => self.padded = true,
                        _ => return Err("not ede=CODE, cookie=HEX or padded".into()),
                    }
                }
            }
            ["question", "none"] => self.question = false,
            ["octets", octets] => self.octets = Some(range(octets)?),
            _ => return Err(format!("no such expectation: {}", words.join(" "))),
        }
        Ok(())
    }
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
    Ok(number(first)?..=number(last)?)
}
