//! The `[forward]` section: whom to ask for names of others, and how much.
//!
//! Knows nothing of how one asks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::reader::Section;
use super::values::{ValueError, duration, filled, list, text, whole};
use super::{Overrides, sections};
use crate::dns::forward::{Domain, DomainName, Settings, Upstreams};
use crate::model::{Nets, net};
use crate::zone::ZoneSettings;

/// The word for the host's own servers.
const SYSTEM: &str = "system";
/// Where those are.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of a server that is given without one.
const PORT: u16 = 53;
/// Servers for the same names; beyond that it is a mistake.
const UPSTREAMS_MAX: usize = 16;
/// Domains with servers of their own: each query is compared with all of them.
const DOMAINS_MAX: usize = 256;
/// Networks that may ask.
const NETS_MAX: usize = 1_000;
/// Clients give up after 5 s as a rule; the answer that nobody could say is to come before that.
const TIMEOUT_MAX: Duration = Duration::from_secs(4);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Reads the section. Without it, and without the flag, nothing is forwarded.
pub(super) fn forward(
    root: &Section<'_>,
    overrides: &Overrides,
    zones: &[ZoneSettings],
) -> Option<Settings> {
    let section = root.section("forward");
    let mut settings = Settings::default();
    let file = section.get("resolv_conf", sections::path);
    let file = file.unwrap_or_else(|| PathBuf::from(RESOLV_CONF));
    let system = |upstreams: Choice| match upstreams {
        Choice::System => Upstreams::System(file.clone()),
        Choice::Listed(addresses) => Upstreams::Listed(addresses),
    };
    let written = root.has("forward");
    let upstreams = if written && overrides.forward.is_none() {
        section.need("upstreams", "[\"10.0.0.2:53\"]", choice)
    } else {
        section.get("upstreams", choice)
    };
    if let Some(upstreams) = overrides.forward.clone().or(upstreams) {
        settings.upstreams = system(upstreams);
    }
    section.set("allow", &mut settings.allow, |value| {
        list(NETS_MAX, |value| {
            let text = text(value)?;
            net(&text).map_err(|error| ValueError::new(format!("{error}, got {text:?}")))
        })(value)
        .map(Nets::new)
    });
    section.set("timeout", &mut settings.timeout, duration(TIMEOUT_MIN..=TIMEOUT_MAX));
    section.set("in_flight_max", &mut settings.in_flight_max, whole(1..=100_000));
    section.set("cache_octets_max", &mut settings.cache_octets_max, whole(0..=1 << 40));
    settings.domains = domains(&section, zones);
    section.finish();
    (written || overrides.forward.is_some()).then_some(settings)
}

fn domains(section: &Section<'_>, zones: &[ZoneSettings]) -> Vec<Domain> {
    let sections = section.sections("domain");
    if sections.len() > DOMAINS_MAX {
        let got = sections.len();
        section.report("domain", format!("must be at most {DOMAINS_MAX}, got {got}"));
        return Vec::new();
    }
    let mut domains: Vec<Domain> = Vec::new();
    for section in sections {
        let name = section.need("name", "\"corp.example.\"", |value| {
            let text = filled(value)?;
            DomainName::new(&text).ok_or_else(|| {
                ValueError::new(format!(
                    "must be a domain's name such as \"corp.example.\", got {text:?}"
                ))
            })
        });
        let upstreams = section.need("upstreams", "[\"10.0.0.2:53\"]", addresses);
        if let (Some(name), Some(upstreams)) = (name, upstreams) {
            if domains.iter().any(|other| other.name == name) {
                section.report("name", "stands twice: put all its upstreams into one section");
            }
            let is_in = |zone: &&ZoneSettings| zone.name.relative(name.wire()).is_some();
            if let Some(ZoneSettings { name: zone, .. }) = zones.iter().find(is_in) {
                let message = format!("is in zone {zone}, which this server answers itself");
                section.report("name", message);
            }
            domains.push(Domain { name, upstreams });
        }
        section.finish();
    }
    domains
}

/// Whom to ask, as written: the host's own servers, or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Those of the host's resolv.conf.
    System,
    /// These.
    Listed(Vec<SocketAddr>),
}

impl Choice {
    /// As a flag has it: the word alone, or addresses with commas between them.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == SYSTEM {
            return Ok(Self::System);
        }
        let addresses = text.split(',').map(|text| address(text.trim()));
        let addresses = addresses.collect::<Result<_, _>>().map(Self::Listed);
        addresses
            .map_err(|why| format!("{why}; {SYSTEM:?} alone takes the servers of {RESOLV_CONF}"))
    }
}

fn choice(value: &DeValue<'_>) -> Result<Choice, ValueError> {
    match value {
        DeValue::String(word) if *word == SYSTEM => Ok(Choice::System),
        DeValue::String(word) => Err(ValueError::new(format!(
            "must be a list such as [\"10.0.0.2:53\"], or \"{SYSTEM}\" for the servers of the host's resolv.conf, \
             got {word:?}"
        ))),
        DeValue::Array(items) if items.iter().any(|item| is_system(item.get_ref())) => {
            Err(ValueError::new(format!("{SYSTEM:?} stands alone: write upstreams = {SYSTEM:?}")))
        }
        _ => addresses(value).map(Choice::Listed),
    }
}

fn is_system(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::String(word) if *word == SYSTEM)
}

fn addresses(value: &DeValue<'_>) -> Result<Vec<SocketAddr>, ValueError> {
    let read = |value: &DeValue<'_>| address(&text(value)?).map_err(ValueError::new);
    let addresses = list(UPSTREAMS_MAX, read)(value)?;
    if addresses.is_empty() {
        Err(ValueError::new("must hold at least one"))
    } else {
        Ok(addresses)
    }
}

/// A server's address, with port 53 where none is given.
fn address(text: &str) -> Result<SocketAddr, String> {
    let with_port = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let address = text.parse().or_else(|_| with_port()).ok();
    let can_be_asked = |address: &SocketAddr| {
        address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
    };
    address.filter(can_be_asked).ok_or_else(|| {
        format!(
            "must be the IP address of a DNS server such as \"10.0.0.2:53\" or \"[fd00::2]:53\", got {text:?}"
        )
    })
}
