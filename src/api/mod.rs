//! The HTTP API: registration, operators' marks, reading, watching, health and metrics.
//!
//! Knows nothing of DNS and of etcd: it writes through [`crate::registry::Registry`] and reads the directory
//! of the published snapshot.

pub mod settings;

pub use settings::{Permission, Settings, Token};
