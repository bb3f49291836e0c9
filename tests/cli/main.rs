//! The command line, driven as a process against a small scripted server: what it sends, prints and returns.
//!
//! Nothing here waits by the clock for something to have happened: every wait is for an event, with a
//! deadline that only a failure reaches.

mod fake;
mod life;
mod marks;
mod process;
mod query;
mod reading;
