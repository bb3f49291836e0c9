//! One message in, one message out: for transports that bring messages whole, one at a time, and can wait.
//!
//! Knows nothing of sockets, nor of what an answer holds.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use super::answer::Verdict;
use super::answer::out::Out;
use super::source::Source;
use super::stats::{Counters, TransportTotals};
use super::transport::Transport;

thread_local! {
    static OUT: RefCell<Out> = RefCell::new(Out::new());
}

/// Who answers the messages of one transport. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) struct Responder {
    pub(super) source: Source,
    pub(super) transport: Transport,
    pub(super) counters: Arc<Counters>,
}

impl Responder {
    /// The reply to one message, or none where it deserves none.
    pub(super) async fn reply(&self, client: IpAddr, query: &[u8]) -> Option<Vec<u8>> {
        let reply = match self.own(client, query) {
            Own::Reply(reply) => Some(reply),
            Own::Drop => None,
            Own::Forward => self.forward(client, query).await,
        };
        let mut tally = TransportTotals::default();
        match &reply {
            Some(reply) => tally.answered(query, reply),
            None => tally.dropped += 1,
        }
        self.counters.add(&tally);
        reply
    }

    /// What we know ourselves. No view is held any more when it is done.
    fn own(&self, client: IpAddr, query: &[u8]) -> Own {
        OUT.with_borrow_mut(|out| {
            let view = self.source.view();
            match view.answer(client, self.transport, fastrand::u64(..), query, out) {
                Verdict::Reply(len) => Own::Reply(out.octets(len).to_vec()),
                Verdict::Drop => Own::Drop,
                Verdict::Forward => Own::Forward,
            }
        })
    }

    /// What others know. Where nobody is asked, no query is to be forwarded.
    async fn forward(&self, client: IpAddr, query: &[u8]) -> Option<Vec<u8>> {
        let forwarder = self.source.forwarder()?.clone();
        let reply = forwarder.forward(query, client, self.transport).await;
        Some(reply).filter(|reply| !reply.is_empty())
    }
}

/// What `answer` came to, with the reply in memory of its own.
enum Own {
    Reply(Vec<u8>),
    Drop,
    Forward,
}
