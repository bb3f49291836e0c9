//! Programs that people use, as they come from Debian's packages, against the real binary: resolvers of
//! languages, forwarders, gateways. Each test has a network and a `/etc/resolv.conf` of its own, and what it
//! configures a program with is what `docs/resolver-setup.md` shows.
//!
//! A test carries the programs that it needs in its name; `./dev test clients` gets them, and skips by that name the
//! tests of those that can't be had. Delays are printed, not judged: `./dev test clients` shows them.

#[path = "../support/mod.rs"]
mod support;

mod avahi;
mod dig;
mod dnsmasq;
mod docker;
mod document;
mod forwarder;
mod gateway;
mod glibc;
mod go;
mod haproxy;
mod java;
mod musl;
mod nginx;
mod node;
mod php;
mod program;
mod prometheus;
mod resolved;
mod space;
mod systemd;
mod tap;
mod unbound;
mod web;
mod world;
