//! Clients of other registries, as they are, against the real binary: what they register shows in DNS, and leaves by
//! their own system's rules.

#[path = "../support/mod.rs"]
mod support;

mod consul;
mod etcd_v2;
mod haunt;
mod listeners;
mod tars;
