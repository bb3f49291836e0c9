//! The flags that describe an instance, for `register` and `run`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use super::error::Error;
use super::values;
use crate::host;
use crate::model::{AppName, EndpointSpec, Instance, Label, Protocol, Spec, Transport, default_id};

/// One instance as flags.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Instance")]
pub(super) struct InstanceArgs {
    /// The app's name: labels of a-z, 0-9 and inner '-', joined by dots
    #[arg(value_name = "APP", help_heading = None::<&str>)]
    pub(super) app: AppName,
    /// The port it listens on; --port or --endpoint is needed
    #[arg(long, value_name = "PORT", value_parser = values::port)]
    port: Option<u16>,
    /// What it speaks [default: nova]
    #[arg(long, requires = "port")]
    protocol: Option<Protocol>,
    /// What carries it: tcp, udp or sctp [default: tcp]
    #[arg(long, requires = "port")]
    transport: Option<Transport>,
    /// A further endpoint, or all of them instead of --port, such as http:8080 or dns/udp:53; may be given
    /// several times
    #[arg(long, value_name = "PROTOCOL[/TRANSPORT]:PORT")]
    endpoint: Vec<EndpointArg>,
    /// Its address; may be given several times [default: the source address of the default route]
    #[arg(long)]
    address: Vec<IpAddr>,
    /// Its id, one label [default: its address and port, such as 10-0-0-7-9000]
    #[arg(long)]
    id: Option<Label>,
    /// Its share of traffic, 0 to 65535; 0 means no new traffic [default: 100]
    #[arg(long)]
    weight: Option<u16>,
    /// Clients use the lowest priority number that answers [default: 10]
    #[arg(long)]
    priority: Option<u16>,
    /// A tag: the instance is also found under TAG.APP; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Label>,
    /// A pair of meta data; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<Pair>,
    /// How long it stays registered without a sign of life, such as 30s; a bare number is seconds; 2s to 1h
    /// [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = values::whole_secs)]
    ttl: Option<u32>,
}

#[derive(Debug, Clone)]
struct EndpointArg {
    protocol: Protocol,
    transport: Transport,
    port: u16,
}

#[derive(Debug, Clone)]
struct Pair(String, String);

/// An instance to be registered: what is sent, and what we know of it ourselves.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// The body of the registration.
    pub(super) spec: Spec,
    /// The same, checked. Without an address to send, its address is a stand-in.
    pub(super) instance: Instance,
    /// Its id, if we can know it without the server.
    pub(super) id: Option<Label>,
    /// The flag that gives an address, for those whose address is refused: the server knows nothing of flags.
    pub(super) address_flag: &'static str,
}

impl InstanceArgs {
    /// What these flags describe, checked by the rules that the server has.
    pub(super) fn describe(&self) -> Result<Described, Error> {
        if self.port.is_none() && self.endpoint.is_empty() {
            let message = "one of --port and --endpoint is needed, such as --port 8080 or --endpoint http:8080";
            return Err(Error::Usage(message.into()));
        }
        let mut addresses = self.address.clone();
        if addresses.is_empty() {
            addresses.extend(host::default_source());
        }
        let spec = self.spec(&addresses);
        let instance = spec
            .clone()
            .resolve(Some(Ipv4Addr::LOCALHOST.into()))
            .map_err(|error| Error::Usage(error.to_string()))?;
        let id = self
            .id
            .clone()
            .or_else(|| Some(default_id(*addresses.first()?, first_port(&instance))));
        Ok(Described { spec, instance, id, address_flag: "--address" })
    }

    fn spec(&self, addresses: &[IpAddr]) -> Spec {
        let endpoint = |protocol: &Protocol, transport: Transport, port: u16| EndpointSpec {
            protocol: Some(protocol.to_string()),
            transport: Some(transport.to_string()),
            port: Some(port.into()),
            ..EndpointSpec::default()
        };
        let first = self.port.map(|port| {
            let protocol = self.protocol.clone().unwrap_or_default();
            endpoint(&protocol, self.transport.unwrap_or_default(), port)
        });
        let further = self.endpoint.iter().map(|e| endpoint(&e.protocol, e.transport, e.port));
        let meta: BTreeMap<_, _> =
            self.meta.iter().map(|Pair(key, value)| (key.clone(), value.clone())).collect();
        let texts = |items: &[Label]| items.iter().map(ToString::to_string).collect();
        Spec {
            addresses: (!addresses.is_empty())
                .then(|| addresses.iter().map(ToString::to_string).collect()),
            endpoints: Some(first.into_iter().chain(further).collect()),
            weight: self.weight.map(Into::into),
            priority: self.priority.map(Into::into),
            tags: (!self.tags.is_empty()).then(|| texts(&self.tags)),
            meta: (!meta.is_empty()).then_some(meta),
            ttl: self.ttl.map(Into::into),
            ..Spec::default()
        }
    }
}

/// The port that a default id is made of.
pub(super) fn first_port(instance: &Instance) -> u16 {
    // An instance has at least one endpoint.
    instance.endpoints.first().map_or(0, |endpoint| endpoint.port)
}

impl FromStr for EndpointArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, port) =
            text.rsplit_once(':').ok_or("must be PROTOCOL[/TRANSPORT]:PORT such as http:8080")?;
        let (protocol, transport) = service.split_once('/').unwrap_or((service, "tcp"));
        let port = port.parse().ok().filter(|port| *port != 0);
        Ok(Self {
            protocol: Protocol::new(protocol).map_err(|rule| format!("protocol {rule}"))?,
            transport: transport.parse().map_err(|rule| format!("transport {rule}"))?,
            port: port.ok_or("port must be 1 to 65535")?,
        })
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}
