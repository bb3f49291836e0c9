//! From a container to what is registered of it, by registrator's rules (gliderlabs/registrator, `bridge/bridge.go` and
//! `docs/user/services.md`). Pure.
//!
//! Where it differs from registrator: a port that is published on all addresses is at this host's, in whatever network the
//! container is; an address that stands for all is never registered; names and ids are mapped to legal ones.
//!
//! Knows nothing of the engine and of servers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::container::{Binding, Container};
use super::labels::{Labels, list};
use crate::model::{
    AppName, EndpointSpec, Instance, Protocol, RawId, Spec, Transport, fit_meta, fit_tags, map_app,
    map_protocol,
};

/// What the command line says of all containers.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// This host's name, which ids begin with.
    pub(super) host: String,
    /// This host's address: as it was given, or the one of its default route.
    pub(super) address: Option<IpAddr>,
    /// It was given: it stands in for addresses that ports are published on, too.
    pub(super) is_given: bool,
    /// Register containers' own addresses and ports instead of published ones.
    pub(super) internal: bool,
    /// Register only what is named by a variable or label.
    pub(super) explicit: bool,
    /// A label that holds the address to register.
    pub(super) address_label: Option<String>,
    /// Tags that everything gets.
    pub(super) tags: Vec<String>,
    /// The lease in seconds; none: the server's default.
    pub(super) ttl: Option<u32>,
}

/// One service: a port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// The app.
    pub(super) app: AppName,
    /// The id before mapping: `host:container:port`, with `:udp` behind it for UDP.
    pub(super) id: RawId,
    /// What is registered.
    pub(super) spec: Spec,
    /// The same, checked. Without an address to send, its address is a stand-in.
    pub(super) instance: Instance,
    /// Its port in the container: `80/tcp`.
    pub(super) port: String,
}

/// Why a port, or a container, is not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skipped {
    /// The port; none: the whole container.
    pub(super) port: Option<String>,
    /// Why.
    pub(super) why: String,
}

/// A port as the container has it: `80/tcp`.
struct Port<'a> {
    name: &'a str,
    number: u16,
    transport: Transport,
}

/// Where a service is.
struct Place {
    /// None: the server takes the address that we come from.
    address: Option<IpAddr>,
    port: u16,
}

impl Rules {
    /// What is registered of a container, and what is not and why. `network` is the container whose network it shares, if
    /// it does.
    pub(super) fn services(
        &self,
        container: &Container,
        network: Option<&Container>,
    ) -> (Vec<Service>, Vec<Skipped>) {
        let (mut services, mut skipped) = (Vec::new(), Vec::new());
        let mut reachable = Vec::new();
        for (name, binding) in ports(container) {
            let found = Port::new(name).and_then(|port| {
                let place = self.place(container, network, &port, binding)?;
                Ok((port, place))
            });
            match found {
                Ok(found) => reachable.push(found),
                Err(why) => skipped.push(Skipped { port: Some(name.to_owned()), why }),
            }
        }
        if reachable.is_empty() && skipped.is_empty() {
            let why = "it exposes and publishes no port".to_owned();
            return (services, vec![Skipped { port: None, why }]);
        }
        let is_group = reachable.len() > 1;
        for (port, place) in reachable {
            match self.service(container, &port, place, is_group) {
                Ok(service) => services.push(service),
                Err(why) => skipped.push(Skipped { port: Some(port.name.to_owned()), why }),
            }
        }
        (services, skipped)
    }

    fn service(
        &self,
        container: &Container,
        port: &Port<'_>,
        place: Place,
        is_group: bool,
    ) -> Result<Service, String> {
        let number = port.number.to_string();
        let mut labels = Labels::of(&container.config, &number);
        // Any text does, "false" as well.
        if labels.take("ignore").is_some() {
            return Err(format!("SERVICE_IGNORE or SERVICE_{number}_IGNORE is set"));
        }
        let is_named_alone = labels.is_of_port("name");
        let mut name = match labels.take("name") {
            Some(name) => name,
            None if self.explicit => {
                return Err("it has no SERVICE_NAME, and --explicit asks for one".to_owned());
            }
            None => image_name(&container.config.image).to_owned(),
        };
        if is_group && !is_named_alone {
            name = format!("{name}-{number}");
        }
        let app = map_app(name.as_bytes()).map_err(|rule| format!("its name {name:?} {rule}"))?;
        let id = labels.take("id").unwrap_or_else(|| self.id(container, port));
        let mut tags = labels.take("tags").map(|tags| list(&tags)).unwrap_or_default();
        tags.extend(self.tags.iter().cloned());
        if port.transport == Transport::Udp {
            tags.push(port.transport.to_string());
        }
        let protocol = match labels.take("protocol") {
            Some(protocol) => map_protocol(protocol.as_bytes())
                .map_err(|rule| format!("its SERVICE_PROTOCOL {protocol:?} {rule}"))?,
            // As for what registrator itself writes to etcd: it tells nothing else of what is spoken there.
            None => map_protocol(app.as_str().as_bytes()).unwrap_or_default(),
        };
        let spec = self.spec(port, place, protocol, &tags, labels);
        let stand_in = Ipv4Addr::LOCALHOST.into();
        let instance = spec.clone().resolve(Some(stand_in)).map_err(|error| error.to_string())?;
        Ok(Service { app, id: id.into(), spec, instance, port: port.name.to_owned() })
    }

