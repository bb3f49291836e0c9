//! The part of etcd's v2 keys that clients of other systems call.
//!
//! Knows nothing of sockets.

mod listener;

pub(super) use listener::router;
