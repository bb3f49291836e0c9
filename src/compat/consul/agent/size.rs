//! How much of what clients say is kept: of one service, and of all together. Every registration writes all of it anew.
//!
//! Knows nothing of what it says.

use std::io;

use serde::Serialize;

use super::service::is_own;
use super::{Agent, Service};

/// Octets of a service with its checks: go-micro has a tag for each method of a server.
const SERVICE_OCTETS_MAX: usize = 64 * 1024;
/// Octets of all services together.
const OCTETS_MAX: usize = 64 * 1024 * 1024;

impl Service {
    /// Finds out how large it is.
    pub(super) fn weigh(&mut self) {
        let id = &self.definition.id;
        let checks = self.checks.iter().filter(|(check, _)| !is_own(id, check));
        let checks: usize = checks.map(|(_, check)| octets(&check.definition)).sum();
        self.octets = octets(&self.definition) + checks;
    }
}

impl Agent {
    /// Whether a service of that size can be kept, in the place of what it was.
    pub(super) fn fits(&self, id: &str, octets: usize) -> Result<(), String> {
        within(octets)?;
        let others = self.services.values().filter(|service| service.definition.id != id);
        let all = others.map(|service| service.octets).sum::<usize>() + octets;
        if all > OCTETS_MAX {
            let (all, max) = (all / 1024, OCTETS_MAX / 1024);
            return Err(format!(
                "Validation failed: all services would be {all} KiB together, at most {max} are kept"
            ));
        }
        Ok(())
    }
}

/// Whether one service, or check, may be so large.
pub(super) fn within(octets: usize) -> Result<(), String> {
    if octets > SERVICE_OCTETS_MAX {
        return Err(format!(
            "Validation failed: a service with its checks may be {SERVICE_OCTETS_MAX} octets, this would be {octets}"
        ));
    }
    Ok(())
}

/// How large something is where it is saved.
pub(super) fn octets(value: &impl Serialize) -> usize {
    struct Counted(usize);

    impl io::Write for Counted {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0 += octets.len();
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut counted = Counted(0);
    match serde_json::to_writer(&mut counted, value) {
        Ok(()) => counted.0,
        Err(_) => usize::MAX,
    }
}
