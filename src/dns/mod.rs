//! From a query's octets to a reply's: one pure function, and the sockets around it.
//!
//! ```text
//! udp, tcp --octets--> query --answer(snapshot)--> records --> reply --octets--> udp, tcp
//! ```
//!
//! Knows nothing of registries.

mod ahead;
pub mod answer;
pub mod bind;
mod browse;
pub mod cookie;
pub mod forward;
pub mod limit;
pub mod policy;
pub mod query;
mod records;
pub mod reply;
pub mod settings;
pub mod source;
pub mod stats;
mod tcp;
pub mod transport;
pub mod udp;

pub use answer::{Ask, Verdict, answer};
pub use bind::{BindError, Bound, bind};
pub use policy::Policy;
pub use reply::Out;
pub use settings::{Settings, UdpCalls};
pub use source::Source;
pub use stats::Stats;
pub use transport::Transport;
