//! What a check may lead to that somebody on another host registered: whoever may register would have a request of this
//! server's own else, to what takes a call from this host for that of an administrator.
//!
//! Refused are loopback, addresses of one link only (there clouds tell a host its secrets) and what this server listens on
//! itself; of requests, those that are made to change something. A name may lead anywhere by the time that a check is run:
//! so addresses are looked at then, too.
//!
//! Knows nothing of how checks are run.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::definition::Kind;

/// Methods that ask for something, and change nothing.
const METHODS: [&str; 2] = ["GET", "HEAD"];

/// What is within reach from another host. Cloning gives the same.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    own: Arc<[SocketAddr]>,
}

impl Reach {
    /// All but what this server listens on, and but what is nobody else's.
    pub(super) fn beyond(own: &[SocketAddr]) -> Self {
        Self { own: own.into() }
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admit(&self, address: SocketAddr) -> Result<(), String> {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let listens = |own: &SocketAddr| {
            let at = own.ip().to_canonical();
            own.port() == port && (at == ip || at.is_unspecified() && is_own(ip))
        };
        let what = if ip.is_loopback() || ip.is_unspecified() {
            "is the loopback of rollcall's own host"
        } else if link_local {
            "means another host on each link"
        } else if self.own.iter().any(listens) {
            "is rollcall itself"
        } else {
            return Ok(());
        };
        let how = "and is checked only for those who register on that host itself";
        Err(format!("{} {what}, {how}", SocketAddr::new(ip, port)))
    }
}

/// Whether a check may ask what it asks.
///
/// # Errors
/// Why not.
pub(super) fn admit_method(kind: &Kind) -> Result<(), String> {
    match kind {
        Kind::Http(check, _) if !METHODS.contains(&&*check.method) => Err(format!(
            "Method {:?} is sent only for those who register on rollcall's own host: use GET or HEAD",
            check.method
        )),
        _ => Ok(()),
    }
}

/// What a check connects to, if anything.
pub(super) fn target(kind: &Kind) -> Option<(String, u16)> {
    match kind {
        Kind::Http(check, _) => {
            let uri: hyper::Uri = check.url.parse().ok()?;
            let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(default)))
        }
        Kind::Tcp { target, .. } => {
            let (host, port) = target.rsplit_once(':')?;
            Some((host.to_owned(), port.parse().ok()?))
        }
        Kind::Ttl(_) | Kind::Maintenance => None,
    }
}

/// Whether this host has that address: others can't be bound to.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compat::consul::definition;

    #[test]
    fn what_is_nobody_elses_is_out_of_reach() {
        let reach =
            Reach::beyond(&["192.0.2.1:8080".parse().unwrap(), "0.0.0.0:53".parse().unwrap()]);
        for (address, why) in [
            ("127.0.0.1:80", Some("loopback")),
            ("127.8.8.8:80", Some("loopback")),
            ("[::1]:80", Some("loopback")),
            ("[::ffff:127.0.0.1]:80", Some("loopback")),
            ("0.0.0.0:80", Some("loopback")),
            ("[::]:80", Some("loopback")),
            ("169.254.169.254:80", Some("each link")),
            ("[fe80::1]:80", Some("each link")),
            ("[::ffff:169.254.169.254]:80", Some("each link")),
            ("192.0.2.1:8080", Some("rollcall itself")),
            ("192.0.2.1:8081", None),
            ("192.0.2.2:8080", None),
            ("192.0.2.1:53", None),
            ("10.0.0.1:80", None),
            ("[2001:db8::1]:80", None),
        ] {
            let said = reach.admit(address.parse().unwrap());
            assert_eq!(said.is_err(), why.is_some(), "{address}");
            assert!(why.is_none_or(|why| said.unwrap_err().contains(why)), "{address}");
        }
        assert!(is_own([127, 0, 0, 1].into()) && !is_own([192, 0, 2, 1].into()));
    }

    #[test]
    fn a_check_leads_to_one_host_and_only_asks() {
        for (check, leads, asks) in [
            (json!({"HTTP": "http://a.example/x?y"}), Some(("a.example", 80)), true),
            (json!({"HTTP": "https://u:p@a.example/"}), Some(("a.example", 443)), true),
            (
                json!({"HTTP": "http://127.0.0.1:8080/", "Method": "head"}),
                Some(("127.0.0.1", 8_080)),
                true,
            ),
            (json!({"HTTP": "http://[::1]:1/", "Method": "DELETE"}), Some(("[::1]", 1)), false),
            (json!({"HTTP": "http://a/", "Method": "POST"}), Some(("a", 80)), false),
            (json!({"TCP": "[fe80::1]:22"}), Some(("[fe80::1]", 22)), true),
            (json!({"GRPC": "a:1/service"}), Some(("a", 1)), true),
        ] {
            let mut body = json!({"Name": "x", "Interval": "1s"});
            body.as_object_mut().unwrap().append(&mut check.as_object().unwrap().clone());
            let kind = definition::check(body.to_string().as_bytes()).unwrap().kind;
            let leads = leads.map(|(host, port)| (host.to_owned(), port));
            assert_eq!((target(&kind), admit_method(&kind).is_ok()), (leads, asks), "{check}");
        }
        assert_eq!(target(&Kind::Maintenance), None);
    }
}
