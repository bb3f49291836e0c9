//! From registrations to answers: the catalogue of what is live, the claims on names, and the immutable
//! snapshot that every answer is read from.
//!
//! Knows nothing of sockets and tasks; reads no clock and does no I/O, save that a zone file's text is read
//! by whoever hands it in.

mod block;
mod catalogue;
pub mod choice;
mod claims;
mod consul;
mod contents;
pub mod directory;
pub mod event;
mod excerpt;
pub mod guard;
mod index;
mod packed;
mod plain;
pub mod published;
mod radix;
pub mod retired;
pub mod reverse;
mod serial;
pub mod settings;
pub mod slips;
pub mod snapshot;
pub mod statics;
pub mod wire;
pub mod zonefile;

pub use block::{A_OCTETS, AAAA_OCTETS, Addresses, Block, Details, Node, Row, Rows, SRV_TARGET};
pub use catalogue::{Catalogue, Compiled, Oversized};
pub use claims::labels;
pub use consul::ConsulNames;
pub use contents::Contents;
pub use directory::{AppView, Directory, InstanceView, Part, Rejected, State};
pub use event::{Cause, Event};
pub use excerpt::excerpt;
pub use guard::{Guard, Refusal};
pub use index::Walk;
pub use published::{Position, Published};
pub use retired::Retired;
pub use reverse::Network;
pub use serial::SavedSerial;
pub use settings::{Names, Pin, Reverse, ZoneName, ZoneSettings};
pub use snapshot::{Found, Snapshot, Zone};
