//! haunt, the agent on each host that Zan PHP registers with: `POST /register` and `POST /unregister` (youzan/zanphp
//! @4fbebb66, src/Network/ServerManager/ServerRegister.php; zanphp/etcd-registry @52658b1, src/ServerRegister.php).
//!
//! ```text
//! body --call.rs--> groups --book.rs--> instances --> hold, whose ports are probed
//!                              `--> compat-haunt.json
//! ```
//!
//! haunt's own source was never published: what it takes is known from its clients, and so is what they accept. They
//! register once, at their start, and send no heartbeats: this server holds what they register.
//!
//! Knows nothing of etcd's layout of Zan, which `layout::foreign::nova` reads, and of how a call becomes an instance.

mod agent;
mod book;
mod call;
mod listener;

pub use call::{Group, groups};

pub(super) use listener::router;
