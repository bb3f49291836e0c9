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

mod dubbo;
mod found;
mod go_micro;
mod go_zero;
mod grpc;
mod kratos;
pub mod nova;
mod place;
mod registrator;
mod skydns;
mod system;
mod url;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use self::found::protocol_of;
pub use self::place::Host;
pub use self::system::System;

use self::found::Found;
use super::{Parsed, PlainRecord};
use crate::model::Namespace;
use crate::registry::{Entry, Origin};

/// Characters of a reason: it quotes what was written, and that may be a megabyte.
const REASON_CHARS_MAX: usize = 300;

/// One foreign layout: whose keys, where they are, and where their apps are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its number among all that are read.
    pub origin: Origin,
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
    /// A record is there that is no instance.
    Plain(Box<PlainRecord>),
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
        self.read(entry).unwrap_or_else(|reason| match self.system {
            // What can't be read is somebody else's, and not to be quoted. Zan's keys have a form of their own, by which
            // what others have there has been let be already.
            system if is_everything(&self.prefix) && system != System::Nova => Parsed::Bookkeeping,
            _ => Parsed::Rejected(reason_line(&reason).into()),
        })
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
        Ok(match self.system.read(record, &self.namespace)? {
            Read::Instance(found) => {
                Parsed::Instance(Arc::new(found.registration(self.origin, &self.namespace)?))
            }
            Read::Plain(plain) => Parsed::Plain(plain.into()),
            Read::Nothing => Parsed::Bookkeeping,
        })
    }
}

/// Whether keys of everybody begin with that.
pub fn is_everything(prefix: &str) -> bool {
    matches!(prefix, "" | "/")
}

/// A reason in one line, cut: what it quotes was written by anybody.
#[must_use]
pub fn reason_line(reason: &str) -> String {
    let mut chars = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = chars.by_ref().take(REASON_CHARS_MAX).collect();
    if chars.next().is_some() {
        line.push_str("...");
    }
    line
}

impl<'a> Record<'a> {
    /// The app and the id of a key `{prefix}{app}/{id}`, or `{prefix}{id}` where the prefix is the app's folder. A folder
    /// between the two would tell apps of one name apart, which is what a layout for each is for.
    fn app_and_id(&self) -> Result<(&'a str, &'a str), String> {
        let (app, id) = self.folder_and_id()?;
        let above = self.path.rsplit_once('/').and_then(|(folders, _)| folders.rsplit_once('/'));
        match above {
            None => Ok((app, id)),
            Some((folder, _)) => {
                let prefix = self.prefix;
                Err(format!(
                    "key is deeper than {{app}}/{{id}} below {prefix:?}: give \"{prefix}{folder}/\" a [[layout]] of its own"
                ))
            }
        }
    }

    /// The last two parts of the key, however deep they are; where the prefix is the folder, its name.
    fn folder_and_id(&self) -> Result<(&'a str, &'a str), String> {
        let (folder, id) = self.path.rsplit_once('/').unwrap_or((self.prefix, self.path));
        let folder = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if folder.is_empty() {
            return Err("key is in no folder that would name an app".to_owned());
        }
        if id.is_empty() {
            return Err("key ends where an id should be".to_owned());
        }
        Ok((folder, id))
    }

