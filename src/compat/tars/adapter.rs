//! Adapters as an operator declares them, since no call says where a server listens: an object by its whole name, and
//! endpoints in Tars' own strings.
//!
//! `TestApp.HelloServer.HelloObj` is found in DNS as `_helloobj._tcp.helloserver.testapp`.
//!
//! Knows nothing of who calls.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::endpoint::Endpoint;
use crate::layout::foreign::{Host, protocol_of};
use crate::model::{
    AppName, Instance, Label, Protocol, Spec, Transport, default_id, map_app, map_label,
};

/// What an adapter of Tars is called after its object, unless told otherwise.
const SUFFIX: &str = "Adapter";

/// An object of a server, and where its adapters listen: one endpoint for each host that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The group of servers, as calls name it.
    pub application: String,
    /// The server, as calls name it.
    pub server: String,
    /// The adapter, as calls name it: `TestApp.HelloServer.HelloObjAdapter`.
    pub adapter: String,
    /// The app that its instances are of.
    pub app: AppName,
    /// What they speak.
    pub protocol: Protocol,
    /// Those there may be, one for each host.
    pub places: Vec<Place>,
}

/// Where an adapter listens on one host, and the instance that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: IpAddr,
    /// The instance's id.
    pub id: Label,
    /// The instance.
    pub instance: Instance,
}

impl Adapter {
    /// The object of that name, with its endpoints. The adapter is called as Tars does it, unless a name is given.
    ///
    /// # Errors
    /// The field that is wrong, and the rule.
    pub fn new(
        object: &str,
        adapter: Option<&str>,
        endpoints: &str,
    ) -> Result<Self, (&'static str, String)> {
        let mut parts = object.split('.');
        let (Some(application), Some(server), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let rule = "must be Application.Server.Object, as in \"TestApp.HelloServer.HelloObj\"";
            return Err(("object", format!("{rule}, got {object:?}")));
        };
        let app = map_app(format!("{server}.{application}").as_bytes())
            .map_err(|rule| ("object", format!("{rule}, got {object:?}")))?;
        let protocol =
            protocol_of(name).map_err(|why| ("object", format!("{why}, got {object:?}")))?;
        let of_server = format!("{application}.{server}.");
        let adapter = match adapter {
            None => format!("{object}{SUFFIX}"),
            Some(whole) if whole.starts_with(&of_server) => whole.to_owned(),
            Some(name) if !name.is_empty() && !name.contains('.') => format!("{of_server}{name}"),
            Some(other) => {
                let rule = format!("must be an adapter of {application}.{server}, got {other:?}");
                return Err(("adapter", rule));
            }
        };
        let endpoints = Endpoint::list(endpoints).map_err(|why| ("endpoints", why))?;
        let places = endpoints.iter().map(|endpoint| Place::new(endpoint, &protocol));
        let places: Vec<_> = places.collect::<Result<_, _>>().map_err(|why| ("endpoints", why))?;
        for (i, Place { host, .. }) in places.iter().enumerate() {
            if places[..i].iter().any(|other| other.host == *host) {
                let rule = format!("has {host} twice, and calls don't say which of the two");
                return Err(("endpoints", rule));
            }
        }
        let (application, server) = (application.to_owned(), server.to_owned());
        Ok(Self { application, server, adapter, app, protocol, places })
    }

    /// An instance that the other one has as well: two adapters can't be at one place.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> Option<&Label> {
        let mut ids = self.places.iter().map(|place| &place.id);
        let taken = |id: &&Label| other.places.iter().any(|place| place.id == **id);
        ids.find(taken).filter(|_| self.app == other.app)
    }
}

