//! Adapters as an operator declares them, since no call says where a server listens: an object by its whole name, and
//! endpoints in Tars' own strings.
//!
//! `TestApp.HelloServer.HelloObj` is found in DNS as `_helloobj._tcp.helloserver.testapp`.
//!
//! Knows nothing of who calls.

use std::net::IpAddr;

use super::endpoint::Endpoint;
use crate::layout::foreign::{Host, protocol_of};
use crate::model::{AppName, Protocol, map_app};

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
    /// Where they are; every host is an address.
    pub endpoints: Vec<(IpAddr, Endpoint)>,
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
        let endpoints: Result<Vec<_>, _> = endpoints.into_iter().map(placed).collect();
        let endpoints = endpoints.map_err(|why| ("endpoints", why))?;
        for (i, (host, endpoint)) in endpoints.iter().enumerate() {
            if endpoints[..i].iter().any(|(other, _)| other == host) {
                let port = endpoint.port;
                let rule = format!("has {host} twice, and calls don't say which (port {port})");
                return Err(("endpoints", rule));
            }
        }
        let (application, server) = (application.to_owned(), server.to_owned());
        Ok(Self { application, server, adapter, app, protocol, endpoints })
    }
}

/// An endpoint with its address. A host name would have to be resolved to know whose calls are meant, and `*` is no
/// address that clients could connect to.
fn placed(endpoint: Endpoint) -> Result<(IpAddr, Endpoint), String> {
    match &endpoint.host {
        Some(Host::Address(address)) => Ok((*address, endpoint)),
        Some(Host::Name(name)) => {
            Err(format!("-h {name} is a name: give the address that its calls come from"))
        }
        None => Err("-h * stands for every address: give the one that clients connect to".into()),
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
    fn what_nobody_could_be_matched_with_is_refused() {
        for (object, endpoints, field, why) in [
            ("HelloObj", TCP, "object", "must be Application.Server.Object"),
            ("A.B.C.D", TCP, "object", "must be Application.Server.Object"),
            ("A..C", TCP, "object", "must not be empty"),
            ("A.B.", TCP, "object", "protocol \"\""),
            ("A.B.C", "tcp -h * -p 80", "endpoints", "-h * stands for every address"),
            ("A.B.C", "tcp -h node1 -p 80", "endpoints", "-h node1 is a name"),
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
        assert_eq!(Adapter::new("A.B.C", None, two).unwrap().endpoints.len(), 2);
    }
}
