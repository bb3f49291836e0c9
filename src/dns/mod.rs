//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! ```text
//! udp, tcp --octets--> query --answer(snapshot)--> records --> reply --octets--> udp, tcp
//! ```
//!
//! Knows nothing of registries.

pub mod answer;
pub mod bind;
pub mod query;
mod records;
pub mod reply;
pub mod settings;
pub mod stats;
mod tcp;
pub mod udp;

pub use answer::{Ask, Transport, Verdict, answer};
pub use bind::{BindError, Bound, bind};
pub use reply::Out;
pub use settings::{Settings, UdpCalls};
pub use stats::Stats;
