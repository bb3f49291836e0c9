//! The systems whose layouts are read, by the names that configurations call them.
//!
//! Knows nothing of what their keys say.

use std::fmt;
use std::str::FromStr;

use super::{Read, Record, dubbo, go_micro, go_zero, grpc, kratos, nova, registrator, skydns, url};
use crate::model::Namespace;

/// A system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// Dubbo, at the level of interfaces and of applications.
    Dubbo,
    /// go-micro's registry: JSON of a service and its node.
    GoMicro,
    /// go-zero: `host:port`.
    GoZero,
    /// gRPC naming of etcd's own client.
    Grpc,
    /// Kratos.
    Kratos,
    /// Zan PHP and haunt: JSON of a server.
    Nova,
    /// registrator's `etcd` backend: `ip:port`.
    Registrator,
    /// SkyDNS and CoreDNS' etcd plugin: records under names of their own.
    Skydns,
    /// Bare URLs.
    Url,
}

impl System {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Dubbo,
        Self::GoMicro,
        Self::GoZero,
        Self::Grpc,
        Self::Kratos,
        Self::Nova,
        Self::Registrator,
        Self::Skydns,
        Self::Url,
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dubbo => "dubbo",
            Self::GoMicro => "go-micro",
            Self::GoZero => "go-zero",
            Self::Grpc => "grpc",
            Self::Kratos => "kratos",
            Self::Nova => "nova",
            Self::Registrator => "registrator",
            Self::Skydns => "skydns",
            Self::Url => "url",
        }
    }

    /// Where its clients write unless they are told otherwise; none where each chooses.
    #[must_use]
    pub fn prefix_default(self) -> Option<&'static str> {
        match self {
            Self::Dubbo => Some("/dubbo/"),
            Self::GoMicro => Some("/micro/registry/"),
            Self::Kratos => Some("/microservices/"),
            Self::Skydns => Some("/skydns/"),
            Self::GoZero | Self::Grpc | Self::Nova | Self::Registrator | Self::Url => None,
        }
    }

    /// A prefix that ends where a folder does: `/services` is meant for what is in it, and not for `/services-old/`. Zan's
    /// may end within a name, since all domains of one protocol begin alike.
    #[must_use]
    pub fn whole_prefix(self, prefix: &str) -> String {
        match self {
            Self::Nova => nova::whole_prefix(prefix),
            _ if prefix.is_empty() || prefix.ends_with('/') => prefix.to_owned(),
            _ => format!("{prefix}/"),
        }
    }

    /// What it says in that key. A record that is no instance belongs to that namespace.
    pub(super) fn read(self, record: Record<'_>, namespace: &Namespace) -> Result<Read, String> {
        match self {
            Self::Dubbo => dubbo::read(record),
            Self::GoMicro => go_micro::read(record),
            Self::GoZero => go_zero::read(record),
            Self::Grpc => grpc::read(record),
            Self::Kratos => kratos::read(record),
            Self::Nova => nova::read(record),
            Self::Registrator => registrator::read(record),
            Self::Skydns => skydns::read(record, namespace),
            Self::Url => url::read(record),
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for System {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|system| system.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.into_iter().map(Self::as_str).collect();
            format!("must be one of {}", known.join(", "))
        })
    }
}