    fn spec(
        &self,
        port: &Port<'_>,
        place: Place,
        protocol: Protocol,
        tags: &[String],
        labels: Labels,
    ) -> Spec {
        let tags: Vec<_> = fit_tags(tags).iter().map(ToString::to_string).collect();
        let meta = fit_meta(labels.rest());
        let meta: BTreeMap<_, _> =
            meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Spec {
            addresses: place.address.map(|address| vec![address.to_string()]),
            endpoints: Some(vec![EndpointSpec {
                protocol: Some(protocol.to_string()),
                transport: Some(port.transport.to_string()),
                port: Some(place.port.into()),
                ..EndpointSpec::default()
            }]),
            tags: (!tags.is_empty()).then_some(tags),
            meta: (!meta.is_empty()).then_some(meta),
            ttl: self.ttl.map(Into::into),
            ..Spec::default()
        }
    }

    fn id(&self, container: &Container, port: &Port<'_>) -> String {
        let udp = if port.transport == Transport::Udp { ":udp" } else { "" };
        format!("{}:{}:{}{udp}", self.host, container.name(), port.number)
    }

    /// Where a port is reached: at the host, at the container itself, or where a label says.
    fn place(
        &self,
        container: &Container,
        network: Option<&Container>,
        port: &Port<'_>,
        binding: Option<Binding>,
    ) -> Result<Place, String> {
        let mut place = if self.internal {
            Place { address: container.address().or(self.address), port: port.number }
        } else {
            let binding = binding.ok_or("it is not published on the host")?;
            let published = binding.host_port.parse().ok().filter(|port| *port != 0);
            let port = published
                .ok_or_else(|| format!("its port on the host is {:?}", binding.host_port))?;
            let all = |address: &IpAddr| address.is_unspecified();
            let at = binding.host_ip.parse().ok().filter(|at| !all(at) && !self.is_given);
            Place { address: at.or(self.address), port }
        };
        if let Some(label) = &self.address_label
            && let Some(text) = container.config.labels.get(label)
        {
            // Such labels are often networks: 10.0.0.7/24.
            let address = text.split('/').next().unwrap_or_default().parse();
            place.address = Some(
                address
                    .map_err(|_| format!("its label {label} is {text:?}, which is no address"))?,
            );
        }
        if let Some(address) = network.and_then(Container::address) {
            place.address = Some(address);
        }
        Ok(place)
    }
}

/// A container's ports and where they are published. One that the host has no part in is published as itself where the
/// container uses the host's network, and nowhere else.
fn ports(container: &Container) -> Vec<(&str, Option<Binding>)> {
    let settings = &container.network_settings.ports;
    let own = container.config.exposed_ports.keys().filter(|name| !settings.contains_key(*name));
    // The engine lists the exposed ports of every container that has a network of its own.
    let own = own.map(|name| {
        let port = name.split('/').next().unwrap_or_default();
        (name.as_str(), Some(Binding { host_ip: String::new(), host_port: port.to_owned() }))
    });
    let published = settings.iter().map(|(name, bindings)| {
        (name.as_str(), bindings.as_ref().and_then(|bindings| bindings.first().cloned()))
    });
    let mut ports: Vec<_> = own.chain(published).collect();
    ports.sort_by_key(|(name, _)| *name);
    ports
}

impl<'a> Port<'a> {
    fn new(name: &'a str) -> Result<Self, String> {
        let (number, transport) = name.split_once('/').unwrap_or((name, "tcp"));
        let number = number.parse().ok().filter(|number| *number != 0);
        Ok(Self {
            name,
            number: number.ok_or("it is no port, 1 to 65535")?,
            transport: transport.parse().map_err(|rule| format!("its transport {rule}"))?,
        })
    }
}

/// The last part of an image's name, without tag and digest: `redis` of `registry:5000/team/redis:7`.
fn image_name(image: &str) -> &str {
    let base = image.rsplit('/').next().unwrap_or_default();
    base.split([':', '@']).next().unwrap_or_default()
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            Some(port) => write!(f, "port {port}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

#[cfg(test)]
mod tests;
