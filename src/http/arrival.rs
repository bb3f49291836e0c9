//! A connection on which a request's head must arrive in time, while between requests it may be silent for
//! much longer.
//!
//! hyper has one time-out for both. The time that a head may take is the wrong one for silence: clients
//! beat every 10 s by default, and a connection closed just then loses a heartbeat.
//!
//! Knows nothing of HTTP beyond when a request begins and ends, which [`Requests`] is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Counts the begins and ends of a connection's requests: odd while one is being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<AtomicU64>);

/// A request that is being answered.
pub(super) struct Answering(Requests);

impl Requests {
    /// A request's head has arrived.
    pub(super) fn begin(&self) -> Answering {
        self.0.fetch_add(1, Relaxed);
        Answering(self.clone())
    }

    /// Whether one is being answered now.
    pub(super) fn is_answering(&self) -> bool {
        !self.count().is_multiple_of(2)
    }

    fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}

/// The connection.
pub(super) struct Arrival<S> {
    stream: S,
    requests: Requests,
    head_timeout: Duration,
    /// Runs since the first octet of a head, with the count at that time: another count means that the head
    /// has arrived.
    head: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<S> Arrival<S> {
    pub(super) fn new(stream: S, requests: Requests, head_timeout: Duration) -> Self {
        Self { stream, requests, head_timeout, head: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Arrival<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, count) = (buffer.filled().len(), self.requests.count());
        if self.head.as_ref().is_some_and(|(begun, _)| *begun != count) {
            self.head = None;
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            let between_requests = count.is_multiple_of(2);
            if between_requests && buffer.filled().len() > before && self.head.is_none() {
                self.head = Some((count, Box::pin(sleep(self.head_timeout))));
            }
            return read;
        }
        let Some((_, timer)) = &mut self.head else { return Poll::Pending };
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Arrival<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
