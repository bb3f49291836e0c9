//! From registrations to answers: the catalogue of what is live, the claims on names, and the immutable
//! snapshot that every answer is read from.
//!
//! Knows nothing of sockets and tasks; reads no clock and does no I/O, save that a zone file's text is read
//! by whoever hands it in.

pub mod directory;
pub mod event;
pub mod published;
pub mod settings;
pub mod snapshot;
pub mod zonefile;

pub use directory::{AppView, Directory, InstanceView, Rejected, State};
pub use event::{Cause, Event};
pub use published::Published;
pub use settings::{Pin, ZoneName, ZoneSettings};
pub use snapshot::Snapshot;
