//! A DNS client with a decoder that is not ours, for tests of the whole server.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::soon;

/// Tries, and how long one may take: a datagram may get lost, as it may for any resolver.
const TRIES: usize = 3;
const TRY_TIMEOUT: Duration = Duration::from_secs(3);

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Message);

impl Answer {
    pub(crate) fn status(&self) -> ResponseCode {
        self.0.metadata.response_code
    }

    /// The answer section as `owner type data`, in order of text.
    pub(crate) fn records(&self) -> Vec<String> {
        texts(&self.0.answers)
    }

    /// The additional section likewise.
    pub(crate) fn additional(&self) -> Vec<String> {
        texts(&self.0.additionals)
    }

    /// The extended error's number (RFC 8914).
    pub(crate) fn extended_error(&self) -> Option<u16> {
        match self.0.edns.as_ref()?.option(EdnsCode::Unknown(15))? {
            EdnsOption::Unknown(_, octets) => {
                Some(u16::from_be_bytes(*octets.first_chunk().expect("a number in front")))
            }
            _ => None,
        }
    }

    /// The serial of the SOA record, wherever it stands.
    pub(crate) fn serial(&self) -> Option<u32> {
        let mut records = self.0.answers.iter().chain(&self.0.authorities);
        records.find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        })
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let text =
        |record: &Record| format!("{} {} {}", record.name, record.record_type(), record.data);
    let mut texts: Vec<_> = records.iter().map(text).collect();
    texts.sort();
    texts
}

/// Asks over UDP, and again where nothing comes back.
pub(crate) async fn ask(server: SocketAddr, name: &str, rtype: RecordType) -> Answer {
    let answer = try_ask(server, name, rtype).await;
    answer.unwrap_or_else(|| panic!("no answer from {server} for {name} {rtype}"))
}

/// The same; nothing where nobody answers.
pub(crate) async fn try_ask(server: SocketAddr, name: &str, rtype: RecordType) -> Option<Answer> {
    let question = question(name, rtype);
    let octets = question.to_vec().unwrap();
    let any: SocketAddr = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    for _ in 0..TRIES {
        let socket = UdpSocket::bind(any).await.unwrap();
        socket.connect(server).await.unwrap();
        let exchange = async {
            socket.send(&octets).await.ok()?;
            let mut reply = [0; 4_096];
            let len = socket.recv(&mut reply).await.ok()?;
            Some(decode(&question, &reply[..len]))
        };
        match timeout(TRY_TIMEOUT, exchange).await {
            Ok(Some(answer)) => return Some(answer),
            // Nobody listens: no better a moment later.
            Ok(None) => return None,
            Err(_) => {}
        }
    }
    None
}

/// Asks over TCP.
pub(crate) async fn ask_tcp(server: SocketAddr, name: &str, rtype: RecordType) -> Answer {
    let question = question(name, rtype);
    let octets = question.to_vec().unwrap();
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &octets].concat()).await.unwrap();
        let mut reply = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut reply).await.unwrap();
        decode(&question, &reply)
    };
    soon(("an answer over TCP", name), exchange).await
}

fn question(name: &str, rtype: RecordType) -> Message {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    let mut message = Message::query();
    // As all clients do; resolvers in front of a server refuse what comes without.
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(1_232);
    message.set_edns(edns);
    message
}

fn decode(question: &Message, reply: &[u8]) -> Answer {
    let message = Message::from_vec(reply).expect("a well-formed reply");
    assert_eq!(message.metadata.id, question.metadata.id);
    assert_eq!(message.queries, question.queries);
    Answer(message)
}

/// Asks the same over and over, and keeps what it was told that is not what it should be told.
pub(crate) struct Vigil {
    asking: JoinSet<Seen>,
    stop: CancellationToken,
}

/// What a vigil saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) asked: usize,
    pub(crate) bad: Vec<String>,
}

impl Vigil {
    /// Expects these records for each of the questions, always.
    pub(crate) fn over(
        server: SocketAddr,
        expected: Vec<(&'static str, RecordType, Vec<String>)>,
    ) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            let mut seen = Seen::default();
            while !stopped.is_cancelled() {
                for (name, rtype, records) in &expected {
                    seen.asked += 1;
                    match try_ask(server, name, *rtype).await {
                        Some(answer) if answer.records() == *records => {}
                        other => seen.bad.push(format!("{name} {rtype}: {other:?}")),
                    }
                }
                // Leaves the processor to those who are watched.
                sleep(Duration::from_millis(2)).await;
            }
            seen
        });
        Self { asking, stop }
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Seen {
        self.stop.cancel();
        soon("the vigil's end", self.asking.join_next()).await.unwrap().unwrap()
    }
}
