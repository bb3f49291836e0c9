//! Our own layout, under a configurable prefix that ends in `/`:
//!
//! ```text
//! {ns}/instances/{app}/{id}   JSON of the instance, bound to its lease
//! {ns}/departed/{app}/{id}    who, why, when; 60 s lease
//! {ns}/offline/{app}/{id}     an operator's mark on an instance; no lease
//! {ns}/offline/{app}/         an operator's mark on a whole app
//! _members/{server}           the revision that a server's answers show
//! ```
//!
//! Names are legal as written, or the key is rejected: mapping is for layouts whose writers never knew our
//! rules. Values carry `"v": 1`; unknown fields are ignored and absent ones defaulted, so that servers of
//! different ages share a registry; only a higher `v` is rejected.
//!
//! Knows nothing of the registry as a client.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Departure, Note, OfflineMark, Parsed, Registration};
use crate::model::{AppName, Instance, Label, Namespace, RawId, Spec, derived_label, map_label};
use crate::registry::{Entry, Origin};

/// The version of values that this code writes, and the highest it reads.
pub const VERSION: i64 = 1;
/// The prefix of those who configure none.
pub const PREFIX_DEFAULT: &str = "/rollcall/v1/";
/// The lease of a departure's note in seconds: long enough for a server that reconnects to still read it.
pub const DEPARTED_TTL_SECS: u32 = 60;

/// Keys under one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    /// Keys under that prefix, which gets its final `/` if it has none.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        let slash = if prefix.ends_with('/') { "" } else { "/" };
        Self { prefix: format!("{prefix}{slash}").into() }
    }

    /// The prefix, ending in `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// An instance's key.
    #[must_use]
    pub fn instance(&self, namespace: &Namespace, app: &AppName, id: &Label) -> Bytes {
        exact(format!("{}{namespace}/instances/{app}/{id}", self.prefix).into_bytes())
    }

    /// What the keys of all instances of an app begin with.
    #[must_use]
    pub fn instances(&self, namespace: &Namespace, app: &AppName) -> Bytes {
        format!("{}{namespace}/instances/{app}/", self.prefix).into()
    }

    /// The app that a key is about, if it is one of ours.
    #[must_use]
    pub fn app_of(&self, key: &str) -> Option<AppName> {
        let mut parts = key.strip_prefix(&*self.prefix)?.split('/');
        AppName::new(parts.nth(2)?).ok()
    }

    /// The namespace that a key is in, if it is one of ours.
    #[must_use]
    pub fn namespace_of(&self, key: &str) -> Option<Namespace> {
        Namespace::new(key.strip_prefix(&*self.prefix)?.split('/').next()?).ok()
    }

    /// The key of a departure.
    #[must_use]
    pub fn departed(&self, namespace: &Namespace, app: &AppName, id: &Label) -> Bytes {
        exact(format!("{}{namespace}/departed/{app}/{id}", self.prefix).into_bytes())
    }

    /// The key of an offline mark, on an instance or (without `id`) on the app.
    #[must_use]
    pub fn offline(&self, namespace: &Namespace, app: &AppName, id: Option<&Label>) -> Bytes {
        let id = id.map_or("", Label::as_str);
        exact(format!("{}{namespace}/offline/{app}/{id}", self.prefix).into_bytes())
    }

    /// What one entry under the prefix says.
    #[must_use]
    pub fn parse(&self, entry: &Entry) -> Parsed {
        self.read(entry).unwrap_or_else(|reason| Parsed::Rejected(reason.into()))
    }

    fn read(&self, entry: &Entry) -> Result<Parsed, String> {
        let key = std::str::from_utf8(&entry.key).map_err(|_| "key is not UTF-8".to_owned())?;
        let path = key
            .strip_prefix(&*self.prefix)
            .ok_or_else(|| format!("key is not under {}", self.prefix))?;
        if path.starts_with('_') {
            return Ok(Parsed::Bookkeeping);
        }
        let mut parts = path.split('/');
        let (Some(namespace), Some(kind), Some(app), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("key is not {namespace}/{kind}/{app}/{id}".to_owned());
        };
        if !matches!(kind, "instances" | "departed" | "offline") {
            return Err(format!("kind {kind:?} is not instances, departed or offline"));
        }
        let namespace: Namespace = as_written(namespace, "namespace")?;
        let app: AppName = as_written(app, "app")?;
        if kind == "offline" && id.is_empty() {
            let note = note(&entry.value)?;
            let (id, of) = (None, None);
            return Ok(Parsed::Offline(Arc::new(OfflineMark { namespace, app, id, of, note })));
        }
        let id: Label = as_written(id, "instance id")?;
        Ok(match kind {
            "instances" => {
                let instance = instance(&entry.value)?;
                let id = id.as_str().into();
                Parsed::Instance(Arc::new(Registration {
                    namespace,
                    app,
                    id,
                    origin: Origin::NATIVE,
                    disabled: false,
                    instance,
                }))
            }
            "offline" => {
                let (note, of) = (note(&entry.value)?, marked(&entry.value)?);
                if let Some(of) = &of
                    && mark_label(of) != id
                {
                    let label = mark_label(of);
                    return Err(format!("a mark of {of:?} is under {label}, not under {id}"));
                }
                let id = Some(id);
                Parsed::Offline(Arc::new(OfflineMark { namespace, app, id, of, note }))
            }
            _ => Parsed::Departed(Arc::new(Departure {
                namespace,
                app,
                id,
                note: note(&entry.value)?,
            })),
        })
    }
}

