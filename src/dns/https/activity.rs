//! What goes on on a connection: requests that are being answered, and replies that the client has yet to take.
//!
//! A reply counts until HTTP has written the last octet of it, or dropped it: a client of HTTP/2 decides how much of
//! each stream it lets come (RFC 9113 section 5.2), and what it does not let come stays in our memory.
//!
//! Knows nothing of what requests and replies say.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::dns::tcp::Place;

/// Octets of replies that a connection may leave with us: eight of the longest, or 5 KiB for each of as many requests as
/// there may be at once.
const UNTAKEN_OCTETS_MAX: u64 = 512 << 10;

/// Requests and replies of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that are being answered, and replies that are not taken.
    open: usize,
    /// Replies made so far.
    made: u64,
    /// Since when replies are to be taken, by their number: there are no more of them than requests at once.
    replies: BTreeMap<u64, Instant>,
    /// Their octets.
    untaken: u64,
    /// When a request began last, or a reply was taken.
    moved: Instant,
}

/// A request that is being answered; then its reply, until it is taken.
#[derive(Debug)]
pub(super) struct Answering {
    activity: Arc<Activity>,
    /// The number and the octets of the reply.
    reply: Option<(u64, u64)>,
}

/// A reply's body, which lets go of its request when the last octet is written.
struct Untaken {
    body: Body,
    answering: Arc<Answering>,
}

/// A part of it.
struct Part {
    octets: Bytes,
    _answering: Arc<Answering>,
}

impl Activity {
    pub(super) fn new(place: Place) -> Arc<Self> {
        let (replies, moved) = (BTreeMap::new(), Instant::now());
        let state = State { open: 0, made: 0, replies, untaken: 0, moved };
        Arc::new(Self { place, state: Mutex::new(state) })
    }

    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        let mut state = self.state();
        state.open += 1;
        state.moved = Instant::now();
        self.place.busy();
        Answering { activity: self.clone(), reply: None }
    }

    /// Waits until the client has asked nothing for as long as it may be idle, or has left a reply untaken for as
    /// long as that may take.
    pub(super) async fn stalled(&self, idle: Duration, message: Duration) {
        loop {
            let now = Instant::now();
            let deadline = self.state().deadline(now, idle, message);
            if deadline <= now {
                return;
            }
            // A reply that is made meanwhile is due no earlier than this look after it.
            sleep_until(deadline.min(now + message)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the connection has stalled, if nothing happens before.
    fn deadline(&self, now: Instant, idle: Duration, message: Duration) -> Instant {
        match self.replies.first_key_value() {
            Some((_, oldest)) => *oldest + message,
            // Our turn: to look up a name, or to wait for a body, which both have a bound.
            None if self.open > 0 => now + idle,
            None => self.moved + idle,
        }
    }
}

impl Answering {
    /// Keeps the request open until its response is taken. A client that leaves too much with us gets none.
    pub(super) fn hold(mut self, response: Response) -> Response {
        let octets = response.body().size_hint().exact().unwrap_or(0);
        let response = if self.reply(octets) {
            response
        } else {
            drop(response);
            let why = "replies to this client wait to be taken: take them first\n";
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        };
        let answering = Arc::new(self);
        response.map(|body| Body::new(Untaken { body, answering }))
    }

    /// Notes that there is a reply of so many octets. Whether there is room for it; some for an excuse there always is.
    fn reply(&mut self, octets: u64) -> bool {
        let mut state = self.activity.state();
        let fits = state.untaken + octets <= UNTAKEN_OCTETS_MAX;
        let (number, octets) = (state.made, if fits { octets } else { 0 });
        state.made += 1;
        state.untaken += octets;
        state.replies.insert(number, Instant::now());
        drop(state);
        self.reply = Some((number, octets));
        fits
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        if let Some((number, octets)) = self.reply {
            state.replies.remove(&number);
            state.untaken -= octets;
        }
        state.open -= 1;
        state.moved = Instant::now();
        if state.open == 0 {
            self.activity.place.idle();
        }
    }
}

impl HttpBody for Untaken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let answering = self.answering.clone();
        let part = |octets| Bytes::from_owner(Part { octets, _answering: answering });
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}
