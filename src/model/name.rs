//! Legal names: labels of a-z, 0-9 and inner `-`, 1 to 63 octets (RFC 1035 section 2.3.1, RFC 1123
//! section 2.1), folded to lower case; apps and namespaces are labels joined by dots.
//!
//! The limits are chosen so that every name derived from legal parts fits the 255 octets of a DNS name
//! (RFC 1035 section 2.3.4): app 120, zone 45, protocol 15, a label 63, `_sctp` and the root.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use smol_str::SmolStr;

/// Why a text is not a legal name. Each variant is one rule, and says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than its kind of name may be.
    #[error("is {got} octets long, at most {max} are allowed")]
    TooLong {
        /// Its length in octets.
        got: usize,
        /// The limit in octets.
        max: usize,
    },
    /// One label of several is empty: two dots together, or one at an end.
    #[error("has an empty label")]
    EmptyLabel,
    /// One label is longer than 63 octets (RFC 1035 section 2.3.4).
    #[error("has a label of {0} octets, at most 63 are allowed")]
    LabelTooLong(usize),
    /// A character outside a-z, 0-9, `-` (and `.` between labels).
    #[error("has {0:?}, only a-z, 0-9 and inner '-' are allowed")]
    BadCharacter(char),
    /// A label begins or ends with `-`.
    #[error("has a label that begins or ends with '-'")]
    EdgeHyphen,
    /// A protocol name without any letter (RFC 6335 section 5.1).
    #[error("needs at least one letter")]
    NoLetter,
    /// A protocol name with `--` in it (RFC 6335 section 5.1).
    #[error("has two hyphens together")]
    DoubleHyphen,
}

/// Longest label, in octets (RFC 1035 section 2.3.4).
pub(super) const LABEL_OCTETS_MAX: usize = 63;
/// Longest app name, in octets of its text.
pub(super) const APP_OCTETS_MAX: usize = 120;
/// Longest protocol name, in octets (RFC 6335 section 5.1).
pub(super) const PROTOCOL_OCTETS_MAX: usize = 15;
/// Longest namespace, in octets of its text: it is a key segment only, never part of a DNS name.
pub(super) const NAMESPACE_OCTETS_MAX: usize = 120;

/// One legal DNS label, lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(SmolStr);

/// A service's name: one or more labels joined by dots, at most 120 octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(SmolStr);

/// A set of apps kept apart: one or more labels joined by dots.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(SmolStr);

/// What an endpoint speaks, without its underscore: `nova`, `http`. At most 15 octets (RFC 6335 section 5.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(SmolStr);

/// An instance's id as its layout writes it: a legal label in our own, any text in others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawId(SmolStr);

impl RawId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for RawId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str>> From<T> for RawId {
    fn from(text: T) -> Self {
        Self(text.as_ref().into())
    }
}

impl fmt::Display for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Label {
    /// Takes a label as written, folding upper case.
    ///
    /// # Errors
    /// The first rule on names that the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_length(text, LABEL_OCTETS_MAX)?;
        check_label(text)?;
        Ok(Self(fold(text)))
    }

    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AppName {
    /// Takes an app's name as written, folding upper case.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_dotted(text, APP_OCTETS_MAX)?;
        Ok(Self(fold(text)))
    }

    /// The name's text, without a final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, first to last.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The app one label above: `greeter` for `b.greeter`.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_once('.')?;
        Some(Self(rest.into()))
    }

    /// The name one label below, if it is still a legal app name.
    #[must_use]
    pub fn child(&self, label: &str) -> Option<Self> {
        Self::new(&format!("{label}.{self}")).ok()
    }
}

impl Namespace {
    /// The namespace of those who name none.
    pub const DEFAULT: &'static str = "default";

    /// Takes a namespace as written, folding upper case.
    ///
    /// # Errors
    /// The first rule that the text breaks. That no namespace begins with `_` (those are the
    /// registry's own) follows from the character rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_dotted(text, NAMESPACE_OCTETS_MAX)?;
        Ok(Self(fold(text)))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl Protocol {
    /// The protocol of those who name none.
    pub const DEFAULT: &'static str = "nova";

    /// Takes a protocol as written, folding upper case. One leading underscore is dropped, since
    /// people copy it from the DNS name.
    ///
    /// # Errors
    /// The first rule of RFC 6335 section 5.1 that the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let text = text.strip_prefix('_').unwrap_or(text);
        check_length(text, PROTOCOL_OCTETS_MAX)?;
        check_label(text)?;
        if !text.bytes().any(|b| b.is_ascii_alphabetic()) {
            return Err(NameError::NoLetter);
        }
        if text.contains("--") {
            return Err(NameError::DoubleHyphen);
        }
        Ok(Self(fold(text)))
    }

    /// The protocol's text, without the underscore.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

/// The id of an instance that brings none: `<address or host>-<port>`, dots and colons as `-`, with a
/// `0` in front where that would begin with `-`. IPv6 addresses are written in RFC 5952's form.
#[must_use]
pub fn default_id(address: IpAddr, port: u16) -> Label {
    let text: String = format!("{address}-{port}")
        .chars()
        .map(|c| if matches!(c, '.' | ':') { '-' } else { c })
        .collect();
    let text = if text.starts_with('-') { format!("0{text}") } else { text };
    // At most 1 + 45 + 6 octets of hex digits and hyphens that ends in a digit: always a legal label.
    Label(text.into())
}

fn check_length(text: &str, max: usize) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        got if got > max => Err(NameError::TooLong { got, max }),
        _ => Ok(()),
    }
}

fn check_dotted(text: &str, max: usize) -> Result<(), NameError> {
    check_length(text, max)?;
    text.split('.').try_for_each(check_label)
}

fn check_label(label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if let Some(bad) = label.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-')) {
        return Err(NameError::BadCharacter(bad));
    }
    if label.len() > LABEL_OCTETS_MAX {
        return Err(NameError::LabelTooLong(label.len()));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::EdgeHyphen);
    }
    Ok(())
}

fn fold(text: &str) -> SmolStr {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

macro_rules! text_type {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(|rule| serde::de::Error::custom(format_args!("{text:?} {rule}")))
            }
        }
    )*};
}

text_type!(Label, AppName, Namespace, Protocol);

#[cfg(test)]
mod tests;
