//! A wire to cut: forwards TCP to a server that stays up while its client can't reach it.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Forwards from a port of its own; ends with its value.
pub(crate) struct Proxy {
    port: u16,
    /// Whether it forwards; each connection ends when this turns false.
    open: Arc<watch::Sender<bool>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Forwards to a port of this machine.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(watch::Sender::new(true));
        let mut accepting = JoinSet::new();
        let gate = Arc::clone(&open);
        accepting.spawn(async move {
            let mut forwarding = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let mut opened = gate.subscribe();
                if *opened.borrow() {
                    forwarding.spawn(async move {
                        tokio::select! {
                            _ = opened.wait_for(|open| !open) => {}
                            () = forward(client, target) => {}
                        }
                    });
                }
            }
        });
        Self { port, open, _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Breaks all connections, and every new one at once.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets new connections through.
    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

/// Ends when either side does, or can't be reached.
async fn forward(mut client: TcpStream, target: u16) {
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
