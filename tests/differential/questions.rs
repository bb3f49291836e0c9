//! Questions as they come, from the plainest to octets that are none: each is made from its number alone, so that
//! one that fails can be made again.

use fastrand::Rng;

use crate::world::{World, wire};

/// One message to a server.
pub(crate) struct Question {
    pub(crate) octets: Vec<u8>,
    /// What its name is.
    pub(crate) kind: &'static str,
    /// What was done to it.
    pub(crate) form: &'static str,
    pub(crate) fate: Fate,
}

impl Question {
    /// What it is, to be counted.
    pub(crate) fn classes(&self) -> Vec<String> {
        let mut classes = vec![format!("{} names", self.kind), format!("{} messages", self.form)];
        if let Fate::Asked(asked) = &self.fate {
            classes.push(format!("type {}", asked.rtype));
            let spelt = &self.octets[HEADER..HEADER + asked.name.len()];
            classes.extend((spelt != asked.name).then(|| "mixed case".to_owned()));
            classes.extend(asked.edns.map(|_| "with EDNS".to_owned()));
        }
        classes
    }
}

/// What is known beforehand of its answer.
pub(crate) enum Fate {
    /// It can be read, and asks this.
    Asked(Asked),
    /// It is malformed behind the question, or before its end.
    Malformed { question: bool, opcode: u8 },
    /// Nothing but what holds for all.
    Open,
}

/// A question in order.
pub(crate) struct Asked {
    /// In wire form and lower case.
    pub(crate) name: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) opcode: u8,
    pub(crate) edns: Option<Edns>,
}

#[derive(Clone, Copy)]
pub(crate) struct Edns {
    pub(crate) octets: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
}

/// Octets of a header.
const HEADER: usize = 12;
/// Where the header has them (RFC 1035 section 4.1.1).
const FLAGS: usize = 2;
const QUESTIONS: usize = 4;
const AUTHORITIES: usize = 8;
const ADDITIONALS: usize = 10;

/// Makes question `number` of those that a seed gives, for a server that knows this world.
pub(crate) fn question(world: &World, seed: u64, number: u64) -> Question {
    // The multiplier is that of splitmix64: neighbours get far seeds.
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (kind, name) = name(world, &mut rng);
    let rtype = rtype(&mut rng, kind);
    let mut draft = Draft::new(&mut rng, &name, rtype);
    let (form, fate) = match rng.u8(..100) {
        0..70 => ("whole", draft.edns(&mut rng)),
        70..73 => ("other records", draft.other_records(&mut rng)),
        73..76 => ("opcode", draft.opcode(&mut rng)),
        76..78 => ("class", draft.class(&mut rng)),
        78..80 => ("version", draft.version(&mut rng)),
        80..85 => ("bad OPT", draft.bad_opt(&mut rng)),
        85..87 => ("bad count", draft.bad_count(&mut rng)),
        87..90 => ("bad name", draft.bad_name(&mut rng)),
        90..92 => ("cut", draft.cut(&mut rng)),
        92..95 => ("changed", draft.changed(&mut rng)),
        95..97 => ("trailing", draft.trailing(&mut rng)),
        97 => ("response", draft.response()),
        98 => ("short", draft.short(&mut rng)),
        _ => ("noise", draft.noise(&mut rng)),
    };
    let mut octets = draft.octets;
    // Whoever waits for replies knows them by this.
    let id = u16::try_from(number % 65_536).unwrap().to_be_bytes();
    for (octet, id) in octets.iter_mut().zip(id) {
        *octet = id;
    }
    Question { octets, kind, form, fate }
}

/// A message that always gets a reply: what was sent before it on the same way has been seen by then.
pub(crate) fn last(id: u16) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    octets.extend_from_slice(&wire("last.example."));
    octets.extend_from_slice(&[0, 1, 0, 1]);
    octets
}

/// A name in wire form, with what it is.
fn name(world: &World, rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let one = |rng: &mut Rng, kind: &'static str| {
        let names = &world.names[kind];
        (kind, wire(&names[rng.usize(..names.len())]))
    };
    match rng.u8(..100) {
        0..4 => one(rng, "apex"),
        4..9 => one(rng, "static"),
        9..11 => one(rng, "alias"),
        11..22 => one(rng, "app"),
        22..33 => one(rng, "service"),
        33..38 => one(rng, "listed"),
        38..46 => one(rng, "instance"),
        46..54 => one(rng, "service of an instance"),
        54..59 => one(rng, "tag"),
        59..65 => one(rng, "service of a tag"),
        65..70 => one(rng, "derived target"),
        70..76 => one(rng, "between"),
        76 => one(rng, "crowd"),
        77..80 => ("outside", outside(rng)),
        80..88 => ("long or odd", odd(rng)),
        _ => ("near", near(world, rng)),
    }
}

