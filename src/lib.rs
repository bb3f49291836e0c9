//! rollcall
pub mod api;
pub mod cli;
pub mod config;
pub mod dns;
pub mod layout;
pub mod model;
pub mod registry;
pub mod supervise;
pub mod zone;
