//! `rollcall serve`, the real binary: how it starts, stops, serves, and what it makes of trouble.

#[path = "../support/encrypted.rs"]
mod encrypted;
#[path = "../support/mod.rs"]
mod support;

mod laws;
mod life;
mod publish;
mod reload;
mod shared;
mod stop;
mod tls;
mod trouble;

use support::certificates;
