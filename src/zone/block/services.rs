//! The services of an app, while its block is built.
//!
//! Knows nothing of instances' names.

use std::collections::BTreeMap;

use super::super::packed::{place, push};
use super::super::wire;
use super::build::Live;
use crate::model::{Endpoint, Protocol, Transport};

/// The services of an app, in the order of their labels.
pub(super) struct Services<'a> {
    indexes: BTreeMap<(Transport, &'a Protocol), u32>,
    labels: Vec<Vec<u8>>,
}

impl<'a> Services<'a> {
    pub(super) fn of(live: &[Live<'a>]) -> Self {
        let mut indexes = BTreeMap::new();
        let mut last = None;
        for endpoint in live.iter().flat_map(|one| &one.instance.endpoints) {
            let key = (endpoint.transport, &endpoint.protocol);
            // As a rule they are all one.
            if last.replace(key) != Some(key) {
                indexes.insert(key, 0);
            }
        }
        let mut labels: Vec<(Vec<u8>, &mut u32)> = indexes
            .iter_mut()
            .map(|((transport, protocol), index)| (service_labels(*transport, protocol), index))
            .collect();
        labels.sort();
        let labels = (0..).zip(labels).map(|(at, (labels, index))| {
            *index = at;
            labels
        });
        let labels = labels.collect();
        Self { indexes, labels }
    }

    pub(super) fn index(&self, endpoint: &Endpoint) -> u32 {
        if self.labels.len() == 1 {
            return 0;
        }
        self.indexes.get(&(endpoint.transport, &endpoint.protocol)).copied().unwrap_or_default()
    }

    /// Their place and number.
    pub(super) fn write(&self, octets: &mut Vec<u8>) -> (u32, u32) {
        let mut places = Vec::with_capacity(self.labels.len());
        for labels in &self.labels {
            places.push(place(octets));
            octets.extend_from_slice(labels);
        }
        let at = place(octets);
        for (labels, place) in self.labels.iter().zip(places) {
            push(octets, place);
            push(octets, labels.len() as u32);
        }
        (at, self.labels.len() as u32)
    }
}

/// Transport first, so that the services of one transport stand together.
fn service_labels(transport: Transport, protocol: &Protocol) -> Vec<u8> {
    let mut labels = Vec::with_capacity(24);
    wire::push_label(&mut labels, format!("_{transport}").as_bytes());
    wire::push_label(&mut labels, format!("_{protocol}").as_bytes());
    labels
}
