//! One message in, one message out: for transports that bring messages whole, one at a time, and can wait.
//!
//! Knows nothing of sockets, nor of what an answer holds.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use super::answer::Verdict;
use super::out::Out;
use super::source::Source;
use super::stats::{Counters, TransportTotals};
use super::transport::Transport;

/// Where a header ends and the question begins (RFC 1035 section 4.1.1).
const HEADER_OCTETS: usize = 12;
/// Response code: no answer can be had at the moment.
const SERVFAIL: u8 = 2;

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
            Own::Forward => Some(self.forward(query).await),
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

    /// What others would know: with nobody to ask, a failure, so that the client asks another server.
    async fn forward(&self, query: &[u8]) -> Vec<u8> {
        failure(query)
    }
}

/// What `answer` came to, with the reply in memory of its own.
enum Own {
    Reply(Vec<u8>),
    Drop,
    Forward,
}

/// A reply that says that there is none: the question, if it can be read, and nothing else.
fn failure(query: &[u8]) -> Vec<u8> {
    let question = question_octets(query).unwrap_or(0);
    let mut reply = query.get(..HEADER_OCTETS + question).unwrap_or_default().to_vec();
    if let Some([_, _, first, second, counts @ ..]) = reply.first_chunk_mut::<HEADER_OCTETS>() {
        // Opcode and RD as they came, then CD.
        *first = 0x80 | (*first & 0x79);
        *second = (*second & 0x10) | SERVFAIL;
        *counts = [0, u8::from(question > 0), 0, 0, 0, 0, 0, 0];
    }
    reply
}

/// How long the one question is, its name not compressed.
fn question_octets(query: &[u8]) -> Option<usize> {
    let mut at = HEADER_OCTETS;
    loop {
        match *query.get(at)? {
            0 => break,
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => return None,
        }
    }
    let octets = at + 5 - HEADER_OCTETS;
    query.get(..HEADER_OCTETS + octets).map(|_| octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_the_question_and_nothing_else() {
        let query = b"\x12\x34\x05\x30\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x00\x00\x01\x00\x01\
                      \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let reply = failure(query);
        assert_eq!(reply[..12], *b"\x12\x34\x81\x12\x00\x01\x00\x00\x00\x00\x00\x00");
        assert_eq!(reply[12..], *b"\x01a\x00\x00\x01\x00\x01");
        let cut = failure(&query[..15]);
        assert_eq!(cut, b"\x12\x34\x81\x12\x00\x00\x00\x00\x00\x00\x00\x00");
    }
}
