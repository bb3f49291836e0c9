//! Bare URLs, as yeqown's framework/etcd writes them (yeqown/server-common, framework/etcd/provider.go): `/{prefix}/{name}`
//! holds `http://10.0.0.1:3456`.
//!
//! The scheme is the protocol; a path, a query and a user in the URL are nothing that DNS can tell. What other systems have
//! URLs in is read with the same hands: browsers' rules would make 10.0.0.0 of a mistyped `10.0.0`, and refuse the IPv6
//! addresses without brackets that some of them write.

use super::found::Found;
use super::place::{Host, Place, Port};
use super::{Read, Record};

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let (app, id) = record.app_and_id()?;
    let (scheme, place) = parts(record.text()?.trim())?;
    Ok(Read::Instance(Box::new(Found::new(app, id, &scheme, place))))
}

/// The scheme in lower case, and where the URL leads.
pub(super) fn parts(url: &str) -> Result<(String, Place), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url:?} is no URL"))?;
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let place = place(address, &scheme)?;
    Ok((scheme, place))
}

/// The parameters behind the question mark, decoded, in their order.
pub(super) fn parameters(url: &str) -> form_urlencoded::Parse<'_> {
    let url = url.split('#').next().unwrap_or_default();
    form_urlencoded::parse(url.split_once('?').map_or("", |(_, query)| query).as_bytes())
}

/// The host, and its port or the scheme's own.
fn place(address: &str, scheme: &str) -> Result<Place, String> {
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port {
        return Place::new(address);
    }
    let port = match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        _ => return Err(format!("{address:?} has no port, and {scheme} has none of its own")),
    };
    let Port(port) = Port(port);
    Ok(Place { host: Host::new(address)?, port })
}

#[cfg(test)]
mod tests {
    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    #[test]
    fn a_url_is_an_instance_of_what_its_folder_names() {
        let told = |key: &str, value: &str| told(System::Url, "/prefix/", key, value);
        for (value, is) in [
            ("http://127.0.0.1:3456", "prefix srv_3456 127.0.0.1 _http._tcp:3456"),
            ("http://10.0.0.1", "prefix srv_3456 10.0.0.1 _http._tcp:80"),
            ("HTTPS://[fd00::1]/v1?x=y:1", "prefix srv_3456 fd00::1 _https._tcp:443"),
            ("http://user:pw@api.example.org:81/", "prefix srv_3456 api.example.org _http._tcp:81"),
            ("grpc://10.0.0.1:9000", "prefix srv_3456 10.0.0.1 _grpc._tcp:9000"),
            ("grpc://10.0.0.1", "rejected: \"10.0.0.1\" has no port, and grpc has none of its own"),
            ("10.0.0.1:80", "rejected: \"10.0.0.1:80\" is no URL"),
            ("http://", "rejected: no host is given"),
        ] {
            assert_eq!(told("/prefix/srv_3456", value), is, "{value}");
        }
        assert!(told("/prefix/orders/a", "http://10.0.0.1:80").starts_with("orders a "));
    }
}