impl Place {
    /// An endpoint with its address. A host name would have to be resolved to know whose calls are meant, and `*` is no
    /// address that clients could connect to.
    fn new(endpoint: &Endpoint, protocol: &Protocol) -> Result<Self, String> {
        let host = match &endpoint.host {
            Some(Host::Address(address)) => *address,
            Some(Host::Name(name)) => {
                return Err(format!(
                    "-h {name} is a name: give the address that its calls come from"
                ));
            }
            None => {
                let why = "-h * stands for every address: give the one that clients connect to";
                return Err(why.to_owned());
            }
        };
        let at = default_id(host, endpoint.port);
        // One port may be open over both.
        let id = match endpoint.transport {
            Transport::Tcp => at,
            other => map_label(format!("{at}-{other}").as_bytes())
                .map_err(|rule| format!("{at} over {other} gives an id that {rule}"))?,
        };
        let timeout = endpoint.timeout.as_millis().to_string();
        let mut meta = BTreeMap::from([("timeout".to_owned(), timeout)]);
        meta.extend(endpoint.set.clone().map(|set| ("set".to_owned(), set)));
        meta.extend(endpoint.tls.then(|| ("ssl".to_owned(), "true".to_owned())));
        let spec = Spec {
            address: Some(host.to_string()),
            protocol: Some(protocol.to_string()),
            transport: Some(endpoint.transport.to_string()),
            port: Some(endpoint.port.into()),
            // Those without a weight of their own are alike.
            weight: endpoint.weight.map(Into::into),
            meta: Some(meta),
            ..Spec::default()
        };
        let instance = spec.resolve(None).map_err(|error| error.to_string())?;
        Ok(Self { host, id, instance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "tcp -h 10.0.0.1 -p 17890 -t 60000";

    #[test]
    fn an_object_is_a_service_of_its_server() {
        let adapter = Adapter::new("TestApp.HelloServer.HelloObj", None, TCP).unwrap();
        assert_eq!(
            (adapter.app.as_str(), adapter.protocol.as_str()),
            ("helloserver.testapp", "helloobj")
        );
        assert_eq!(adapter.adapter, "TestApp.HelloServer.HelloObjAdapter");
        let named = |name| Adapter::new("A.B.C", Some(name), TCP).map(|adapter| adapter.adapter);
        assert_eq!(named("OtherAdapter").unwrap(), "A.B.OtherAdapter");
        assert_eq!(named("A.B.OtherAdapter").unwrap(), "A.B.OtherAdapter");
        for name in ["", "A.C.OtherAdapter", "B.Other"] {
            let (field, rule) = named(name).unwrap_err();
            assert_eq!(field, "adapter");
            assert!(rule.starts_with("must be an adapter of A.B, got"), "{rule}");
        }
    }

    #[test]
    fn a_place_is_an_instance() {
        let text = "tcp -h 10.0.0.1 -p 17890 -t 60000:ssl -h fd00::1 -p 443 -w 250 -v 1 -s a.b.1:udp -h 10.0.0.2 -p 80 -w 0 -v 1";
        let adapter = Adapter::new("A.B.C", None, text).unwrap();
        let told = adapter.places.iter().map(|Place { host, id, instance }| {
            let [endpoint] = &instance.endpoints[..] else { panic!("one endpoint") };
            let meta: Vec<_> =
                instance.meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (transport, port) = (endpoint.transport, endpoint.port);
            format!("{host} {id} {transport} {port} {} {}", instance.weight, meta.join(" "))
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "10.0.0.1 10-0-0-1-17890 tcp 17890 100 timeout=60000",
                "fd00::1 fd00--1-443 tcp 443 100 set=a.b.1 ssl=true timeout=3000",
                "10.0.0.2 10-0-0-2-80-udp udp 80 0 timeout=3000",
            ]
        );
        let beside = |text| {
            let other = Adapter::new("A.B.D", None, text).unwrap();
            adapter.same_place(&other).map(Label::as_str)
        };
        assert_eq!(beside("tcp -h 10.0.0.1 -p 17890"), Some("10-0-0-1-17890"));
        assert_eq!(beside("udp -h 10.0.0.1 -p 17890"), None);
    }

    #[test]
    fn what_nobody_could_be_matched_with_is_refused() {
        for (object, endpoints, field, why) in [
            ("HelloObj", TCP, "object", "must be Application.Server.Object"),
            ("A.B.C.D", TCP, "object", "must be Application.Server.Object"),
            ("A..C", TCP, "object", "must not be empty"),
            ("A.B.", TCP, "object", "protocol \"\""),
            ("A.B.C", "tcp -h * -p 80", "endpoints", "-h * stands for every address"),
            ("A.B.C", "tcp -h node1 -p 80", "endpoints", "-h node1 is a name"),
            ("A.B.C", "tcp -h 224.0.0.1 -p 80", "endpoints", "is a multicast address"),
            ("A.B.C", "tcp -p 80", "endpoints", "-h, the host, is missing"),
            (
                "A.B.C",
                "tcp -h 10.0.0.1 -p 1:udp -h 10.0.0.1 -p 2",
                "endpoints",
                "has 10.0.0.1 twice",
            ),
        ] {
            let (wrong, rule) = Adapter::new(object, None, endpoints).unwrap_err();
            assert_eq!(wrong, field, "{object} {endpoints}");
            assert!(rule.contains(why), "{rule}");
        }
        let two = "tcp -h 10.0.0.1 -p 1:tcp -h fd00::1 -p 1";
        assert_eq!(Adapter::new("A.B.C", None, two).unwrap().places.len(), 2);
    }
}
