//! What an operator says about zones: their names, namespaces, times to live, and pins.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::consul::{ConsulNames, SERVICE};
use super::reverse::Network;
use super::wire;
use crate::model::{AppName, NameError, Namespace, Protocol, Transport};

/// Time to live of records, in seconds: forwarders hold a removed address that long.
pub const TTL_SECS_DEFAULT: u32 = 5;
/// Time to live of negative answers, in seconds: the delay of a service's first instance.
pub const NEGATIVE_TTL_SECS_DEFAULT: u32 = 1;
/// Longest zone name, in octets of its text without the final dot: with the longest app, instance and
/// service labels in front it still fits 253.
pub const ZONE_OCTETS_MAX: usize = 45;

/// A zone's name: legal labels, at most 45 octets, written with or without the final dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneName {
    text: Arc<str>,
    wire: Arc<[u8]>,
}

impl ZoneName {
    /// Takes a zone's name as written.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.len() > ZONE_OCTETS_MAX {
            return Err(NameError::TooLong { got: text.len(), max: ZONE_OCTETS_MAX });
        }
        Self::long(text)
    }

    /// The same without that bound: a reverse zone has no apps whose names must fit in front of it.
    fn long(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let labels = AppName::new(text)?;
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in labels.labels() {
            // A legal label has at most 63 octets.
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        Ok(Self { text: format!("{labels}.").into(), wire: wire.into() })
    }

    /// The name with these labels, which are legal.
    pub(super) fn of_labels(text: &str) -> Self {
        Self::long(text).expect("at most 34 labels of letters and digits, 70 octets")
    }

    /// The name with its final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name in wire form, the root label included, lower case (RFC 1035 section 3.1).
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The part of a name (lower case, wire form, with the root label) in front of this one; none where the name is
    /// not in this zone.
    #[must_use]
    pub fn relative<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let (relative, suffix) = name.split_at_checked(name.len().checked_sub(self.wire.len())?)?;
        if suffix != &*self.wire {
            return None;
        }
        // The octets agree; it is the same name only if a label begins there: a length octet inside
        // a label can look like any character.
        let mut rest = relative;
        while let Some((_, behind)) = wire::split(rest) {
            rest = behind;
        }
        rest.is_empty().then_some(relative)
    }

    /// Those of the zones whose names are below this one, each with its name relative to it.
    pub(super) fn zones_below<'z>(
        &self,
        all: &'z [ZoneSettings],
    ) -> impl Iterator<Item = (&'z [u8], &'z Self)> {
        let others = all.iter().map(|zone| &zone.name).filter(move |name| *name != self);
        others.filter_map(|other| Some((self.relative(other.wire())?, other)))
    }
}

impl Default for ZoneName {
    fn default() -> Self {
        Self::new("svc.").expect("svc. is a legal zone name")
    }
}

impl FromStr for ZoneName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl serde::Serialize for ZoneName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for ZoneName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::long(&text).map_err(|rule| serde::de::Error::custom(format_args!("{text:?} {rule}")))
    }
}

/// One zone as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSettings {
    /// Its name.
    pub name: ZoneName,
    /// The namespace whose apps it serves; none: static records only.
    pub namespace: Option<Namespace>,
    /// What its zone file holds, if it has one.
    pub file: Option<Arc<super::zonefile::ZoneFile>>,
    /// Where that file is, or would be: it is read again when it changes.
    pub path: Option<Arc<Path>>,
    /// Time to live of registered records, in seconds.
    pub ttl_secs: u32,
    /// Time to live of negative answers in seconds, where no zone file says otherwise.
    pub negative_ttl_secs: u32,
    /// SRV weights are multiplied by this (256 for HAProxy, which divides by it) and cut at 65535.
    pub srv_weight_scale: u16,
    /// How names tell apps and their parts.
    pub names: Names,
    /// What it shows if it is a reverse zone; it serves no namespace then.
    pub reverse: Option<Reverse>,
}

/// How a zone's names tell apps and their parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Names {
    /// Our own way: `app`, `tag.app`, `_protocol._transport.app`.
    #[default]
    Rollcall,
    /// Consul's: `app.service`, `tag.app.service`, `_app._tcp.service`. Below `app.service` ours hold as well.
    Consul(ConsulNames),
}

impl Names {
    /// Longest name of a zone with such names, as [`ZONE_OCTETS_MAX`]: what stands behind an app's takes its place.
    #[must_use]
    pub fn zone_octets_max(&self) -> usize {
        match self {
            Self::Rollcall => ZONE_OCTETS_MAX,
            Self::Consul(_) => ZONE_OCTETS_MAX - SERVICE.len(),
        }
    }

    /// An app's name, relative to its zone.
    pub(super) fn relative(&self, app: &AppName) -> Box<[u8]> {
        let own = wire::relative(app);
        match self {
            Self::Rollcall => own,
            Self::Consul(_) => [&own, SERVICE].concat().into(),
        }
    }

    /// The app that has a relative name, if that is a name that an app may have.
    pub(super) fn app(&self, relative: &[u8]) -> Option<AppName> {
        match self {
            Self::Rollcall => wire::app(relative),
            Self::Consul(_) => wire::app(relative.strip_suffix(SERVICE)?),
        }
    }

    /// Whether SRV records stand at the names of tags too.
    pub(super) fn tags_have_srv(&self) -> bool {
        matches!(self, Self::Consul(_))
    }
}

/// What a reverse zone shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverse {
    /// The addresses.
    pub network: Network,
    /// The namespaces whose instances it names; none: all that have a zone.
    pub namespaces: Option<Vec<Namespace>>,
}

impl Reverse {
    /// Whether it names instances of that namespace.
    #[must_use]
    pub fn shows(&self, namespace: &Namespace) -> bool {
        self.namespaces.as_ref().is_none_or(|shown| shown.contains(namespace))
    }
}

impl ZoneSettings {
    /// The reverse zone of a network, with the built-in apex.
    #[must_use]
    pub fn reverse(network: Network, namespaces: Option<Vec<Namespace>>) -> Self {
        Self {
            name: network.zone(),
            namespace: None,
            reverse: Some(Reverse { network, namespaces }),
            ..Self::default()
        }
    }

    /// Whether it shows anything that is registered.
    #[must_use]
    pub fn shows_registered(&self) -> bool {
        self.namespace.is_some() || self.reverse.is_some()
    }
}

impl Default for ZoneSettings {
    /// `svc.` serving the default namespace, with the built-in apex.
    fn default() -> Self {
        Self {
            name: ZoneName::default(),
            namespace: Some(Namespace::default()),
            file: None,
            path: None,
            ttl_secs: TTL_SECS_DEFAULT,
            negative_ttl_secs: NEGATIVE_TTL_SECS_DEFAULT,
            srv_weight_scale: 1,
            names: Names::default(),
            reverse: None,
        }
    }
}

/// For local development: replaces on this server all that is registered for one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Where the app lives.
    pub namespace: Namespace,
    /// The app.
    pub app: AppName,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// What carries them.
    pub transport: Transport,
    /// Where they are; they get the ids `pin-1`, `pin-2`, and so on.
    pub endpoints: Vec<SocketAddr>,
}