/// An instance's value.
///
/// # Panics
/// Never: a [`Spec`] has nothing that JSON can't hold.
#[must_use]
pub fn instance_value(instance: &Instance) -> Bytes {
    let spec = Spec { v: Some(VERSION), ..Spec::from(instance) };
    exact(serde_json::to_vec(&spec).expect("a spec is plain texts and numbers"))
}

/// The value of an instance that was copied from another system's key, which it names. Whoever registers it anew by our
/// own calls writes it without that.
///
/// # Panics
/// Never: a [`Spec`] has nothing that JSON can't hold.
#[must_use]
pub fn imported_value(instance: &Instance, from: &str) -> Bytes {
    let spec = Spec { v: Some(VERSION), ..Spec::from(instance) };
    exact(serde_json::to_vec(&Imported { spec, from }).expect("a spec is plain texts and numbers"))
}

/// What a value was copied from, if it was.
#[must_use]
pub fn imported_from(value: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct From {
        from: String,
    }
    serde_json::from_slice(value).ok().map(|From { from }| from)
}

/// What stands for an instance of another layout in the key of a mark: its own label may be another's tomorrow.
#[must_use]
pub fn mark_label(raw: &str) -> Label {
    let stem = map_label(raw.as_bytes());
    derived_label(stem.as_ref().map_or("i", Label::as_str), raw.as_bytes())
}

/// The value of an offline mark; `of` is the id of an instance of another layout.
///
/// # Panics
/// Never: a [`Note`] has nothing that JSON can't hold.
#[must_use]
pub fn mark_value(note: &Note, of: Option<&str>) -> Bytes {
    let stored = Mark { stored: Stored { v: VERSION, note }, of };
    exact(serde_json::to_vec(&stored).expect("a note is plain texts"))
}

/// The value of a departure.
///
/// # Panics
/// Never: a [`Note`] has nothing that JSON can't hold.
#[must_use]
pub fn note_value(note: &Note) -> Bytes {
    exact(serde_json::to_vec(&Stored { v: VERSION, note }).expect("a note is plain texts"))
}

/// Octets without the room that they grew into: a registry in memory keeps them for as long as the key is there.
fn exact(octets: Vec<u8>) -> Bytes {
    octets.into_boxed_slice().into()
}

/// An instance and where it was copied from.
#[derive(Serialize)]
struct Imported<'f> {
    #[serde(flatten)]
    spec: Spec,
    from: &'f str,
}

/// A note with its version.
#[derive(Serialize)]
struct Stored<'n> {
    v: i64,
    #[serde(flatten)]
    note: &'n Note,
}

/// A mark with what it is on.
#[derive(Serialize)]
struct Mark<'n> {
    #[serde(flatten)]
    stored: Stored<'n>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'n str>,
}

/// What every value says first; one that says nothing is of the version that we read.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    v: i64,
}

/// Takes a name only as it would be written back: a key in upper case would otherwise stand for two.
fn as_written<N: std::str::FromStr<Err: std::fmt::Display> + std::borrow::Borrow<str>>(
    text: &str,
    what: &str,
) -> Result<N, String> {
    let name: N = text.parse().map_err(|rule| format!("{what} {text:?} {rule}"))?;
    if name.borrow() == text { Ok(name) } else { Err(format!("{what} {text:?} has upper case")) }
}

fn instance(value: &[u8]) -> Result<Instance, String> {
    let spec: Spec = readable(value)?;
    spec.resolve(None).map_err(|error| error.to_string())
}

fn note(value: &[u8]) -> Result<Note, String> {
    if value.is_empty() {
        return Ok(Note::default());
    }
    readable::<Note>(value)
}

/// The instance of another layout that a mark is on.
fn marked(value: &[u8]) -> Result<Option<RawId>, String> {
    #[derive(Default, Deserialize)]
    struct Marked {
        #[serde(default)]
        of: Option<Box<str>>,
    }

    if value.is_empty() {
        return Ok(None);
    }
    let Marked { of } = readable(value)?;
    Ok(of.map(|of| (*of).into()))
}

/// Reads a value. The version comes first: a higher one may well have fields that we can't read.
fn readable<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let unreadable = |error| format!("value is not readable: {error}");
    // serde would take an array too, for the fields in the order in which they stand here.
    if value.trim_ascii_start().starts_with(b"[") {
        return Err("value is not readable: an array, not an object".to_owned());
    }
    let Versioned { v } = serde_json::from_slice(value).map_err(unreadable)?;
    if v > VERSION {
        return Err(format!("value has version {v}, this server reads up to {VERSION}"));
    }
    let json = &mut serde_json::Deserializer::from_slice(value);
    serde_path_to_error::deserialize(json).map_err(|error| {
        match error.path().to_string().as_str() {
            "." => unreadable(error.into_inner()),
            path => format!("{path} is not readable: {}", error.inner()),
        }
    })
}

#[cfg(test)]
mod tests;
