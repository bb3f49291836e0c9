//! What brings registrations in from elsewhere and takes them out: `rollcall docker`, `import`, `export`. The real binary,
//! real servers that are asked by DNS, and a real etcd; Docker's engine is a small scripted one here, and the real one in
//! `tests/clients/docker.rs`.

mod docker;
mod engine;
mod export;
mod import;
mod records;
#[path = "../support/mod.rs"]
mod support;
