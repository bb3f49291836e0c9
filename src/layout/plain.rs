//! A record that is no instance of an app: it has a name of its own, given in full, and what stands there.
//!
//! Layouts of DNS servers have such ([`super::foreign`], SkyDNS). Which zone a name lies in, and what it answers together
//! with the records below it, is the zone's to say.
//!
//! Knows nothing of zones and messages.

use std::fmt;
use std::sync::Arc;

use super::foreign::Host;
use crate::model::Namespace;

/// Octets of the longest name in text (RFC 1035 section 2.3.4).
const NAME_OCTETS_MAX: usize = 253;
/// Octets of the longest label.
const LABEL_OCTETS_MAX: usize = 63;

/// A record under a name of its own. It says at least one of host and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainRecord {
    /// Whose zones have it.
    pub namespace: Namespace,
    /// Its name.
    pub name: FullName,
    /// Its name where another record has that one: only of a key with characters that names do not have.
    pub derived: Option<FullName>,
    /// Who is there.
    pub host: Option<Host>,
    /// On which port; none: it is no service.
    pub port: Option<u16>,
    /// SRV priority, or preference of mail.
    pub priority: u16,
    /// SRV weight.
    pub weight: u16,
    /// What is told of it.
    pub text: Option<Arc<str>>,
    /// The text only notes for its writer who that is.
    pub is_note: bool,
    /// The host takes mail.
    pub mail: bool,
    /// Time to live in seconds, where it says one.
    pub ttl_secs: Option<u32>,
    /// How many labels of its name SRV and MX records leave out where they point to that.
    pub target_strip: usize,
    /// Names above it show one group only.
    pub group: Option<Arc<str>>,
}

/// A domain name in text: labels of a-z, 0-9, `-` and `_` joined by dots, without a dot at the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName(Arc<str>);

impl FullName {
    /// The name with these labels.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn new<'l>(labels: impl IntoIterator<Item = &'l str>) -> Result<Self, String> {
        let mut text = String::new();
        for label in labels {
            if !is_label(label) {
                return Err(format!("{label:?} is no label of a name"));
            }
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(label);
        }
        match text.len() {
            0 => Err("it has no name".to_owned()),
            octets if octets > NAME_OCTETS_MAX => {
                Err(format!("name has {octets} octets, at most {NAME_OCTETS_MAX} are allowed"))
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its labels, first to last.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }
}

/// Whether a text is a label as it stands: names of services and of containers have underscores, and those who ask for
/// them write those.
pub(super) fn is_label(text: &str) -> bool {
    (1..=LABEL_OCTETS_MAX).contains(&text.len())
        && text.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_labels_that_dns_can_carry() {
        let name = |text: &str| FullName::new(text.split('.')).map(|name| name.to_string());
        assert_eq!(name("_http._tcp.a-1.example"), Ok("_http._tcp.a-1.example".to_owned()));
        for bad in ["", "a..b", "A", "a b", "ü", &"a".repeat(64)] {
            assert!(name(bad).unwrap_err().contains("is no label"), "{bad}");
        }
        assert_eq!(FullName::new([]), Err("it has no name".to_owned()));
        assert!(name(&["a"; 127].join(".")).is_ok());
        let long = name(&["a"; 128].join(".")).unwrap_err();
        assert_eq!(long, "name has 255 octets, at most 253 are allowed");
    }
}
