//! What an operator says about the calls of other systems' clients: which are taken, where, from whom.
//!
//! Knows nothing of where it was written.

use std::net::SocketAddr;
use std::time::Duration;

use super::tars::Adapter;
use crate::model::{Namespace, Nets};

/// Whose clients are listened to; each is off unless it has settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// haunt's, the registry agent of Zan PHP.
    pub haunt: Option<Haunt>,
    /// Those of etcd's v2 keys.
    pub etcd_v2: Option<EtcdV2>,
    /// Those of Consul's agent.
    pub consul: Option<Consul>,
    /// Those of the node of Tars.
    pub tars: Option<Tars>,
}

/// Where calls are taken, from whom, and for which namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may call besides this host's own programs; none: nobody else.
    pub allow: Option<Nets>,
    /// Where what they register lives.
    pub namespace: Namespace,
}

/// Settings of haunt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Haunt {
    /// Where calls are taken.
    pub at: Listen,
}

/// Settings of etcd's v2 keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdV2 {
    /// Where calls are taken. Its namespace means nothing: layouts have theirs.
    pub at: Listen,
    /// What keys may begin with: the prefixes of the configured layouts.
    pub prefixes: Vec<String>,
}

/// Settings of Consul's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consul {
    /// Where calls are taken.
    pub at: Listen,
}

/// Settings of the node of Tars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tars {
    /// Where calls are taken.
    pub at: Listen,
    /// How long a server lives after its last keep-alive.
    pub timeout: Duration,
    /// Where servers listen, since their calls don't say it.
    pub adapters: Vec<Adapter>,
}

impl Listen {
    /// On loopback at that port, for the default namespace.
    #[must_use]
    pub fn on_port(port: u16) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        Self { listen, allow: None, namespace: Namespace::default() }
    }

    /// Whether strangers on the network could register, without the operator's word on whose calls are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allow.is_none() && !self.listen.ip().to_canonical().is_loopback()
    }

    /// Whose calls are taken.
    #[must_use]
    pub fn peers(&self) -> Nets {
        let own = Nets::loopback();
        Nets::new(self.allow.iter().chain([&own]).flat_map(Nets::iter).copied().collect())
    }
}

impl Default for Haunt {
    fn default() -> Self {
        Self { at: Listen::on_port(8_687) }
    }
}

impl Default for EtcdV2 {
    fn default() -> Self {
        Self { at: Listen::on_port(4_001), prefixes: Vec::new() }
    }
}

impl Default for Consul {
    fn default() -> Self {
        Self { at: Listen::on_port(8_500) }
    }
}

impl Default for Tars {
    fn default() -> Self {
        let timeout = Duration::from_secs(45);
        Self { at: Listen::on_port(19_386), timeout, adapters: Vec::new() }
    }
}

impl Settings {
    /// What listens, by the name that configurations have for it.
    pub fn listeners(&self) -> impl Iterator<Item = (&'static str, &Listen)> {
        let haunt = self.haunt.as_ref().map(|haunt| ("haunt", &haunt.at));
        let etcd_v2 = self.etcd_v2.as_ref().map(|etcd_v2| ("etcd_v2", &etcd_v2.at));
        let consul = self.consul.as_ref().map(|consul| ("consul", &consul.at));
        let tars = self.tars.as_ref().map(|tars| ("tars", &tars.at));
        [haunt, etcd_v2, consul, tars].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_nobody_is_let_in_by_oversight() {
        let at = |listen: &str| Listen { listen: listen.parse().unwrap(), ..Listen::on_port(1) };
        for (listen, open) in [
            ("127.0.0.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("10.0.0.1:1", true),
            ("[::]:1", true),
        ] {
            assert_eq!(at(listen).is_open(), open, "{listen}");
        }
        let nets = Nets::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let allowed = Listen { allow: Some(nets), ..at("0.0.0.0:1") };
        assert!(!allowed.is_open());
        for (peer, taken) in
            [("10.1.2.3", true), ("127.0.0.1", true), ("::1", true), ("192.168.0.1", false)]
        {
            assert_eq!(allowed.peers().contain(peer.parse().unwrap()), taken, "{peer}");
        }
        assert!(!at("127.0.0.1:1").peers().contain("10.1.2.3".parse().unwrap()));
    }
}
