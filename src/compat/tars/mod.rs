//! Tars: its servers tell the node of their host that they live, by a call of their own every 10 to 30 s
//! (TarsCloud/TarsProtocol, servant/NodeF.tars).
//!
//! ```text
//! octets --frame--> packet --request--> Request --call()--> KeepAlive(ServerInfo) ...
//!                   encoding              ^--reply()--> frame
//! ```
//!
//! A call carries no address: [`Adapter`]s say, in Tars' own strings, where a server's adapters listen, and `node` whose
//! call it is. `listener` takes the calls and keeps what is alive registered.
//!
//! Knows nothing of what is stored, and how.

mod adapter;
mod encoding;
mod endpoint;
mod frame;
mod listener;
mod node;
mod request;

pub use adapter::{Adapter, Place};
pub use endpoint::Endpoint;
pub use frame::{FRAME_OCTETS_MAX, FrameLength, take_packet};
pub use request::{Call, Outcome, Request, ServerInfo};

pub(super) use listener::serve;
