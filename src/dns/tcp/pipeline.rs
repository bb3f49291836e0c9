//! The stream of one connection, TCP or TLS on it: octets in, messages answered in the order in which they were asked,
//! octets out.
//!
//! A turn reads what has arrived, answers every message that is whole, and writes the replies together: one
//! call to read and one to write, however many queries there are. It runs in buffers that belong to the thread.
//! A connection keeps only what is left over: the beginning of a message, or replies that the client does not
//! take. So an idle one holds no buffer, and one that is not grows with what really came.
//!
//! Names of others are looked up meanwhile, and their replies written as they are ready, whatever was asked before
//! (RFC 7766 section 6.2.1.1): nobody waits behind them. They end with the connection.
//!
//! Knows nothing of deadlines, nor of what an answer holds.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::take;
use std::net::IpAddr;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::task::{JoinError, JoinSet};

use super::Service;
use super::stream::Stream;
use crate::dns::answer::Verdict;
use crate::dns::answer::out::Out;
use crate::dns::forward;
use crate::dns::stats::TransportTotals;

/// Octets read in one turn: some 300 queries.
const READ_OCTETS: usize = 16 << 10;
/// Octets written in one turn, and what one reply has beyond; then others come first, so that no client has a
/// thread to itself for long.
const TURN_OCTETS: usize = 256 << 10;
/// Replies are written once they come to this much: a hundred small ones go in one call, and no client makes us
/// hold more than this and one reply more.
const WRITE_OCTETS: usize = 32 << 10;
/// Look-ups of one connection at once, those that have ended and whose replies are yet to be written among them: a bound
/// for its memory. How many may wait for others is the forwarder's to know, over all connections.
const FORWARDED_MAX: usize = 1_000;
/// Shortest message: a header (RFC 1035 section 4.1.1).
const MESSAGE_OCTETS_MIN: usize = 12;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room::new());
}

/// Buffers of a thread, for the connection whose turn it is.
struct Room {
    arrived: Box<[u8]>,
    out: Out,
    replies: Vec<u8>,
}

impl Room {
    fn new() -> Self {
        Self { arrived: vec![0; READ_OCTETS].into(), out: Out::new(), replies: Vec::new() }
    }
}

/// The stream, and what is left over from its last turn.
#[derive(Debug)]
pub(super) struct Pipeline<S> {
    stream: S,
    client: IpAddr,
    service: Arc<Service>,
    /// What has arrived and is not answered: less than a message, unless `replies` holds something.
    read: Vec<u8>,
    /// What is answered and not written, since the client does not take it.
    replies: Vec<u8>,
    /// Replies that others are asked for.
    forwarded: JoinSet<Vec<u8>>,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// What had arrived whole is answered; whether there was any.
    Answered(bool),
    /// Replies are left over, and perhaps queries, or the turn was long: [`Pipeline::unblock`] comes next.
    Blocked,
    /// A length that no message has; what was asked before it is answered.
    Unfit,
    /// The client sends no more, and all it has asked is answered.
    End,
    /// The connection failed.
    Broken,
}

impl<S: Stream> Pipeline<S> {
    pub(super) fn new(stream: S, client: IpAddr, service: Arc<Service>) -> Self {
        let (read, replies, forwarded) = (Vec::new(), Vec::new(), JoinSet::new());
        Self { stream, client, service, read, replies, forwarded }
    }

    /// Whether no message has begun to arrive.
    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// Whether others are being asked.
    pub(super) fn is_waiting(&self) -> bool {
        !self.forwarded.is_empty()
    }

    /// Waits for the next reply from others, and writes it; at once where there is none. May be dropped while it
    /// waits.
    pub(super) async fn forwarded(&mut self) -> Turn {
        poll_fn(|context| self.poll_forwarded(context)).await
    }

    /// Waits until something has arrived, from the client or from others, and takes a turn. May be dropped while it
    /// waits.
    pub(super) async fn turn(&mut self) -> Turn {
        poll_fn(|context| self.poll_turn(context)).await
    }

    /// Waits until the client has taken what was left over, and goes on. The caller bounds the wait in time.
    pub(super) async fn unblock(&mut self) -> Turn {
        tokio::task::yield_now().await;
        let mut written = self.stream.write_all(&self.replies).await;
        self.replies = Vec::new();
        if written.is_ok() {
            written = self.stream.flush().await;
        }
        if written.is_err() {
            return self.broken();
        }
        poll_fn(|context| {
            ROOM.with_borrow_mut(|Room { out, replies, .. }| {
                Poll::Ready(self.answer_kept(context, out, replies))
            })
        })
        .await
    }

