//! A connection's seat is busy from the head of a request until the last of its answer: streams too, however long they are
//! silent.
//!
//! Knows nothing of what is asked and answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::clients::Seat;

/// Keeps a seat busy while it lives.
pub(super) struct Busy(Arc<Seat>);

impl Busy {
    /// A request has come.
    pub(super) fn new(seat: &Arc<Seat>) -> Self {
        seat.busy();
        Self(seat.clone())
    }

    /// Goes on until that body was sent, or nobody takes it any more.
    pub(super) fn until_sent(self, body: Body) -> Body {
        Body::new(Sending { body, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle();
    }
}

/// An answer's body on its way.
struct Sending {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
