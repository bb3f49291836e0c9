//! `rollcall query`: ask as dig would, for machines without dig.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{Instant, timeout};

use super::error::{DONE, Error, Outcome, REFUSED, UNREACHABLE};
use super::output;
use super::zoneform::{self, Answer};
use crate::config::io_reason;

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// Tries over UDP, where a datagram may get lost.
const UDP_TRIES: usize = 3;
/// UDP octets that we take: DNS Flag Day 2020's.
const UDP_OCTETS: u16 = 1_232;

/// Ask a DNS server, as dig would
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Ask the DNS server and print the answer in the form of zone files, as dig would.\n\n\
Over UDP first, over TCP where the answer does not fit. NAME is taken as written; a final dot is added. \
Exit codes: 0 there is an answer; 1 there is none (no such name, no such records, refused); 3 the server can't \
be reached, or can't know now (SERVFAIL).",
    after_help = "\
Examples:
  rollcall query greeter.svc
  rollcall query _nova._tcp.greeter.svc SRV
  rollcall query svc SOA --short
  rollcall query greeter.svc AAAA --tcp --dns 10.0.0.5:53"
)]
pub(super) struct Args {
    /// The name
    name: String,
    /// The type, such as A, AAAA, SRV, TXT, SOA, ANY or TYPE65 [default: SRV where NAME begins with '_', else A]
    #[arg(value_name = "TYPE", value_parser = record_type)]
    rtype: Option<RecordType>,
    /// The DNS server
    #[arg(long, env = "ROLLCALL_DNS", value_name = "HOST:PORT", default_value = "127.0.0.1:1053")]
    dns: String,
    /// Over TCP at once
    #[arg(long)]
    tcp: bool,
    /// Print the data of the answer's records and nothing else
    #[arg(long, conflicts_with = "json")]
    short: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn query(args: Args) -> Outcome {
    let name = name(&args.name)?;
    let server = lookup(&args.dns).await?;
    let service = args.name.starts_with('_');
    let rtype = args.rtype.unwrap_or(if service { RecordType::SRV } else { RecordType::A });
    let question = question(name, rtype);

    let start = Instant::now();
    let over_udp = if args.tcp { None } else { Some(ask_udp(server, &question).await?) };
    let (message, transport) = match over_udp {
        Some(message) if !message.metadata.truncation => (message, "UDP"),
        _ => (ask_tcp(server, &question).await?, "TCP"),
    };
    let answer = Answer { message, server, transport, took: start.elapsed() };
    if args.json {
        output::json(&zoneform::json(&answer))?;
    } else if args.short {
        for record in &answer.message.answers {
            output::line(&zoneform::data(record))?;
        }
    } else {
        output::text(zoneform::text(&answer).as_bytes())?;
    }
    Ok(match answer.message.metadata.response_code {
        ResponseCode::NoError if !answer.message.answers.is_empty() => DONE,
        ResponseCode::ServFail => UNREACHABLE,
        _ => REFUSED,
    })
}

/// The address of a server that is given as host and port.
pub(super) async fn lookup(server: &str) -> Result<SocketAddr, Error> {
    let mut found = lookup_host(server).await.map_err(|error| match error.kind() {
        // Nothing was looked up: it is not written as an address with port.
        io::ErrorKind::InvalidInput => Error::Usage(format!(
            "--dns / ROLLCALL_DNS: must be host:port such as 127.0.0.1:1053, got {server:?}"
        )),
        _ => away(server, &io_reason(&error)),
    })?;
    found.next().ok_or_else(|| away(server, "has no address"))
}

/// A name as it is written, with or without its final dot.
pub(super) fn name(text: &str) -> Result<Name, Error> {
    let mut name = Name::from_ascii(text).map_err(|error| {
        let why = if !text.is_ascii() {
            "must be ASCII, other letters in their form with xn--".into()
        } else if text.contains("..") || text.starts_with('.') {
            "has an empty label".into()
        } else {
            error.to_string()
        };
        Error::Usage(format!("{text:?} is not a name: {why}"))
    })?;
    name.set_fqdn(true);
    Ok(name)
}

/// A question as resolvers ask it.
pub(super) fn question(name: Name, rtype: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_OCTETS);
    message.set_edns(edns);
    message
}

async fn ask_udp(server: SocketAddr, question: &Message) -> Result<Message, Error> {
    let octets = encode(question)?;
    let any: SocketAddr = if server.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0; 16], 0))
    };
    let socket = UdpSocket::bind(any).await.map_err(|error| away(server, &io_reason(&error)))?;
    socket.connect(server).await.map_err(|error| away(server, &io_reason(&error)))?;
    for _ in 0..UDP_TRIES {
        socket.send(&octets).await.map_err(|error| away(server, &io_reason(&error)))?;
        match timeout(TRY_TIMEOUT, receive(&socket, question)).await {
            Ok(received) => return received.map_err(|error| away(server, &io_reason(&error))),
            Err(_) => continue,
        }
    }
    Err(away(server, &format!("no answer within {} s", TRY_TIMEOUT.as_secs() * UDP_TRIES as u64)))
}

/// The reply to our question; whatever else arrives is not for us.
async fn receive(socket: &UdpSocket, question: &Message) -> io::Result<Message> {
    let mut octets = vec![0; usize::from(u16::MAX)];
    loop {
        let len = socket.recv(&mut octets).await?;
        if let Ok(reply) = Message::from_vec(&octets[..len])
            && is_reply(&reply, question)
        {
            return Ok(reply);
        }
    }
}

async fn ask_tcp(server: SocketAddr, question: &Message) -> Result<Message, Error> {
    let octets = encode(question)?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        // RFC 1035 section 4.2.2: two octets of length in front. One write, or a small server may see half.
        let len = u16::try_from(octets.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes(), &octets[..]].concat()).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        Message::from_vec(&reply).map_err(io::Error::other)
    };
    match timeout(TRY_TIMEOUT, exchange).await {
        Ok(Ok(reply)) if is_reply(&reply, question) => Ok(reply),
        Ok(Ok(_)) => Err(away(server, "what it sent is no answer to the question")),
        Ok(Err(error)) => Err(away(server, &io_reason(&error))),
        Err(_) => Err(away(server, &format!("no answer within {} s", TRY_TIMEOUT.as_secs()))),
    }
}

/// Servers that can't read a question leave it out of their reply.
pub(super) fn is_reply(reply: &Message, question: &Message) -> bool {
    let same = reply.queries.is_empty() || reply.queries == question.queries;
    reply.metadata.id == question.metadata.id
        && reply.metadata.message_type == hickory_proto::op::MessageType::Response
        && same
}

fn encode(question: &Message) -> Result<Vec<u8>, Error> {
    question
        .to_vec()
        .map_err(|error| Error::Usage(format!("the question can't be written: {error}")))
}

/// A server that can't be reached.
pub(super) fn away(server: impl std::fmt::Display, why: &str) -> Error {
    Error::Unreachable(format!(
        "cannot reach the DNS server at {server}: {why}: is the server running? (rollcall serve, or set --dns / ROLLCALL_DNS)"
    ))
}

fn record_type(text: &str) -> Result<RecordType, String> {
    let text = text.to_ascii_uppercase();
    if let Some(number) = text.strip_prefix("TYPE").and_then(|digits| digits.parse::<u16>().ok()) {
        return Ok(number.into());
    }
    text.parse().map_err(|_| "is no known record type: give its number as in TYPE65".into())
}
