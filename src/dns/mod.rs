//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! ```text
//! udp, tcp, tls, https, quic, h3 --octets--> query --answer(snapshot)--> records --> reply --octets--> the same
//! ```
//!
//! Knows nothing of registries.

pub mod answer;
pub mod bind;
mod browse;
pub mod cookie;
mod encrypted;
pub mod forward;
mod https;
pub mod kinds;
pub mod limit;
pub mod out;
pub mod policy;
pub mod query;
mod quic;
mod records;
pub mod reply;
mod reply_to;
pub mod settings;
pub mod source;
pub mod stats;
mod tcp;
pub mod transport;
pub mod udp;

pub use answer::{Ask, Verdict, answer};
pub use bind::{BindError, Bound, bind};
pub use out::Out;
pub use policy::Policy;
pub use settings::{Https, Secure, Settings, UdpCalls};
pub use source::Source;
pub use stats::Stats;
pub use transport::Transport;
