//! What clients of other registries send: their encodings and their rules, so that they can go on unchanged.
//!
//! A folder for each system, named as configurations name it. What etcd holds in other systems' layouts is
//! `layout::foreign`'s; here is what they call.
//!
//! ```text
//! octets of a client --a system's own files--> call, tags, durations --> registration, through our registry
//! ```
//!
//! Knows nothing of DNS and of zones: what was registered comes to them through the registry, as all else.

pub mod consul;
pub mod tars;
