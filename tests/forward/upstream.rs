//! A DNS server that says what a test wants, over UDP and TCP on one port, and remembers what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{NULL, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::until;

/// A question that came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) message: Message,
    pub(crate) from: SocketAddr,
    pub(crate) over_tcp: bool,
}

impl Asked {
    pub(crate) fn query(&self) -> &Query {
        &self.message.queries[0]
    }

    /// The name, in lower case.
    pub(crate) fn name(&self) -> String {
        self.query().name.to_ascii().to_ascii_lowercase()
    }

    /// A response to it without records.
    pub(crate) fn response(&self) -> Message {
        let mut response =
            Message::response(self.message.metadata.id, self.message.metadata.op_code);
        response.metadata.message_type = MessageType::Response;
        response.metadata.recursion_available = true;
        response.add_query(self.query().clone());
        response
    }

    /// One with these answers.
    pub(crate) fn with(&self, answers: impl IntoIterator<Item = Record>) -> Vec<u8> {
        let mut response = self.response();
        response.add_answers(answers);
        octets(&response)
    }

    /// One that says no such name, or no such data, with an SOA that holds for so many seconds.
    pub(crate) fn negative(&self, code: ResponseCode, ttl: u32) -> Vec<u8> {
        let mut response = self.response();
        response.metadata.response_code = code;
        let mut soa = soa("example.");
        soa.ttl = ttl;
        response.add_authorities([soa]);
        octets(&response)
    }

    /// One with nothing but that code.
    pub(crate) fn code(&self, code: ResponseCode) -> Vec<u8> {
        let mut response = self.response();
        response.metadata.response_code = code;
        octets(&response)
    }
}

pub(crate) fn octets(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub(crate) fn a(owner: &str, ttl: u32, last: u8) -> Record {
    let data = RData::A(Ipv4Addr::new(192, 0, 2, last).into());
    Record::from_rdata(name(owner), ttl, data)
}

pub(crate) fn cname(owner: &str, ttl: u32, target: &str) -> Record {
    let data = hickory_proto::rr::rdata::CNAME(name(target));
    Record::from_rdata(name(owner), ttl, RData::CNAME(data))
}

/// Holds as long as its own time to live says, a minute at most.
pub(crate) fn soa(owner: &str) -> Record {
    let data = SOA::new(name("ns.example."), name("who.example."), 1, 2, 3, 4, 60);
    Record::from_rdata(name(owner), 60, RData::SOA(data))
}

/// All names below it are said to be elsewhere (RFC 6672).
pub(crate) fn dname(owner: &str) -> Record {
    let rdata = NULL::with(b"\x04evil\x00".to_vec());
    Record::from_rdata(name(owner), 60, RData::Unknown { code: RecordType::Unknown(39), rdata })
}

/// What it says: messages, one after the other.
type Answers = dyn Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync;

struct Shared {
    answers: Box<Answers>,
    seen: Mutex<Vec<Asked>>,
    held: watch::Sender<bool>,
}

/// The server; gone with its value.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    /// One that answers so.
    pub(crate) async fn start(
        answers: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            answers: Box::new(answers),
            seen: Mutex::default(),
            held: watch::Sender::new(false),
        });
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = udp.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(Arc::new(udp), shared.clone()));
        tasks.spawn(serve_tcp(tcp, shared.clone()));
        Self { address, shared, _tasks: tasks }
    }

    /// One that has 192.0.2.1 for every name, for a minute.
    pub(crate) async fn with_one_address() -> Self {
        Self::start(|asked| vec![asked.with([a(&asked.name(), 60, 1)])]).await
    }

    /// Lets nobody have an answer until [`Self::release`], if that ever comes.
    pub(crate) fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The names in it, each once, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.seen().iter().map(Asked::name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Waits until it was asked for so many names.
    pub(crate) async fn was_asked_for(&self, names: usize) {
        until("upstream is asked", async || self.names().len() >= names).await;
    }
}

impl Shared {
    /// Remembers a question, and says what there is to say.
    async fn answer(&self, octets: &[u8], from: SocketAddr, over_tcp: bool) -> Vec<Vec<u8>> {
        let message = Message::from_vec(octets).expect("a well-formed question");
        let asked = Asked { message, from, over_tcp };
        self.seen.lock().unwrap().push(asked.clone());
        self.held.subscribe().wait_for(|held| !held).await.expect("held by us");
        (self.answers)(&asked)
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut answering = JoinSet::new();
    let mut query = [0; 4_096];
    loop {
        let (len, from) = socket.recv_from(&mut query).await.unwrap();
        let (query, shared, socket) = (query[..len].to_vec(), shared.clone(), socket.clone());
        answering.spawn(async move {
            for reply in shared.answer(&query, from, false).await {
                // The one who asked may have given up.
                let _ = socket.send_to(&reply, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = listener.accept().await.unwrap();
        connections.spawn(serve_connection(stream, from, shared.clone()));
    }
}

async fn serve_connection(mut stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        for reply in shared.answer(&query, from, true).await {
            let length = u16::try_from(reply.len()).unwrap();
            let framed = [&length.to_be_bytes()[..], &reply].concat();
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}