    /// The value as text.
    fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.value).map_err(|_| "value is not UTF-8".to_owned())
    }

    /// The value as a JSON object.
    fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        // serde would take an array too, for the fields in the order in which they stand.
        if self.value.trim_ascii_start().starts_with(b"[") {
            return Err("value is not readable: an array, not an object".to_owned());
        }
        let unreadable = |error: serde_json::Error| format!("value is not readable: {error}");
        let json = &mut serde_json::Deserializer::from_slice(self.value);
        let read = serde_path_to_error::deserialize(&mut *json).map_err(|error| {
            match error.path().to_string().as_str() {
                // Where the text itself is broken, a path would only say how far it was read.
                path if path != "." && error.inner().is_data() => {
                    format!("{path} is not readable: {}", error.inner())
                }
                _ => unreadable(error.into_inner()),
            }
        })?;
        json.end().map_err(unreadable)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::limits;
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
        let origin = Origin(1);
        let layout = Foreign { origin, system, prefix: prefix.into(), namespace };
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
                if instance.weight != limits::WEIGHT_DEFAULT {
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
            Parsed::Plain(record) => plain(&record),
            Parsed::Bookkeeping => "nothing".to_owned(),
            Parsed::Rejected(reason) => format!("rejected: {reason}"),
            other => format!("{other:?}"),
        }
    }

    fn plain(record: &PlainRecord) -> String {
        let PlainRecord { name, host, port, priority, weight, .. } = record;
        let host = host.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let mut told = format!("{name} {host}{port} {priority} {weight}");
        told += &record.ttl_secs.map_or_else(String::new, |secs| format!(" ttl={secs}"));
        told += &record.text.as_ref().map_or_else(String::new, |text| format!(" {text:?}"));
        told += if record.mail { " mail" } else { "" };
        if record.target_strip > 0 {
            told += &format!(" strip={}", record.target_strip);
        }
        told += &record.group.as_ref().map_or_else(String::new, |group| format!(" group={group}"));
        told + &record.derived.as_ref().map_or_else(String::new, |name| format!(" or {name}"))
    }

    /// Spoils a key behind its prefix and a value in many ways: each is read, or rejected in one line.
    pub(super) fn spoil(system: System, prefix: &str, key: &str, value: &str) {
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 0..4);
        let input = (changes, any::<prop::sample::Index>(), any::<bool>());
        proptest!(|((changes, length, cut) in input)| {
            let spoilt = |text: &str| {
                let mut chars: Vec<char> = text.chars().collect();
                for (at, c) in &changes {
                    *at.get_mut(&mut chars) = *c;
                }
                chars.truncate(if cut { length.index(chars.len()) } else { chars.len() });
                String::from_iter(chars)
            };
            let path = spoilt(key.strip_prefix(prefix).unwrap());
            for (key, value) in
                [([prefix, &path].concat(), value.to_owned()), (key.to_owned(), spoilt(value))]
            {
                let told = told(system, prefix, &key, &value);
                let one_line = !told.contains(char::is_control);
                prop_assert!(one_line || !told.starts_with("rejected: "), "{told:?}");
            }
        });
    }

    #[test]
    fn keys_outside_the_prefix_or_without_an_app_are_rejected() {
        let told = |prefix, key| told(System::Url, prefix, key, "http://10.0.0.1:80");
        assert_eq!(told("/x/", "/y/a"), "rejected: key is not under /x/");
        assert_eq!(told("/x/", "/x//a"), "rejected: key is in no folder that would name an app");
        assert_eq!(told("/x/", "/x/"), "rejected: key ends where an id should be");
        assert_eq!(told("/x/", "/x/b/a"), "b a 10.0.0.1 _http._tcp:80");
    }

    #[test]
    fn apps_of_one_name_in_different_folders_are_kept_apart() {
        for (system, value) in [
            (System::Grpc, r#"{"Addr":"10.0.0.1:80"}"#),
            (System::GoZero, "10.0.0.1:80"),
            (System::GoMicro, r#"{"nodes":[{"address":"10.0.0.1:80"}]}"#),
            (System::Registrator, "10.0.0.1:80"),
            (System::Url, "http://10.0.0.1:80"),
        ] {
            for (key, folder) in [("x/prod/greet/1", "x/prod/"), ("x/a/b/greet/1", "x/a/b/")] {
                assert_eq!(
                    told(system, "x/", key, value),
                    format!(
                        "rejected: key is deeper than {{app}}/{{id}} below \"x/\": give \"{folder}\" a [[layout]] of its own"
                    ),
                    "{system}"
                );
                for prefix in [folder.to_owned(), format!("{folder}greet/")] {
                    let told = told(system, &prefix, key, value);
                    assert!(told.starts_with("greet 1 10.0.0.1 "), "{system} {prefix}: {told}");
                }
            }
        }
    }

    #[test]
    fn a_reader_of_everything_lets_be_what_it_can_not_read() {
        for prefix in ["", "/"] {
            let told =
                |key: &str, value| told(System::GoZero, prefix, &[prefix, key].concat(), value);
            assert_eq!(told("user.rpc/1", "10.0.0.1:80"), "user.rpc 1 10.0.0.1 _grpc._tcp:80");
            for (key, value) in [
                ("user.rpc/1", "a secret"),
                ("user.rpc/1", "0.0.0.0:80"),
                ("a/b/c", "10.0.0.1:80"),
                ("a", "10.0.0.1:80"),
            ] {
                assert_eq!(told(key, value), "nothing", "{prefix}{key} {value}");
            }
        }
        let zan = told(System::Nova, "/", "/nova:com.youzan.service/a/10.0.0.1:80", "a secret");
        assert!(zan.starts_with("rejected: "), "{zan}");
    }

    /// Values of all systems, to be spoilt.
    const VALUES: [&str; 7] = [
        r#"{"host":"10.0.0.12","port":8080,"priority":10,"weight":50,"ttl":60,"text":"zone=a","targetstrip":1}"#,
        r#"{"Namespace":"com.youzan.service","SrvName":"a","IP":"10.9.42.107","Port":8100,"Protocol":"nova","Status":1,"Weight":100,"ExtData":"[{\"language\":\"php\"}]"}"#,
        r#"{"name":"a","version":"1","nodes":[{"id":"a-1","address":"10.0.0.12:41233","metadata":{"protocol":"grpc"}}]}"#,
        "grpc://10.0.0.1:9000?isSecure=false",
        r#"{"Op":0,"Addr":"10.0.0.5:9000","Metadata":{"weight":10}}"#,
        r#"{"name":"a","version":"1","metadata":{"weight":"9"},"endpoints":["http://10.0.0.8:8000?isSecure=true","grpc://[fd00::8]:9000"]}"#,
        r#"{"Host":"10.0.0.5","Port":20000,"Weight":3,"Tag":"t","Metadata":{"dubbo.endpoints":"[{\"port\":1,\"protocol\":\"tri\"}]"}}"#,
    ];
    /// Keys of all systems, to be spoilt.
    const KEYS: [&str; 5] = [
        "/nova:com.youzan.service/a/10.9.42.107:8100",
        "a/b",
        "/services/a/10.0.0.5:20000",
        "/dubbo/com.x.A%24B/providers/dubbo%3A%2F%2F10.0.0.5%3A20000%2Fcom.x.A%3Fweight%3D7%26group%3Da%2Bb",
        "a",
    ];

    /// One of the texts with a few of its octets replaced, or any at all.
    fn spoilt(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let change = (any::<prop::sample::Index>(), any::<u8>());
        let spoilt = (prop::sample::select(texts), prop::collection::vec(change, 0..3));
        let spoilt = spoilt.prop_map(|(text, changes)| {
            let mut octets = text.as_bytes().to_vec();
            for (at, octet) in changes {
                let at = at.index(octets.len());
                octets[at] = octet;
            }
            octets
        });
        prop_oneof![4 => spoilt, 1 => prop::collection::vec(any::<u8>(), 0..40)]
    }

    proptest! {
        #[test]
        fn any_entry_is_read_within_limits_or_rejected(
            system in prop::sample::select(System::ALL.to_vec()),
            prefix in prop::sample::select(vec!["", "/", "/dubbo/"]),
            key in spoilt(&KEYS),
            value in spoilt(&VALUES),
        ) {
            let (origin, namespace) = (Origin(1), Namespace::default());
            let layout = Foreign { origin, system, prefix: prefix.into(), namespace };
            let entry = Entry { key: key.into(), value: value.into(), revision: 1, lease: None };
            if let Parsed::Instance(registration) = layout.parse(&entry) {
                let instance = &registration.instance;
                prop_assert!(!registration.id.is_empty());
                prop_assert!(instance.addresses.is_empty() == instance.host.is_some());
                prop_assert!((1..=limits::ENDPOINTS_MAX).contains(&instance.endpoints.len()));
                prop_assert!(instance.addresses.len() <= limits::ADDRESSES_MAX);
                prop_assert!(instance.tags.len() <= limits::TAGS_MAX);
                prop_assert!(instance.meta.len() <= limits::META_PAIRS_MAX);
            }
        }
    }

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        let value = format!("{}://a\nb", "x".repeat(1_000_000));
        let reason = told(System::Url, "/x/", "/x/b/a", &value);
        let reason = reason.strip_prefix("rejected: ").unwrap();
        assert_eq!(reason.len(), REASON_CHARS_MAX + "...".len());
        assert_eq!(reason_line("field a\nb"), "field a b");
        assert_eq!(reason_line(&"ü".repeat(REASON_CHARS_MAX)), "ü".repeat(REASON_CHARS_MAX));
    }
}