    /// The stream, with nothing left over.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    fn poll_forwarded(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let mut replies = Vec::new();
        let ended = ready!(self.forwarded.poll_join_next(context));
        if let Some(ended) = ended {
            push_forwarded(&mut replies, ended);
        }
        // Those that are ready too go with it.
        while replies.len() < WRITE_OCTETS
            && let Some(ended) = self.forwarded.try_join_next()
        {
            push_forwarded(&mut replies, ended);
        }
        Poll::Ready(match self.write(context, &mut replies) {
            Ok(true) => Turn::Answered(false),
            Ok(false) => Turn::Blocked,
            Err(_) => self.broken(),
        })
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        if self.is_waiting()
            && let Poll::Ready(turn) = self.poll_forwarded(context)
        {
            return Poll::Ready(turn);
        }
        ROOM.with_borrow_mut(|Room { arrived, out, replies }| {
            let mut arrived = ReadBuf::new(arrived);
            // Unlike `try_read` this notices that it has read all there is, and saves a call that says so.
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut arrived));
            let arrived = arrived.filled();
            Poll::Ready(match read {
                Err(_) => Turn::Broken,
                Ok(()) if arrived.is_empty() => Turn::End,
                Ok(()) if self.read.is_empty() => {
                    let (used, turn) = self.answer_whole(context, arrived, out, replies);
                    self.read.extend_from_slice(&arrived[used..]);
                    turn
                }
                Ok(()) => {
                    self.read.extend_from_slice(arrived);
                    self.answer_kept(context, out, replies)
                }
            })
        })
    }

    fn answer_kept(
        &mut self,
        context: &mut Context<'_>,
        out: &mut Out,
        replies: &mut Vec<u8>,
    ) -> Turn {
        let mut read = take(&mut self.read);
        let (used, turn) = self.answer_whole(context, &read, out, replies);
        if used < read.len() {
            read.drain(..used);
            self.read = read;
        }
        turn
    }

    /// Answers messages for as long as they are whole and the client takes the replies. How many octets those
    /// were, and what it came to.
    fn answer_whole(
        &mut self,
        context: &mut Context<'_>,
        octets: &[u8],
        out: &mut Out,
        replies: &mut Vec<u8>,
    ) -> (usize, Turn) {
        let service = self.service.clone();
        let view = service.source.view();
        let mut tally = TransportTotals::default();
        let (mut used, mut turn, mut answered) = (0, Turn::Answered(false), 0);
        replies.clear();
        while let Some((prefix, behind)) = octets[used..].split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*prefix));
            if length < MESSAGE_OCTETS_MIN {
                turn = Turn::Unfit;
                break;
            }
            let Some(query) = behind.get(..length) else { break };
            used += 2 + length;
            turn = Turn::Answered(true);
            match view.answer(self.client, self.service.transport, fastrand::u64(..), query, out) {
                Verdict::Drop => tally.dropped += 1,
                Verdict::Forward => self.forward(query, replies, &mut tally),
                Verdict::Reply(len) => {
                    let reply = out.octets(len);
                    tally.answered(query, reply);
                    push(replies, reply);
                }
            }
            if replies.len() >= WRITE_OCTETS {
                self.service.counters.add(&take(&mut tally));
                answered += replies.len();
                if answered >= TURN_OCTETS {
                    self.replies.append(replies);
                    return (used, Turn::Blocked);
                }
                match self.write(context, replies) {
                    Ok(true) => {}
                    Ok(false) => return (used, Turn::Blocked),
                    Err(_) => return (used, self.broken()),
                }
            }
        }
        drop(view);
        self.service.counters.add(&tally);
        match self.write(context, replies) {
            Ok(true) => (used, turn),
            // An unfit length is met again when all is written.
            Ok(false) => (used, Turn::Blocked),
            Err(_) => (used, self.broken()),
        }
    }

    /// Has a query looked up; where there is no place for it, the client hears that at once.
    #[cold]
    fn forward(&mut self, query: &[u8], replies: &mut Vec<u8>, tally: &mut TransportTotals) {
        let (client, transport) = (self.client, self.service.transport);
        let Some(forwarder) = self.service.source.forwarder() else {
            tally.dropped += 1;
            return;
        };
        if self.forwarded.len() >= FORWARDED_MAX {
            let reply = forwarder.refuse(query, client, transport);
            tally.answered(query, &reply);
            push(replies, &reply);
            return;
        }
        let (forwarder, query) = (forwarder.clone(), query.to_vec());
        let counters = self.service.counters.clone();
        self.forwarded.spawn(async move {
            forward::answer_connection(&forwarder, &query, (client, transport), &counters).await
        });
    }

    /// Writes as much as the client takes now; the rest is left over. Whether there is none.
    fn write(&mut self, context: &mut Context<'_>, replies: &mut Vec<u8>) -> io::Result<bool> {
        let pushed = self.stream.push(context, replies)?;
        self.replies.extend_from_slice(&replies[pushed.taken..]);
        replies.clear();
        Ok(pushed.gone)
    }

    fn broken(&self) -> Turn {
        self.service.counters.failed(1);
        Turn::Broken
    }
}

