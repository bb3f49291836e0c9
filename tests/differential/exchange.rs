//! Brings questions to a server over real sockets, in batches, and the replies back.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::dns::DEADLINE;
use crate::questions::{Question, last};

/// Datagrams on their way at once: what may come back for them fits a socket's buffer.
const WINDOW: usize = 16;
/// How long nothing may come before the questions without a reply are asked again, and how often.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 5;
/// Octets of a message that a TCP connection is kept for: a header.
const MESSAGE_OCTETS_MIN: usize = 12;

/// What came back for each question of a batch; none for silence.
pub(crate) type Replies = Vec<Option<Vec<u8>>>;

/// Whether a message gets no reply, by law: what is shorter than a header, and what is a response.
pub(crate) fn is_silent(octets: &[u8]) -> bool {
    octets.len() < MESSAGE_OCTETS_MIN || octets[2] & 0x80 != 0
}

fn id(octets: &[u8]) -> Option<[u8; 2]> {
    octets.first_chunk().copied()
}

/// One socket and one server.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    buffer: Vec<u8>,
    /// Ids of questions that were asked more than once: their replies may come twice, and late.
    again: HashSet<[u8; 2]>,
}

impl Datagrams {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).await.unwrap();
        socket.connect(server).await.unwrap();
        Self { socket, buffer: vec![0; 65_535], again: HashSet::new() }
    }

    /// Asks a batch whose ids differ.
    pub(crate) async fn ask(&mut self, batch: &[Question]) -> Replies {
        let mut replies = vec![None; batch.len()];
        let ids: HashMap<[u8; 2], usize> = batch
            .iter()
            .enumerate()
            .filter_map(|(at, question)| Some((id(&question.octets)?, at)))
            .collect();
        let mut waiting: HashSet<usize> = HashSet::new();
        for (at, question) in batch.iter().enumerate() {
            while waiting.len() >= WINDOW {
                self.hear(batch, &ids, &mut waiting, &mut replies).await;
            }
            self.socket.send(&question.octets).await.unwrap();
            if !is_silent(&question.octets) {
                waiting.insert(at);
            }
        }
        while !waiting.is_empty() {
            self.hear(batch, &ids, &mut waiting, &mut replies).await;
        }
        replies
    }

    /// Takes one reply, or asks again what had none for long.
    async fn hear(
        &mut self,
        batch: &[Question],
        ids: &HashMap<[u8; 2], usize>,
        waiting: &mut HashSet<usize>,
        replies: &mut Replies,
    ) {
        for _ in 0..TRIES {
            match timeout(PATIENCE, self.socket.recv(&mut self.buffer)).await {
                Ok(received) => {
                    let reply = &self.buffer[..received.unwrap()];
                    let id = id(reply).expect("a reply has an id");
                    match ids.get(&id) {
                        Some(at) if replies[*at].is_none() => {
                            replies[*at] = Some(reply.to_vec());
                            waiting.remove(at);
                        }
                        _ => assert!(self.again.contains(&id), "a reply to nobody: {reply:02x?}"),
                    }
                    return;
                }
                Err(_) => {
                    for at in waiting.iter() {
                        self.again.extend(id(&batch[*at].octets));
                        self.socket.send(&batch[*at].octets).await.unwrap();
                    }
                }
            }
        }
        let first = waiting.iter().min().map(|at| &batch[*at].octets);
        panic!("no reply over UDP to {} questions, one of them {first:02x?}", waiting.len());
    }

    /// Waits until everything that was sent has been seen, and makes sure that nothing else comes back.
    pub(crate) async fn end(mut self, id: u16) {
        let octets = last(id);
        let question = Question { octets, kind: "", form: "", fate: crate::questions::Fate::Open };
        let replies = self.ask(&[question]).await;
        assert!(replies[0].is_some());
    }
}

/// Asks a batch on one connection, pipelined; on another one behind each message that is too short to be one,
/// after which the server hangs up.
pub(crate) async fn ask_tcp(server: SocketAddr, batch: &[Question]) -> Replies {
    let mut replies = Vec::with_capacity(batch.len());
    let short = |question: &Question| question.octets.len() < MESSAGE_OCTETS_MIN;
    for part in batch.split_inclusive(short) {
        let hangs_up = part.last().is_some_and(short);
        let exchange = connection(server, part, hangs_up);
        replies.extend(timeout(DEADLINE, exchange).await.expect("the end of a connection"));
    }
    replies
}

async fn connection(server: SocketAddr, part: &[Question], hangs_up: bool) -> Replies {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut sent = Vec::new();
    for question in part {
        sent.extend_from_slice(&u16::try_from(question.octets.len()).unwrap().to_be_bytes());
        sent.extend_from_slice(&question.octets);
    }
    let mut received = Vec::new();
    let (written, end) = tokio::join!(
        async {
            write.write_all(&sent).await?;
            // Whoever has asked all may say so, and is answered (RFC 7766 section 6.2.3).
            if hangs_up { Ok(()) } else { write.shutdown().await }
        },
        read.read_to_end(&mut received)
    );
    written.expect("questions are taken");
    end.expect("replies end in order");
    let mut replies = vec![None; part.len()];
    let mut rest = &received[..];
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (reply, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
        let asked = part.iter().position(|question| id(&question.octets) == id(reply));
        let asked = asked.unwrap_or_else(|| panic!("a reply to nobody: {reply:02x?}"));
        assert!(replies[asked].is_none(), "two replies: {reply:02x?}");
        replies[asked] = Some(reply.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty());
    replies
}
