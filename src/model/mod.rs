//! The words of the domain: apps, instances, endpoints, and the rules their names obey.
//!
//! Everything here can only be valid: a [`Label`] that exists is a legal label, an [`Instance`] that
//! exists is within its limits. What strangers write arrives as a [`Spec`] and leaves as an
//! [`Instance`] or as a [`FieldError`] that names the field and the rule.
//!
//! Knows nothing of any other room: no DNS message, no registry, no HTTP, no clock.

mod fit;
mod instance;
mod mapping;
mod name;
mod nets;
mod spec;

pub use fit::{fit_meta, fit_tags};
pub use instance::{Endpoint, Instance, Transport, limits};
pub use mapping::{derived_label, map_app, map_label, map_protocol};
pub use name::{AppName, Label, NameError, Namespace, Protocol, RawId, default_id};
pub use nets::{NetError, Nets, net};
pub use spec::{EndpointSpec, FieldError, Spec, unreachable};