/// Appends a message and, in front of it, its length. It has at most 65,535 octets, since no reply has more.
fn push(replies: &mut Vec<u8>, reply: &[u8]) {
    replies.extend_from_slice(&(reply.len() as u16).to_be_bytes());
    replies.extend_from_slice(reply);
}

/// Appends a reply that others were asked for. A panic goes on here, and ends the server, as any of a connection.
fn push_forwarded(replies: &mut Vec<u8>, ended: Result<Vec<u8>, JoinError>) {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(reply) if !reply.is_empty() => push(replies, &reply),
        Err(Ok(panic)) => resume_unwind(panic),
        Ok(_) | Err(Err(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::dns::answer::policy::Policy;
    use crate::dns::settings::Settings;
    use crate::dns::source::Source;
    use crate::dns::stats::Stats;
    use crate::dns::transport::Transport;
    use crate::zone::Published;

    /// How long anything may take that happens at once on an idle machine.
    const DEADLINE: Duration = Duration::from_secs(20);

    /// A connection that holds little on its way, and its other end.
    async fn narrow(stats: &Arc<Stats>) -> (Pipeline<TcpStream>, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        SockRef::from(&stream).set_send_buffer_size(4_096).unwrap();
        let settings = Settings::default();
        let published = Arc::new(Published::new(Arc::default()));
        let source = Source::new(published, Policy::default(), || 0);
        let stop = CancellationToken::new();
        let service = Service::new(Transport::Tcp, &settings, source, stats, stop);
        (Pipeline::new(stream, peer.ip(), service), client)
    }

    /// A query with that id for the root's address, and its length.
    fn query(id: u16) -> Vec<u8> {
        let mut octets = vec![0, 17];
        octets.extend_from_slice(&id.to_be_bytes());
        octets.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
        octets
    }

    /// Takes turns, and counts those that were blocked.
    async fn run(mut pipeline: Pipeline<TcpStream>) -> (usize, Turn) {
        let mut blocked = 0;
        loop {
            let mut turn = pipeline.turn().await;
            while turn == Turn::Blocked {
                assert!(pipeline.replies.len() <= WRITE_OCTETS + 64);
                blocked += 1;
                turn = pipeline.unblock().await;
            }
            if !matches!(turn, Turn::Answered(_)) {
                return (blocked, turn);
            }
        }
    }

    #[tokio::test]
    async fn replies_wait_for_a_slow_reader_and_all_come_in_order() {
        let stats = Arc::default();
        let (pipeline, mut client) = narrow(&stats).await;
        // More than is on its way at once; then a length that no message has, and what must not be answered.
        let mut asked: Vec<u8> = (0..3_000).flat_map(query).collect();
        asked.extend_from_slice(&[0, 1, 7]);
        asked.extend(query(9_999));
        let serve = run(pipeline);
        let ask = async {
            let (mut read, mut write) = client.split();
            let ask = async { write.write_all(&asked).await.unwrap() };
            let hear = async {
                for id in 0..3_000 {
                    let len = read.read_u16().await.unwrap();
                    let mut reply = vec![0; len.into()];
                    read.read_exact(&mut reply).await.unwrap();
                    assert_eq!(reply[..2], u16::to_be_bytes(id));
                }
                assert_eq!(read.read(&mut [0]).await.unwrap_or(0), 0, "nothing more comes");
            };
            tokio::join!(ask, hear);
        };
        let both = async { tokio::join!(serve, ask) };
        let ((blocked, turn), ()) = timeout(DEADLINE, both).await.unwrap();
        assert_eq!(turn, Turn::Unfit);
        assert!(blocked > 0, "the reader is slow");
        assert_eq!(stats.totals().of(Transport::Tcp).requests.iter().sum::<u64>(), 3_000);
    }

    #[tokio::test]
    async fn what_arrives_in_pieces_is_kept_and_given_up_when_it_is_whole() {
        let (mut pipeline, mut client) = narrow(&Arc::default()).await;
        let two = [query(1), query(2)].concat();
        for (piece, answered) in [(0..1, false), (1..20, true), (20..37, false), (37..38, true)] {
            client.write_all(&two[piece]).await.unwrap();
            let turn = timeout(DEADLINE, pipeline.turn()).await.unwrap();
            assert_eq!(turn, Turn::Answered(answered));
        }
        assert!(pipeline.is_empty() && pipeline.read.capacity() == 0);
        assert_eq!(pipeline.replies.capacity(), 0);
    }
}
