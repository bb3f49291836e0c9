//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! ```text
//! udp, tcp, tls, https, quic, h3 --octets--> query --answer(snapshot)--> records --> reply --octets--> the same
//! ```
//!
//! `answer/` is that function and all that it reads and writes; `udp/`, `tcp/`, `https/`, `quic` and `encrypted` own the
//! sockets, which `bind` opens; `source` is what all of them answer from. `forward/` asks others.
//!
//! Knows nothing of registries.

pub mod answer;
pub mod bind;
mod encrypted;
pub mod forward;
mod https;
pub mod limit;
mod quic;
mod reply_to;
pub mod settings;
pub mod source;
pub mod stats;
mod tcp;
pub mod transport;
pub mod udp;

pub use answer::out::Out;
pub use answer::policy::Policy;
pub use answer::{Ask, Verdict, answer};
pub use bind::{BindError, Bound, bind};
pub use settings::{Https, Secure, Settings, UdpCalls};
pub use source::Source;
pub use stats::Stats;
pub use transport::Transport;
