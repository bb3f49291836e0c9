//! One suite over all registries: what the trait promises holds for each of them.

#[macro_use]
mod suite;
#[macro_use]
mod local;
mod crash;
mod disk;
mod embedded;
mod etcd;
mod kill;
mod memory;
mod model;
mod trouble;

#[path = "../support/mod.rs"]
mod support;
