//! How a service stands: the worst of its checks and of its node's.
//!
//! Knows nothing of how checks come by their status.

use super::{Agent, Check, Service};
use crate::compat::consul::definition::{Kind, Status};

/// How a service stands. A worse one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::compat::consul) enum Standing {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

impl Agent {
    /// How a service stands.
    pub(in crate::compat::consul) fn standing(&self, service: &Service) -> Standing {
        let checks = service.checks.iter().chain(&self.node);
        let of = |(_, check): (&String, &Check)| match (&check.definition.kind, check.status) {
            (Kind::Maintenance, _) => Standing::Maintenance,
            (_, Status::Critical) => Standing::Critical,
            (_, Status::Warning) => Standing::Warning,
            (_, Status::Passing) => Standing::Passing,
        };
        checks.map(of).max().unwrap_or(Standing::Passing)
    }

    /// Its share of traffic; none: it is to have none.
    pub(in crate::compat::consul) fn weight(&self, service: &Service) -> Option<u16> {
        match self.standing(service) {
            Standing::Passing => Some(service.definition.weights.passing),
            Standing::Warning => Some(service.definition.weights.warning),
            Standing::Critical | Standing::Maintenance => None,
        }
    }
}