/// Beside a name that exists: below it, beside it, or another service of it.
fn near(world: &World, rng: &mut Rng) -> Vec<u8> {
    let kinds =
        ["apex", "static", "app", "instance", "service", "tag", "derived target", "between"];
    let names = &world.names[kinds[rng.usize(..kinds.len())]];
    let name = wire(&names[rng.usize(..names.len())]);
    let label = [
        "nope",
        "_nope",
        "_tcp",
        "_nova",
        "_nova._tcp",
        "_admin._tcp",
        "_nova._sctp",
        "i-1",
        "v1",
        "*",
        "www",
    ];
    let mut front = wire(label[rng.usize(..label.len())]);
    front.pop();
    // In front of the name, or in place of its first label.
    let rest = if rng.bool() {
        &name[..]
    } else {
        &name[usize::from(name[0]) + usize::from(name[0] > 0)..]
    };
    front.extend_from_slice(rest);
    front
}

fn outside(rng: &mut Rng) -> Vec<u8> {
    let names = [
        "",
        "svc2.",
        "xsvc.",
        "www.example.",
        "svc.example.",
        "plain.example.org.",
        "example.",
        "ns1.cvs.",
    ];
    wire(names[rng.usize(..names.len())])
}

/// Labels of any octets, and names up to the longest there are, mostly in our zones.
fn odd(rng: &mut Rng) -> Vec<u8> {
    let zone = wire(["few.svc.", "svc.", "staging.svc.", "example."][rng.usize(..4)]);
    let room = [40, 255][rng.usize(..2)] - zone.len();
    let mut name = Vec::new();
    loop {
        let length = [rng.usize(1..=63), rng.usize(1..=5), 63][rng.usize(..3)];
        if name.len() + 1 + length > room {
            break;
        }
        name.push(u8::try_from(length).unwrap());
        name.extend((0..length).map(|_| match rng.u8(..4) {
            0 => rng.u8(..),
            1 => [b'.', 0, b'/', b'\\', b'_', 3][rng.usize(..6)],
            _ => rng.u8(b'A'..=b'z'),
        }));
    }
    // Now and then every octet that there may be.
    let left = room - name.len();
    if left > 1 && rng.bool() {
        name.push(u8::try_from(left - 1).unwrap());
        name.extend(std::iter::repeat_n(b'x', left - 1));
    }
    name.extend(zone);
    name
}

fn rtype(rng: &mut Rng, kind: &str) -> u16 {
    let services = ["service", "service of a tag", "service of an instance", "crowd"];
    match rng.u8(..100) {
        0..50 if services.contains(&kind) => 33,
        0..30 => 1,
        30..50 => 28,
        50..60 => 33,
        60..64 => 255,
        64..84 => [2, 5, 6, 12, 15, 16, 65, 65_280][rng.usize(..8)],
        84..88 => [251, 252][rng.usize(..2)],
        88..91 => [41, 128, 249, 250, 254][rng.usize(..5)],
        91..95 => rng.u16(..),
        _ => 1,
    }
}

/// A message on its way: a header, a question and nothing else yet.
struct Draft {
    octets: Vec<u8>,
    asked: Asked,
}

impl Draft {
    fn new(rng: &mut Rng, name: &[u8], rtype: u16) -> Self {
        let mut octets = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        if rng.u8(..3) == 0 {
            // AA, TC, RD; RA, Z, AD, CD; an RCODE.
            octets[FLAGS] = rng.u8(..) & 7;
            octets[FLAGS + 1] = rng.u8(..);
        }
        let mut spelt = name.to_vec();
        if rng.u8(..3) == 0 {
            // Lengths are below 64, and letters are not.
            for octet in spelt.iter_mut().filter(|octet| octet.is_ascii_alphabetic()) {
                *octet ^= if rng.bool() { 0x20 } else { 0 };
            }
        }
        octets.extend_from_slice(&spelt);
        octets.extend_from_slice(&rtype.to_be_bytes());
        octets.extend_from_slice(&[0, 1]);
        let name = name.to_ascii_lowercase();
        Self { octets, asked: Asked { name, rtype, class: 1, opcode: 0, edns: None } }
    }

