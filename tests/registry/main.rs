//! One suite over all registries: what the trait promises holds for each of them.

#[macro_use]
mod suite;
#[macro_use]
mod local;
mod embedded;
mod etcd;
mod memory;

#[path = "../support/mod.rs"]
mod support;
