//! The zones and pins of a configuration file, zone files included.
//!
//! Knows nothing of how a zone file is read, nor of what is served.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::problem::{Problem, io_reason};
use super::reader::Section;
use super::sections::path;

use super::values::{ValueError, list, parsed, socket_address, text, whole, whole_secs};
use super::zonefiles;
use crate::files::Stamps;
use crate::model::{AppName, Label, Namespace, limits};
use crate::zone::slips::{self, Slip};
use crate::zone::zonefile::StaticRecord;
use crate::zone::{ConsulNames, Names, Network, Pin, ZoneName, ZoneSettings};

/// The SOA record's type number (RFC 1035 section 3.2.2).
pub(super) const TYPE_SOA: u16 = 6;
/// Most namespaces that an operator lists by hand.
const NAMESPACES_MAX: usize = 1_000;
/// Longest time to live: what lives longer than a day is not what a live registry is for.
const TTL_MAX: Duration = Duration::from_secs(86_400);

/// The zones as configured, or the default one where there are none.
pub(super) fn zones(root: &Section<'_>, dir: &Path, stamps: &mut Stamps) -> Vec<ZoneSettings> {
    let mut zones = Vec::<ZoneSettings>::new();
    for section in root.sections("zone") {
        let mut zone = ZoneSettings::default();
        let name = section.need("name", "\"svc.\"", parsed::<ZoneName>);
        // An empty text says "none", since leaving the key out says "the default one".
        section.set("namespace", &mut zone.namespace, |value| match text(value)?.as_str() {
            "" => Ok(None),
            _ => parsed::<Namespace>(value).map(Some),
        });
        section.set("ttl", &mut zone.ttl_secs, whole_secs(Duration::ZERO..=TTL_MAX));
        section.set(
            "negative_ttl",
            &mut zone.negative_ttl_secs,
            whole_secs(Duration::ZERO..=TTL_MAX),
        );
        section.set("srv_weight_scale", &mut zone.srv_weight_scale, whole(1..=65_535));
        zone.names = names(&section);
        let file = section.get("file", path);
        if let Some(name) = name {
            if zones.iter().any(|zone| zone.name == name) {
                section.report("name", format!("zone {name} is there twice"));
            }
            let (octets, max) = (name.as_str().len() - 1, zone.names.zone_octets_max());
            if octets > max {
                let why = "all names of apps are to fit in front of it";
                let message = format!(
                    "is {octets} octets long, at most {max} are allowed for Consul's names: {why}"
                );
                section.report("name", message);
            }
            zone.name = name;
            match file {
                Some(file) => zone_file(&section, &dir.join(file), &mut zone, stamps),
                None => usual_file(&section, dir, &mut zone, stamps),
            }
            zones.push(zone);
        }
        section.finish();
    }
    if !root.has("zone") {
        let mut zone = ZoneSettings::default();
        usual_file(root, dir, &mut zone, stamps);
        zones.push(zone);
    }
    zones
}

/// How a zone's names tell apps.
fn names(section: &Section<'_>) -> Names {
    let names = section.get("names", |value| match text(value)?.as_str() {
        "rollcall" => Ok(Names::Rollcall),
        "consul" => Ok(Names::Consul(ConsulNames::default())),
        other => Err(ValueError::new(format!("must be \"rollcall\" or \"consul\", got {other:?}"))),
    });
    let mut names = names.unwrap_or_default();
    let datacenter = section.get("datacenter", parsed::<Label>);
    match (&mut names, datacenter) {
        (Names::Consul(consul), Some(datacenter)) => consul.datacenter = datacenter,
        // Whoever writes the default says nothing that would not be so.
        (Names::Rollcall, Some(named)) if named != ConsulNames::default().datacenter => {
            section.report("datacenter", "only Consul's names have one: add names = \"consul\"");
        }
        _ => {}
    }
    names
}

/// Adds the reverse zones.
pub(super) fn reverse_zones(
    root: &Section<'_>,
    dir: &Path,
    zones: &mut Vec<ZoneSettings>,
    stamps: &mut Stamps,
) {
    for section in root.sections("reverse") {
        let network = section.need("network", "\"10.9.0.0/16\"", parsed::<Network>);
        let namespaces = section.get("namespaces", list(NAMESPACES_MAX, parsed::<Namespace>));
        let file = section.get("file", path);
        let mut zone = ZoneSettings::default();
        section.set("ttl", &mut zone.ttl_secs, whole_secs(Duration::ZERO..=TTL_MAX));
        section.set(
            "negative_ttl",
            &mut zone.negative_ttl_secs,
            whole_secs(Duration::ZERO..=TTL_MAX),
        );
        let served = |namespace: &Namespace| {
            zones.iter().any(|zone| zone.namespace.as_ref() == Some(namespace))
        };
        for namespace in namespaces.iter().flatten().filter(|namespace| !served(namespace)) {
            let message =
                format!("no zone here serves namespace {namespace}: add a [[zone]] for it");
            section.report("namespaces", message);
        }
        if let Some(network) = network {
            let ZoneSettings { ttl_secs, negative_ttl_secs, .. } = zone;
            let reverse = ZoneSettings::reverse(network, namespaces);
            let mut zone = ZoneSettings { ttl_secs, negative_ttl_secs, ..reverse };
            if zones.iter().any(|other| other.name == zone.name) {
                section.report("network", format!("zone {} is there twice", zone.name));
            }
            match file {
                Some(file) => zone_file(&section, &dir.join(file), &mut zone, stamps),
                None => usual_file(&section, dir, &mut zone, stamps),
            }
            zones.push(zone);
        }
        section.finish();
    }
}

