//! The life of one connection, TCP or TLS on it: how long it may wait for what, and how it ends.
//!
//! ```text
//!            +-- nothing of a message: idle, may be closed to make room ---+
//!            v                                                             |
//! accepted -> turn: read, answer every whole message, write the replies ---+
//!               |     (bad length: what was asked before is answered, then closed)
//!               +-- end of stream: everything asked is answered, close
//! ```
//!
//! Deadlines (RFC 7766 section 6.2.3): idle so long at most; a message arrives whole within its time whatever
//! its pace; replies are taken within theirs. A client that asks, is answered and asks again touches no timer:
//! there is one for each connection, and it is moved when it rings, or to ring earlier.
//!
//! Until its first message is whole a connection may be closed to make room, too: else whoever opens many and sends one
//! octet on each would have all places for as long as a message may take.
//!
//! Knows nothing of messages.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Service;
use super::pipeline::{Pipeline, Turn};
use super::stream::Stream;
use super::table::Place;
use crate::dns::forward::Forwarder;

/// How long to read away what a client still sends after the last reply: closing over unread octets would
/// reset the connection and destroy replies on their way (RFC 9293 section 3.10.4).
const LINGER: Duration = Duration::from_millis(500);
/// Octets read away at most meanwhile.
const LINGER_OCTETS_MAX: usize = 64 << 10;

/// The connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pipeline: Pipeline<S>,
    place: Place,
    service: Arc<Service>,
    /// Whether it has asked anything.
    asked: bool,
    /// When the message that is not yet whole began to arrive.
    began: Option<Instant>,
    /// Rings at the deadline or before it.
    alarm: Pin<Box<Sleep>>,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How a connection ends.
enum End {
    /// In order: all replies were written, and will arrive.
    Close,
    /// At once, though with a word: nothing is owed.
    Leave,
    /// At once.
    Cut,
}

impl<S: Stream> Connection<S> {
    pub(super) fn new(stream: S, client: IpAddr, place: Place, service: Arc<Service>) -> Self {
        Self {
            pipeline: Pipeline::new(stream, client, service.clone()),
            asked: false,
            began: None,
            alarm: Box::pin(sleep_until(Instant::now() + service.idle)),
            evicted: Box::pin(place.evicted().clone().cancelled_owned()),
            // A token of its own: those who wait for the same one take turns at its lock.
            stop: Box::pin(service.stop.child_token().cancelled_owned()),
            place,
            service,
        }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self) {
        match self.serve().await {
            End::Close => close(self.pipeline.into_stream()).await,
            End::Leave => leave(self.pipeline.into_stream()).await,
            End::Cut => {}
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            let mut turn = match self.wait().await {
                Ok(turn) => turn,
                Err(end) => return end,
            };
            while turn == Turn::Blocked {
                self.asked = true;
                self.place.busy();
                let Ok(next) = timeout(self.service.message, self.pipeline.unblock()).await else {
                    self.service.counters.failed(1);
                    return End::Cut;
                };
                turn = next;
            }
            match turn {
                Turn::Unfit | Turn::End => return self.finish().await,
                Turn::Broken => return End::Cut,
                Turn::Answered(any) if any => (self.asked, self.began) = (true, None),
                Turn::Answered(_) | Turn::Blocked => {}
            }
            if self.place.evicted().is_cancelled() {
                return End::Close;
            }
        }
    }

    /// Waits for what others are still asked for: everything asked is answered.
    async fn finish(&mut self) -> End {
        self.place.busy();
        // Each wait ends with the forwarder's time-out, and their number with the connection's bound.
        while self.pipeline.is_waiting() {
            let mut turn = self.pipeline.forwarded().await;
            if turn == Turn::Blocked {
                let unblock = timeout(self.service.message, self.pipeline.unblock());
                turn = unblock.await.unwrap_or(Turn::Broken);
            }
            if turn == Turn::Broken {
                return End::Cut;
            }
        }
        End::Close
    }

    /// Waits for a turn, within the deadline that holds now.
    async fn wait(&mut self) -> Result<Turn, End> {
        let now = Instant::now();
        let waiting = self.pipeline.is_waiting();
        let idle = self.pipeline.is_empty() && !waiting;
        let yielding = idle || !self.asked;
        let deadline = if idle {
            // Who has not asked anything has been idle since it came.
            if self.asked {
                self.place.idle();
            }
            now + self.service.idle
        } else if self.pipeline.is_empty() {
            self.place.busy();
            // Others answer, or are given up, before that.
            let forwarder = self.service.source.forwarder();
            now + self.service.idle + forwarder.map_or(Duration::ZERO, Forwarder::timeout)
        } else {
            if self.asked {
                self.place.busy();
            }
            *self.began.get_or_insert(now) + self.service.message
        };
        if deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(deadline);
        }
        loop {
            tokio::select! {
                biased;
                turn = self.pipeline.turn() => return Ok(turn),
                () = &mut self.evicted, if yielding => return Err(End::Leave),
                () = &mut self.stop, if idle => return Err(End::Close),
                () = &mut self.alarm => {
                    if deadline <= Instant::now() {
                        return Err(if idle { End::Leave } else { End::Cut });
                    }
                    self.alarm.as_mut().reset(deadline);
                }
            }
        }
    }
}

/// Says that this is the end (TLS has a word for that, RFC 8446 section 6.1), as far as that goes without waiting.
async fn leave(mut stream: impl Stream) {
    poll_fn(|context| {
        let _ = Pin::new(&mut stream).poll_shutdown(context);
        Poll::Ready(())
    })
    .await;
}

/// Ends in order.
async fn close(mut stream: impl Stream) {
    let end = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut left = LINGER_OCTETS_MAX;
        let mut scrap = [0; 512];
        while left > 0 {
            match stream.read(&mut scrap).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Whoever goes on sending, or does not take what TLS has to say at the end, is cut.
    let _ = timeout(LINGER, end).await;
}
