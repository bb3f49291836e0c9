//! A container as the engine describes it (`GET /containers/{id}/json`), as far as registering it needs.
//!
//! Unknown fields are ignored and absent ones are empty: engines of many years, and others that speak their API, answer
//! with more or less of it. `null` stands for "nothing" in many places.
//!
//! Knows nothing of what becomes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

/// One container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Container {
    /// 64 hex digits.
    pub(super) id: String,
    /// With a `/` in front.
    pub(super) name: String,
    pub(super) state: State,
    pub(super) config: Config,
    pub(super) host_config: HostConfig,
    pub(super) network_settings: NetworkSettings,
}

/// Whether it runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct State {
    pub(super) running: bool,
}

/// What it was made with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Config {
    /// As whoever started it wrote it: `registry:5000/team/redis:7`.
    pub(super) image: String,
    /// `NAME=VALUE`.
    #[serde(deserialize_with = "or_nothing")]
    pub(super) env: Vec<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub(super) labels: BTreeMap<String, String>,
    /// Ports that the image or the command line names: `80/tcp`.
    #[serde(deserialize_with = "or_nothing")]
    pub(super) exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
}

/// How it is tied to its host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct HostConfig {
    /// `default`, `host`, `container:ID`, or a network's name.
    pub(super) network_mode: String,
}

/// Where it can be reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    /// In the default network; newer engines leave it out.
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(deserialize_with = "or_nothing")]
    networks: BTreeMap<String, Network>,
    /// Ports by their name in the container; null where the host has no part in it.
    #[serde(deserialize_with = "or_nothing")]
    pub(super) ports: BTreeMap<String, Option<Vec<Binding>>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: String,
}

/// A port of the host that leads to one of the container's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Binding {
    /// 0.0.0.0, `::` or nothing for all of the host's addresses.
    pub(super) host_ip: String,
    pub(super) host_port: String,
}

impl Container {
    /// Its name without the `/`.
    pub(super) fn name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// The container whose network it shares, if it does.
    pub(super) fn shares_network_of(&self) -> Option<&str> {
        self.host_config.network_mode.strip_prefix("container:")
    }

    /// Its own address; the first network's by name where it is in several, IPv6 where it has no other.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let networks = self.network_settings.networks.values();
        let v4 = networks.clone().map(|network| &network.ip_address);
        let v6 = networks.map(|network| &network.global_ipv6_address);
        let texts = std::iter::once(&self.network_settings.ip_address).chain(v4).chain(v6);
        texts.flat_map(|text| text.parse()).next()
    }
}

fn or_nothing<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
