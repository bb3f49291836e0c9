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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use socket2::SockRef;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;
    use crate::tls::{Acceptor, ClientStream, Connector, Files, Identity};

    /// More than both ends hold, and less than TLS takes.
    const OCTETS: usize = 60_000;

    /// A connection that holds little on its way, and its other end.
    async fn narrow() -> (ServerStream, ClientStream) {
        let folder = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let connector = Connector::new(Some(&cert), None).unwrap();
        let identity = Identity::load(Files { cert, key, client_ca: None }).unwrap();
        let acceptor = Acceptor::new(Arc::new(identity), &[]);

        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        SockRef::from(&server).set_send_buffer_size(4_096).unwrap();
        let (server, client) =
            tokio::join!(acceptor.accept(server), connector.connect("localhost", client));
        (server.unwrap(), client.unwrap())
    }

    #[tokio::test]
    async fn what_tls_has_taken_is_not_gone_until_the_system_has_it() {
        let (mut server, mut client) = narrow().await;
        let octets = vec![7; OCTETS];
        let pushed = poll_fn(|context| Poll::Ready(server.push(context, &octets))).await.unwrap();
        assert_eq!(pushed, Pushed { taken: OCTETS, gone: false });
        let mut heard = vec![0; OCTETS];
        let both = tokio::join!(server.flush(), client.read_exact(&mut heard));
        assert!(both.0.is_ok() && both.1.is_ok() && heard == octets);
        let pushed = poll_fn(|context| Poll::Ready(server.push(context, b"more"))).await.unwrap();
        assert_eq!(pushed, Pushed { taken: 4, gone: true });
    }
}
