//! Passes datagrams on to a server, and remembers what was asked and what was answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::support::ask::Answer;
use crate::support::soon;

/// A question as it was written.
#[derive(Debug)]
pub(crate) struct Asked(Message);

impl Asked {
    /// The name in its own case.
    pub(crate) fn name(&self) -> String {
        self.0.queries[0].name().to_ascii()
    }

    /// The name in lower case, and the type.
    pub(crate) fn lower(&self) -> (String, RecordType) {
        (self.name().to_ascii_lowercase(), self.0.queries[0].query_type())
    }
}

/// The exchanges so far, in order.
type Heard = Arc<Mutex<Vec<(Asked, Answer)>>>;

/// Listens beside a client until its value is dropped; one exchange at a time.
pub(crate) struct Tap {
    heard: Heard,
    _passing: JoinSet<()>,
}

impl Tap {
    pub(crate) async fn between(listen: &str, server: SocketAddr) -> Self {
        let clients = UdpSocket::bind(listen).await.unwrap();
        let heard = Heard::default();
        let kept = heard.clone();
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let (mut query, mut reply) = ([0; 4_096], [0; 4_096]);
            loop {
                let (len, client) = clients.recv_from(&mut query).await.unwrap();
                let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                upstream.connect(server).await.unwrap();
                upstream.send(&query[..len]).await.unwrap();
                let taken = soon("the server's reply", upstream.recv(&mut reply)).await.unwrap();
                let asked = Asked(Message::from_vec(&query[..len]).expect("a query"));
                let answer = Answer(Message::from_vec(&reply[..taken]).expect("a reply"));
                kept.lock().unwrap().push((asked, answer));
                clients.send_to(&reply[..taken], client).await.unwrap();
            }
        });
        Self { heard, _passing: passing }
    }

    /// Takes what was heard so far.
    pub(crate) fn heard(&self) -> Vec<(Asked, Answer)> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// Forgets it.
    pub(crate) fn clear(&self) {
        self.heard();
    }
}
