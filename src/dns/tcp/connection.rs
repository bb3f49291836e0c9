//! One TCP connection: messages with a length in front, answered in the order in which they were asked.
//!
//! ```text
//!            +-- nothing of a message: idle, may be closed to make room ---+
//!            v                                                             |
//! accepted -> read -> every whole message: answer -> write all replies ----+
//!               |         (bad length: what was asked before is answered, then closed)
//!               +-- end of stream: everything asked is answered, close
//! ```
//!
//! Deadlines (RFC 7766 section 6.2.3): idle so long at most; a message arrives whole within its time whatever
//! its pace; replies are taken within theirs. An idle connection holds no buffer for what comes
//! in, which grows with what really comes, and replies are written in one buffer a thread.
//!
//! Knows nothing of what an answer holds.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::Service;
use super::table::Place;
use crate::dns::answer::{Ask, Transport, Verdict, answer};
use crate::dns::reply::Out;
use crate::dns::stats::TransportTotals;

/// Octets read at once at first: a query with EDNS fits several times.
const READ_OCTETS: usize = 512;
/// Octets read at once by a client that keeps the buffer full.
const READ_OCTETS_MAX: usize = 16 << 10;
/// Replies are written once they come to this much: several small ones go in one segment, and no client makes
/// us hold more than this and one reply more.
const WRITE_OCTETS: usize = 16 << 10;
/// Shortest message: a header (RFC 1035 section 4.1.1).
const MESSAGE_OCTETS_MIN: usize = 12;
/// How long to read away what a client still sends after the last reply: closing over unread octets would
/// reset the connection and destroy replies on their way (RFC 9293 section 3.10.4).
const LINGER: Duration = Duration::from_millis(500);
/// Octets read away at most meanwhile.
const LINGER_OCTETS_MAX: usize = 64 << 10;

thread_local! {
    /// Where replies are written before they go to a connection's own buffer: 64 KiB a thread, not one for
    /// every connection.
    static OUT: RefCell<Out> = RefCell::new(Out::new());
}

/// The connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    client: IpAddr,
    place: Place,
    service: Arc<Service>,
    /// What was read and not yet answered.
    read: BytesMut,
    /// Octets to read at once: doubled whenever they all came, so that a length alone costs no memory.
    read_next: usize,
    /// What was answered and not yet written.
    replies: Vec<u8>,
    /// When the message that is not yet whole began to arrive.
    began: Option<Instant>,
}

/// What waiting for octets came to.
enum Waited {
    /// There are more.
    More,
    /// The client will send no more.
    End,
    /// The server stops, and nothing is in flight.
    Stop,
    /// Too late, broken, or another connection needs the place.
    Cut,
}

/// Why a client is not served further.
enum Unfit {
    /// It sent a length that no message has.
    Length,
    /// It takes no replies.
    Reader,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        client: IpAddr,
        place: Place,
        service: Arc<Service>,
    ) -> Self {
        let (read, replies) = (BytesMut::new(), Vec::new());
        let read_next = READ_OCTETS;
        Self { stream, client, place, service, read, read_next, replies, began: None }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self) {
        loop {
            match self.answer_whole().await {
                Ok(()) if self.place.evicted().is_cancelled() => return self.close().await,
                Ok(()) => {}
                Err(Unfit::Length) => return self.close().await,
                Err(Unfit::Reader) => return,
            }
            match self.wait().await {
                Waited::More => {}
                Waited::End | Waited::Stop => return self.close().await,
                Waited::Cut => return,
            }
        }
    }

    /// Answers every message that is whole and writes the replies.
    async fn answer_whole(&mut self) -> Result<(), Unfit> {
        while let Some(prefix) = self.read.first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*prefix));
            if length < MESSAGE_OCTETS_MIN {
                // What was asked before is still answered.
                self.write().await?;
                return Err(Unfit::Length);
            }
            if self.read.len() < 2 + length {
                break;
            }
            self.read.advance(2);
            let query = self.read.split_to(length);
            self.answer(&query);
            self.began = None;
            if self.replies.len() >= WRITE_OCTETS {
                self.write().await?;
            }
        }
        self.write().await?;
        if self.read.is_empty() {
            // An idle connection holds no buffer.
            self.read = BytesMut::new();
        }
        Ok(())
    }

    fn answer(&mut self, query: &[u8]) {
        let ask = Ask {
            client: self.client,
            transport: Transport::Tcp,
            udp_octets_max: self.service.udp_octets_max,
            draw: fastrand::u64(..),
        };
        let mut tally = TransportTotals::default();
        OUT.with_borrow_mut(|out| match answer(&self.service.published.load(), &ask, query, out) {
            Verdict::Drop => tally.dropped += 1,
            Verdict::Reply(len) => {
                let reply = out.octets(len);
                tally.answered(query, reply);
                // A reply has at most 65,535 octets, since the buffer has no more.
                self.replies.extend_from_slice(&(len as u16).to_be_bytes());
                self.replies.extend_from_slice(reply);
            }
        });
        self.service.counters.add(&tally);
    }

    /// Writes all replies, if the client takes them in time.
    async fn write(&mut self) -> Result<(), Unfit> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let written = timeout(self.service.message, self.stream.write_all(&self.replies)).await;
        if !matches!(written, Ok(Ok(()))) {
            self.service.counters.failed(1);
            return Err(Unfit::Reader);
        }
        self.replies.clear();
        // Idle connections keep room for a small reply, not for the largest that they once had.
        self.replies.shrink_to(READ_OCTETS);
        Ok(())
    }

    /// Waits for octets, within the deadline that holds now.
    async fn wait(&mut self) -> Waited {
        let now = Instant::now();
        let deadline = if self.read.is_empty() {
            self.place.idle();
            now + self.service.idle
        } else {
            *self.began.get_or_insert(now) + self.service.message
        };
        let idle = self.read.is_empty();
        loop {
            tokio::select! {
                biased;
                readable = self.stream.readable() => {
                    if readable.is_err() {
                        return Waited::Cut;
                    }
                    self.place.busy();
                    match self.fill() {
                        Ok(0) => return Waited::End,
                        Ok(_) => return Waited::More,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            if idle {
                                self.place.idle();
                            }
                        }
                        Err(_) => return Waited::Cut,
                    }
                }
                () = self.place.evicted().cancelled(), if idle => return Waited::Cut,
                () = self.service.stop.cancelled(), if idle => return Waited::Stop,
                () = sleep_until(deadline) => return Waited::Cut,
            }
        }
    }

    /// Reads what is there.
    fn fill(&mut self) -> std::io::Result<usize> {
        self.read.reserve(self.read_next);
        let room = self.read.capacity() - self.read.len();
        let read = self.stream.try_read_buf(&mut self.read)?;
        let next = if read == room { 2 * self.read_next } else { READ_OCTETS };
        self.read_next = next.min(READ_OCTETS_MAX);
        Ok(read)
    }

    /// Ends in order: all replies were written and will arrive.
    async fn close(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let read_away = async {
            let mut left = LINGER_OCTETS_MAX;
            let mut scrap = [0; READ_OCTETS];
            while left > 0 && self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut scrap) {
                    Ok(0) => return,
                    Ok(read) => left = left.saturating_sub(read),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        // Whoever goes on sending is cut.
        let _ = timeout(LINGER, read_away).await;
    }
}
