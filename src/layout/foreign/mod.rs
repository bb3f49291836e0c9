//! Layouts of other systems, read from etcd as their clients write them: each is chosen by a few lines of
//! configuration, any number at once.
//!
//! ```text
//! key, value --a system's own file--> Found --names mapped, limits held--> Registration
//! ```
//!
//! A file for each system says what its keys and values mean, with the source of that; what is common to all is here and
//! in `found` and `place`. What can't be read is rejected with the reason, and hides nothing else (law 4,
//! docs/architecture.md).
//!
//! Knows nothing of registries as clients, of DNS, of the clock.

mod found;
mod place;
mod registrator;
mod system;
mod url;

use std::sync::Arc;

pub use self::place::Host;
pub use self::system::System;

use self::found::Found;
use super::Parsed;
use crate::model::Namespace;
use crate::registry::Entry;

/// One foreign layout: whose keys, where they are, and where their apps are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Whose.
    pub system: System,
    /// What all its keys begin with.
    pub prefix: Arc<str>,
    /// The namespace that its apps are in.
    pub namespace: Namespace,
}

/// What one key says.
enum Read {
    /// An instance is there.
    Instance(Box<Found>),
    /// A key that the system needs and that stands for no instance, such as a parent folder.
    Nothing,
}

/// A key and its value, as a system's file gets them.
#[derive(Debug, Clone, Copy)]
struct Record<'a> {
    /// What the keys of the layout begin with.
    prefix: &'a str,
    /// The key behind that.
    path: &'a str,
    value: &'a [u8],
    /// Whether it ends with a lease: some systems take a key without one for dead.
    leased: bool,
}

impl Foreign {
    /// What one entry says.
    #[must_use]
    pub fn parse(&self, entry: &Entry) -> Parsed {
        self.read(entry).unwrap_or_else(|reason| Parsed::Rejected(reason.into()))
    }

    fn read(&self, entry: &Entry) -> Result<Parsed, String> {
        let key = std::str::from_utf8(&entry.key).map_err(|_| "key is not UTF-8".to_owned())?;
        let path = key
            .strip_prefix(&*self.prefix)
            .ok_or_else(|| format!("key is not under {}", self.prefix))?;
        let record = Record {
            prefix: &self.prefix,
            path,
            value: &entry.value,
            leased: entry.lease.is_some(),
        };
        Ok(match self.system.read(record)? {
            Read::Instance(found) => {
                Parsed::Instance(Arc::new(found.registration(&self.namespace)?))
            }
            Read::Nothing => Parsed::Bookkeeping,
        })
    }
}

impl<'a> Record<'a> {
    /// The last two parts of the key: an app is the folder that its instances are in. Where the prefix is that folder, it
    /// names the app.
    fn app_and_id(&self) -> Result<(&'a str, &'a str), String> {
        let (folder, id) = self.path.rsplit_once('/').unwrap_or((self.prefix, self.path));
        let app = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if app.is_empty() {
            return Err("key is in no folder that would name an app".to_owned());
        }
        if id.is_empty() { Err("key ends where an id should be".to_owned()) } else { Ok((app, id)) }
    }

    /// The value as text.
    fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.value).map_err(|_| "value is not UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::LeaseId;

    /// What a key with a lease says: the app, the id, where it is, what it offers; or why it is rejected.
    pub(super) fn told(system: System, prefix: &str, key: &str, value: &str) -> String {
        told_as(system, prefix, key, value, true)
    }

    /// The same, with or without a lease.
    pub(super) fn told_as(
        system: System,
        prefix: &str,
        key: &str,
        value: &str,
        leased: bool,
    ) -> String {
        let namespace = Namespace::default();
        let layout = Foreign { system, prefix: prefix.into(), namespace };
        let entry = Entry {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            revision: 1,
            lease: LeaseId::new(7).filter(|_| leased),
        };
        match layout.parse(&entry) {
            Parsed::Instance(registration) => {
                let instance = &registration.instance;
                let addresses = instance.addresses.iter().map(ToString::to_string);
                let hosts: Vec<String> =
                    addresses.chain(instance.host.iter().map(ToString::to_string)).collect();
                let mut told =
                    format!("{} {} {}", registration.app, registration.id, hosts.join(","));
                for endpoint in &instance.endpoints {
                    told += &format!(
                        " _{}._{}:{}",
                        endpoint.protocol, endpoint.transport, endpoint.port
                    );
                    for address in &endpoint.addresses {
                        told += &format!("@{address}");
                    }
                }
                if instance.weight != crate::model::limits::WEIGHT_DEFAULT {
                    told += &format!(" weight={}", instance.weight);
                }
                for tag in &instance.tags {
                    told += &format!(" #{tag}");
                }
                for (key, value) in &instance.meta {
                    told += &format!(" {key}={value}");
                }
                told + if registration.disabled { " disabled" } else { "" }
            }
            Parsed::Bookkeeping => "nothing".to_owned(),
            Parsed::Rejected(reason) => format!("rejected: {reason}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn keys_outside_the_prefix_or_without_an_app_are_rejected() {
        let told = |prefix, key| told(System::Url, prefix, key, "http://10.0.0.1:80");
        assert_eq!(told("/x/", "/y/a"), "rejected: key is not under /x/");
        assert_eq!(told("", "a"), "rejected: key is in no folder that would name an app");
        assert_eq!(told("/", "/a"), "rejected: key is in no folder that would name an app");
        assert_eq!(told("/x/", "/x/"), "rejected: key ends where an id should be");
        assert_eq!(told("/x/", "/x/b/a"), "b a 10.0.0.1 _http._tcp:80");
    }
}
