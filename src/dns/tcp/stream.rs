//! What a connection's octets go through: TCP alone, or TLS on it.
//!
//! Knows nothing of messages.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::tls::ServerStream;

/// A stream that takes as much as goes at once. Each kind has code of its own all the way up: TCP alone pays
/// nothing for there being another.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Writes what goes now. Never waits; whoever has something left over waits with the means of
    /// [`AsyncWrite`].
    fn push(&mut self, context: &mut Context<'_>, octets: &[u8]) -> io::Result<Pushed>;
}

/// What became of octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Those that need not be given again.
    pub(super) taken: usize,
    /// Whether the system has them all.
    pub(super) gone: bool,
}

impl Stream for TcpStream {
    fn push(&mut self, _: &mut Context<'_>, octets: &[u8]) -> io::Result<Pushed> {
        let mut taken = 0;
        while taken < octets.len() {
            match self.try_write(&octets[taken..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => taken += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Pushed { taken, gone: taken == octets.len() })
    }
}

impl Stream for ServerStream {
    fn push(&mut self, context: &mut Context<'_>, octets: &[u8]) -> io::Result<Pushed> {
        let mut taken = 0;
        while taken < octets.len() {
            match Pin::new(&mut *self).poll_write(context, &octets[taken..]) {
                Poll::Ready(Ok(0)) => return Err(ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => taken += written,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Pushed { taken, gone: false }),
            }
        }
        // TLS takes more than the system does, and keeps it until somebody asks.
        match Pin::new(self).poll_flush(context) {
            Poll::Ready(flushed) => flushed.map(|()| Pushed { taken, gone: true }),
            Poll::Pending => Ok(Pushed { taken, gone: false }),
        }
    }
}
