//! What is asked: ready octets of queries, each with what a right answer to it looks like.
//!
//! Knows nothing of sockets.

use super::zone::{self, App};

/// Octets of the longest query that is asked.
pub(crate) const QUERY_OCTETS_MAX: usize = 64;
/// Octets before the question's name.
pub(crate) const HEADER_OCTETS: usize = 12;
/// The OPT record at a query's end: no name, type 41, 1232 octets, no flags, no options.
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const SOA: u16 = 6;

const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;

/// Characters of a name that is never asked twice.
pub(crate) const RANDOM_LABEL: usize = 12;

/// What a right answer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expect {
    pub(crate) rcode: u8,
    /// Whether it is cut short; the records of the others are counted.
    pub(crate) cut: bool,
    pub(crate) answers: u16,
    /// Additional records, OPT among them; at least so many, since some servers add the addresses of the
    /// zone's own name servers.
    pub(crate) additionals: u16,
}

/// One query and its right answer.
#[derive(Clone)]
pub(crate) struct Question {
    octets: [u8; QUERY_OCTETS_MAX],
    len: usize,
    pub(crate) expect: Expect,
}

impl Question {
    /// As a resolver asks an authority: RD clear, EDNS with 1232 octets.
    pub(crate) fn new(name: &str, rtype: u16, expect: Expect) -> Self {
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            query.push(u8::try_from(label.len()).expect("a legal label"));
            query.extend_from_slice(label.as_bytes());
        }
        query.push(0);
        query.extend_from_slice(&rtype.to_be_bytes());
        query.extend_from_slice(&[0, 1]);
        query.extend_from_slice(&OPT);
        let mut octets = [0; QUERY_OCTETS_MAX];
        octets[..query.len()].copy_from_slice(&query);
        Self { octets, len: query.len(), expect }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// Where the question ends in a query that ends with our OPT record.
pub(crate) fn question_end(query: &[u8]) -> usize {
    query.len() - OPT.len()
}

/// Questions of one kind, asked over and over in this order.
pub(crate) struct Mix {
    /// One word for the command line and for programs.
    pub(crate) key: &'static str,
    /// What it is, for people.
    pub(crate) title: &'static str,
    pub(crate) questions: Vec<Question>,
    /// The first label, of [`RANDOM_LABEL`] characters, is another one each time.
    pub(crate) never_repeats: bool,
}

impl Mix {
    fn new(key: &'static str, title: &'static str, questions: Vec<Question>) -> Self {
        Self { key, title, questions, never_repeats: false }
    }

    /// All that are asked of the common zone.
    pub(crate) fn all() -> Vec<Self> {
        let srv = || each_app().map(|app| srv(&app)).collect::<Vec<_>>();
        let a = || each_app().map(|app| a(&app)).collect::<Vec<_>>();
        let negative = |rcode| Expect { rcode, cut: false, answers: 0, additionals: 1 };
        let nodata = each_app()
            .map(|app| Question::new(&format!("{}.svc", app.name), AAAA, negative(NOERROR)));
        let nxdomain = (0..1_000)
            .map(|n| Question::new(&format!("_nova._tcp.nope{n:04}.svc"), SRV, negative(NXDOMAIN)));
        let random =
            Question::new(&format!("{}.svc", "x".repeat(RANDOM_LABEL)), A, negative(NXDOMAIN));
        let mut rng = fastrand::Rng::with_seed(7);
        let cased = each_app().map(|app| {
            let name: String = service(&app.name)
                .chars()
                .map(|c| if rng.bool() { c.to_ascii_uppercase() } else { c })
                .collect();
            Question::new(&name, SRV, positive(5, 6))
        });
        let forty = |app: &str, cut| {
            vec![Question::new(&service(app), SRV, Expect { cut, ..positive(40, 1) })]
        };
        vec![
            Self::new("srv", "5 SRV with glue", shuffled(srv())),
            Self::new("a", "5 A", shuffled(a())),
            Self::new("mix", "5 SRV with glue and 5 A, half and half", {
                shuffled(srv().into_iter().chain(a()).collect())
            }),
            Self::new("nodata", "NODATA", shuffled(nodata.collect())),
            Self::new("nxdomain", "NXDOMAIN", shuffled(nxdomain.collect())),
            Self {
                never_repeats: true,
                ..Self::new("random", "NXDOMAIN, no name asked twice", vec![random])
            },
            Self::new("case", "5 SRV with glue, name in mixed case", shuffled(cased.collect())),
            Self::new("forty", "40 SRV that just fit 1232 octets", forty(zone::FORTY, false)),
            Self::new(
                "cut",
                "40 SRV that do not fit 1232 octets: TC",
                forty(zone::FORTY_CUT, true),
            ),
        ]
    }

    /// SRV of random apps among many, for a server that holds as many.
    pub(crate) fn among(key: &'static str, title: &'static str, apps: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(11);
        let asked = apps.min(100_000);
        let question = |_| {
            let app = rng.usize(0..apps);
            Question::new(&format!("_nova._tcp.app-{app}.svc"), SRV, positive(5, 6))
        };
        Self::new(key, title, (0..asked).map(question).collect())
    }
}

/// Whether it serves the zone: the SOA of this very zone.
pub(crate) fn soa() -> Question {
    Question::new("svc", SOA, Expect { additionals: 1, ..positive(1, 1) })
}

fn each_app() -> impl Iterator<Item = App> {
    zone::apps().into_iter().filter(|app| app.instances.len() == 5)
}

fn srv(app: &App) -> Question {
    Question::new(&service(&app.name), SRV, positive(5, 6))
}

fn a(app: &App) -> Question {
    Question::new(&format!("{}.svc", app.name), A, positive(5, 1))
}

fn service(app: &str) -> String {
    format!("_nova._tcp.{app}.svc")
}

fn positive(answers: u16, additionals: u16) -> Expect {
    Expect { rcode: NOERROR, cut: false, answers, additionals }
}

fn shuffled(mut questions: Vec<Question>) -> Vec<Question> {
    fastrand::Rng::with_seed(3).shuffle(&mut questions);
    questions
}