    fn count(&mut self, at: usize, by: u16) {
        let count = u16::from_be_bytes([self.octets[at], self.octets[at + 1]]).wrapping_add(by);
        self.octets[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn opt(&mut self, edns: Edns, flags: u16, options: &[u8]) {
        self.count(ADDITIONALS, 1);
        self.octets.extend_from_slice(&[0, 0, 41]);
        self.octets.extend_from_slice(&edns.octets.to_be_bytes());
        self.octets.extend_from_slice(&[0, edns.version]);
        self.octets.extend_from_slice(&flags.to_be_bytes());
        self.octets.extend_from_slice(&u16::try_from(options.len()).unwrap().to_be_bytes());
        self.octets.extend_from_slice(options);
    }

    fn asked(&self) -> Fate {
        let Asked { ref name, rtype, class, opcode, edns } = self.asked;
        Fate::Asked(Asked { name: name.clone(), rtype, class, opcode, edns })
    }

    fn malformed(&self, question: bool) -> Fate {
        Fate::Malformed { question, opcode: self.asked.opcode }
    }

    /// None, as dig sends it, of any size, or with options.
    fn edns(&mut self, rng: &mut Rng) -> Fate {
        let octets = match rng.u8(..8) {
            0..2 => return self.asked(),
            2..4 => 1232,
            4 => 512,
            5 => rng.u16(..2_000),
            6 => [0, 511, 513, 4_096, 65_535][rng.usize(..5)],
            _ => rng.u16(..),
        };
        let flags = [0, 0x8000, rng.u16(..)][rng.usize(..3)];
        let edns = Edns { octets, version: 0, dnssec_ok: flags & 0x8000 != 0 };
        let options = if rng.u8(..4) == 0 { options(rng) } else { Vec::new() };
        self.opt(edns, flags, &options);
        self.asked.edns = Some(edns);
        self.asked()
    }

    /// Records that a query has no use for, before OPT and behind it.
    fn other_records(&mut self, rng: &mut Rng) -> Fate {
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1];
        if rng.bool() {
            self.octets.extend_from_slice(&record);
            self.count(AUTHORITIES - 2 * rng.usize(..2), 1);
        }
        let behind = rng.bool();
        if !behind {
            self.octets.extend_from_slice(&record);
            self.count(ADDITIONALS, 1);
        }
        let fate = self.edns(rng);
        if behind {
            self.octets.extend_from_slice(&record);
            self.count(ADDITIONALS, 1);
        }
        fate
    }

    fn opcode(&mut self, rng: &mut Rng) -> Fate {
        self.asked.opcode = if rng.bool() { 4 } else { rng.u8(1..16) };
        self.octets[FLAGS] = self.octets[FLAGS] & 7 | self.asked.opcode << 3;
        self.edns(rng)
    }

    fn class(&mut self, rng: &mut Rng) -> Fate {
        self.asked.class = [0, 2, 3, 4, 254, 255, rng.u16(2..)][rng.usize(..7)];
        let at = self.octets.len() - 2;
        self.octets[at..].copy_from_slice(&self.asked.class.to_be_bytes());
        self.edns(rng)
    }

    fn version(&mut self, rng: &mut Rng) -> Fate {
        let edns = Edns { octets: rng.u16(..), version: rng.u8(1..), dnssec_ok: false };
        self.opt(edns, 0, &[]);
        self.asked.edns = Some(edns);
        self.asked()
    }

    fn bad_opt(&mut self, rng: &mut Rng) -> Fate {
        let edns = Edns { octets: 1232, version: 0, dnssec_ok: false };
        let at = self.octets.len();
        match rng.u8(..7) {
            // A second one.
            0 => {
                self.opt(edns, 0, &[]);
                self.opt(edns, 0, &[]);
            }
            // In the answer or the authority section.
            1 => {
                self.opt(edns, 0, &[]);
                self.count(ADDITIONALS, u16::MAX);
                self.count(AUTHORITIES - 2 * rng.usize(..2), 1);
            }
            // Not at the root.
            2 => {
                self.opt(edns, 0, &[]);
                self.octets.splice(at..=at, [1, b'a', 0]);
            }
            // A cookie of a length that none has (RFC 7873 section 4).
            3 => {
                let length = [0, 1, 7, 9, 15, 41, 200][rng.usize(..7)];
                self.opt(edns, 0, &option(10, length));
            }
            // An option that goes on behind the record's end, and one that is no option yet.
            4 => {
                let mut options = option(65_001, 8);
                options.truncate(rng.usize(5..12));
                self.opt(edns, 0, &options);
            }
            5 => self.opt(edns, 0, &[0, 3, 0][..rng.usize(1..4)]),
            // Its data end with the message.
            _ => {
                self.opt(edns, 0, &option(3, 20));
                self.octets.truncate(at + rng.usize(1..30));
            }
        }
        self.malformed(true)
    }

    fn bad_count(&mut self, rng: &mut Rng) -> Fate {
        if rng.bool() {
            let others = [0, 2, 3, 255, 256, 65_535];
            let count: u16 = others[rng.usize(..others.len())];
            self.octets[QUESTIONS..QUESTIONS + 2].copy_from_slice(&count.to_be_bytes());
            return self.malformed(false);
        }
        // Records that are not there.
        self.edns(rng);
        self.count(QUESTIONS + 2 * rng.usize(1..4), rng.u16(1..1_000));
        self.malformed(true)
    }

    fn bad_name(&mut self, rng: &mut Rng) -> Fate {
        let rest = [0, 1, 0, 1];
        self.octets.truncate(HEADER);
        let begin = wire("i-1.few.");
        let begin = &begin[..begin.len() - 1];
        match rng.u8(..4) {
            // Pointers: to itself, forward, into the header, at a label that is there.
            0 => {
                self.octets.extend_from_slice(begin);
                let to = [HEADER + begin.len(), 40, 0, HEADER, 16_383][rng.usize(..5)];
                let to = 0xc000 | u16::try_from(to).unwrap();
                self.octets.extend_from_slice(&to.to_be_bytes());
            }
            // Label types that nobody has.
            1 => {
                self.octets.extend_from_slice(begin);
                self.octets.push(rng.u8(64..192));
                self.octets.extend_from_slice(&[b'a'; 200]);
                self.octets.push(0);
            }
            // 256 octets, or many more.
            2 => {
                for _ in 0..[127, 200][rng.usize(..2)] {
                    self.octets.extend_from_slice(&[1, b'a']);
                }
                self.octets.extend_from_slice(&[1, b'b', 0]);
            }
            // No end.
            _ => {
                self.octets.extend_from_slice(begin);
                self.octets.extend_from_slice(&[63; 20]);
                return self.malformed(false);
            }
        }
        self.octets.extend_from_slice(&rest);
        self.malformed(false)
    }

    /// Within the question.
    fn cut(&mut self, rng: &mut Rng) -> Fate {
        self.octets.truncate(rng.usize(HEADER..self.octets.len()));
        self.malformed(false)
    }

    fn changed(&mut self, rng: &mut Rng) -> Fate {
        self.edns(rng);
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..self.octets.len());
            self.octets[at] = rng.u8(..);
        }
        Fate::Open
    }

    fn trailing(&mut self, rng: &mut Rng) -> Fate {
        let fate = self.edns(rng);
        self.octets.extend((0..rng.usize(1..40)).map(|_| rng.u8(..)));
        fate
    }

    fn response(&mut self) -> Fate {
        self.octets[FLAGS] |= 0x80;
        Fate::Open
    }

    fn short(&mut self, rng: &mut Rng) -> Fate {
        self.octets.truncate(rng.usize(..HEADER));
        Fate::Open
    }

    fn noise(&mut self, rng: &mut Rng) -> Fate {
        self.octets = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
        // Half of it gets past the header.
        if rng.bool() && self.octets.len() > HEADER {
            self.octets[FLAGS..HEADER].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        Fate::Open
    }
}

/// Options that mean nothing to us, and cookies of legal lengths.
fn options(rng: &mut Rng) -> Vec<u8> {
    let each = (0..rng.usize(1..4)).flat_map(|_| match rng.u8(..3) {
        0 => option(10, [8, 16, 24, 40][rng.usize(..4)]),
        1 => option(rng.u16(11..), rng.usize(..30)),
        _ => option([3, 8, 12][rng.usize(..3)], rng.usize(..10)),
    });
    each.collect()
}

fn option(code: u16, length: usize) -> Vec<u8> {
    let mut option = code.to_be_bytes().to_vec();
    option.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    option.extend((1..=length).map(|n| n as u8));
    option
}