/// The pins; `zones` says which namespaces there are.
pub(super) fn pins(root: &Section<'_>, zones: &[ZoneSettings]) -> Vec<Pin> {
    let mut pins = Vec::<Pin>::new();
    for section in root.sections("pin") {
        let app = section.need("app", "\"greeter\"", parsed::<AppName>);
        let namespace = section.get("namespace", parsed::<Namespace>);
        let protocol = section.get("protocol", parsed).unwrap_or_default();
        let transport = section.get("transport", parsed).unwrap_or_default();
        let endpoints = section.need("endpoints", "[\"127.0.0.1:9000\"]", endpoints);
        let namespace = namespace.unwrap_or_default();
        if !zones.iter().any(|zone| zone.namespace.as_ref() == Some(&namespace)) {
            let message =
                format!("no zone here serves namespace {namespace}: add a [[zone]] for it");
            section.report("namespace", message);
        }
        if let (Some(app), Some(endpoints)) = (app, endpoints) {
            if pins.iter().any(|pin| pin.app == app && pin.namespace == namespace) {
                section.report("app", format!("{app} of namespace {namespace} is pinned twice"));
            }
            pins.push(Pin { namespace, app, protocol, transport, endpoints });
        }
        section.finish();
    }
    pins
}

fn endpoints(value: &toml::de::DeValue<'_>) -> Result<Vec<SocketAddr>, ValueError> {
    let usable = |value: &toml::de::DeValue<'_>| {
        let endpoint = socket_address(value)?;
        if endpoint.port() == 0 || endpoint.ip().is_unspecified() || endpoint.ip().is_multicast() {
            let message =
                format!("must be an address and port that clients can connect to, got {endpoint}");
            return Err(ValueError::new(message));
        }
        Ok(endpoint)
    };
    let endpoints = list(limits::INSTANCES_MAX, usable)(value)?;
    if endpoints.is_empty() {
        Err(ValueError::new("must hold at least one"))
    } else {
        Ok(endpoints)
    }
}

/// The file that a zone has without saying so: `svc.zone` for `svc.`, if it is there.
fn usual_file(section: &Section<'_>, dir: &Path, zone: &mut ZoneSettings, stamps: &mut Stamps) {
    let path = dir.join(format!("{}zone", zone.name.as_str()));
    // One that is there and can't be read is not one that is not there.
    if path.try_exists().unwrap_or(true) {
        zone_file(section, &path, zone, stamps);
    } else {
        stamps.insert(path.clone(), None);
    }
    zone.path = Some(path.into());
}

fn zone_file(section: &Section<'_>, path: &Path, zone: &mut ZoneSettings, stamps: &mut Stamps) {
    zone.path = Some(path.into());
    let text = match zonefiles::text_of(path, stamps) {
        Ok(text) => text,
        Err(error) => {
            let what_to_do = "give an existing file, or leave 'file' out for the built-in zone";
            let message =
                format!("cannot read {}: {}: {what_to_do}", path.display(), io_reason(&error));
            section.report("file", message);
            return;
        }
    };
    match zonefiles::parse(path, &text, &zone.name, stamps) {
        Ok(file) => zone.file = Some(Arc::new(file)),
        Err(errors) => {
            for error in errors.0 {
                let problem = Problem::at(&error.path, error.line, error.message);
                let problem = Problem { column: error.column, ..problem };
                section.document().report_elsewhere(problem);
            }
        }
    }
}

/// What is legal in a zone's file and hardly meant.
pub(super) fn slips(zone: &ZoneSettings) -> Vec<Problem> {
    let Some(file) = &zone.file else { return Vec::new() };
    let slips = slips::find(zone).into_iter().map(|Slip { record, message }| {
        let place = record.place;
        let problem = Problem::at(file.path_of(record), place.line as usize, message);
        Problem { column: place.column as usize, ..problem }
    });
    slips.collect()
}

/// The life of a zone's negative answers: the smaller of the SOA's own and its last field (RFC 2308
/// section 5).
pub(super) fn negative_ttl_secs(soa: &StaticRecord) -> Option<u32> {
    let minimum = soa.data.last_chunk::<4>()?;
    Some(u32::from_be_bytes(*minimum).min(soa.ttl_secs))
}
