//! The names of a zone whose apps are found as Consul's DNS has them (hashicorp/consul, "DNS static lookups").
//!
//! ```text
//! app.service                    app's addresses; SRV: its endpoints
//! tag.app.service                those with that tag
//! _app._tcp.service              the same as app.service
//! _app._tag.service              the same as tag.app.service
//! … .service.dc1  … .service.dc1.dc       the same of this datacenter
//! ```
//!
//! An app's block is that of the name `app.service`, and what is below it is as in any zone; all other forms are
//! other ways to write such a name. Consul's nodes, its names for addresses and its prepared queries have none here.
//!
//! Knows nothing of apps.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::wire;
use crate::model::Label;

/// What stands behind an app's name, as a label in wire form.
pub(super) const SERVICE: &[u8] = b"\x07service";
/// What may stand behind a datacenter.
const DATACENTER: &[u8] = b"dc";
/// In the place of a tag: any.
const ANY_TAG: &[u8] = b"tcp";
/// Octets of the longest name.
const NAME_OCTETS_MAX: usize = 255;

/// Consul's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulNames {
    /// The datacenter that names may say they are of: all that is registered.
    pub datacenter: Label,
}

impl Default for ConsulNames {
    fn default() -> Self {
        Self { datacenter: Label::new("dc1").expect("dc1 is a label") }
    }
}

/// Room for a name that is written otherwise than it was asked for.
pub(super) struct Room([u8; NAME_OCTETS_MAX]);

/// What a relative name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant<'n> {
    /// A name in the way that apps' blocks have them.
    Name(&'n [u8]),
    /// Other names are below it.
    Between,
    /// Nothing.
    Nothing,
}

impl Room {
    pub(super) fn new() -> Self {
        Self([0; NAME_OCTETS_MAX])
    }
}

impl ConsulNames {
    /// What a relative name stands for.
    pub(super) fn read<'n>(&self, relative: &'n [u8], room: &'n mut Room) -> Meant<'n> {
        let name = self.without_datacenter(relative);
        if name.is_empty() {
            return Meant::Between;
        }
        let Some(front) = name.strip_suffix(SERVICE) else { return Meant::Nothing };
        match service(front) {
            None => Meant::Name(name),
            // Whatever tags there are, they are below.
            Some((_, None)) => Meant::Name(SERVICE),
            Some((app, Some(tag))) => {
                let tag = Some(tag).filter(|tag| *tag != ANY_TAG);
                room.write(tag.into_iter().chain([app])).map_or(Meant::Nothing, Meant::Name)
            }
        }
    }

    /// The name without the datacenter at its end, if it says this one.
    fn without_datacenter<'n>(&self, relative: &'n [u8]) -> &'n [u8] {
        let is_own = |label: &[u8]| label == self.datacenter.as_str().as_bytes();
        match last(relative) {
            Some((front, DATACENTER)) => match last(front) {
                Some((front, label)) if is_own(label) => front,
                None => &[],
                Some(_) if is_own(DATACENTER) => front,
                Some(_) => relative,
            },
            Some((front, label)) if is_own(label) => front,
            _ => relative,
        }
    }
}

/// The labels of an app and of a tag in the form of a service, without their underscores: `_app._tag`, or `_tag` alone.
fn service(front: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let bare = |label: &'_ [u8]| label.starts_with(b"_");
    let (first, behind) = wire::split(front)?;
    let first = first.strip_prefix(b"_")?;
    match wire::split(behind) {
        None => Some((first, None)),
        Some((second, [])) if bare(second) => Some((first, second.strip_prefix(b"_"))),
        Some(_) => None,
    }
}

/// A name's last label and what is in front of it.
fn last(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = name;
    while let Some((label, behind)) = wire::split(rest) {
        if behind.is_empty() {
            return Some((name.get(..name.len() - rest.len())?, label));
        }
        rest = behind;
    }
    None
}

impl Room {
    /// Those labels, and then what stands behind an app's name; none where one of them is no label of an app.
    fn write<'l>(&mut self, labels: impl Iterator<Item = &'l [u8]>) -> Option<&[u8]> {
        let mut at = 0;
        let mut push = |octets: &[u8]| {
            let place = self.0.get_mut(at..)?.get_mut(..octets.len())?;
            place.copy_from_slice(octets);
            at += octets.len();
            Some(())
        };
        for label in labels {
            if label.is_empty() || label.starts_with(b"_") {
                return None;
            }
            push(&[u8::try_from(label.len()).ok()?])?;
            push(label)?;
        }
        push(SERVICE)?;
        self.0.get(..at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let mut name = Vec::new();
        text.split('.')
            .filter(|label| !label.is_empty())
            .for_each(|label| wire::push_label(&mut name, label.as_bytes()));
        name
    }

    fn read(consul: &ConsulNames, text: &str) -> String {
        let mut room = Room::new();
        match consul.read(&name(text), &mut room) {
            Meant::Name(meant) => {
                let labels =
                    std::iter::successors(wire::split(meant), |(_, rest)| wire::split(rest));
                let labels: Vec<_> =
                    labels.map(|(label, _)| label.escape_ascii().to_string()).collect();
                labels.join(".")
            }
            Meant::Between => "between".to_owned(),
            Meant::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn all_forms_are_ways_to_write_the_name_of_a_block() {
        let consul = ConsulNames::default();
        for (asked, meant) in [
            ("web.service", "web.service"),
            ("v2.web.service", "v2.web.service"),
            ("_nova._tcp.i-1.web.service", "_nova._tcp.i-1.web.service"),
            ("_nova._tcp.web.service", "_nova._tcp.web.service"),
            ("_web._tcp.service", "web.service"),
            ("_web._v2.service", "v2.web.service"),
            ("_web._udp.service", "udp.web.service"),
            ("_web._tcp.service.dc1", "web.service"),
            ("web.service.dc1", "web.service"),
            ("web.service.dc1.dc", "web.service"),
            ("service.dc1", "service"),
            ("service", "service"),
            ("_tcp.service", "service"),
            ("_web.service.dc1.dc", "service"),
            ("dc1", "between"),
            ("dc1.dc", "between"),
            ("dc", "between"),
            ("web.service.dc2", "nothing"),
            ("web.service.dc", "nothing"),
            ("web.service.dc1.dc1", "nothing"),
            ("web", "nothing"),
            ("n1.node.dc1", "nothing"),
            ("_._tcp.service", "nothing"),
            ("_web._.service", "nothing"),
            ("__web._tcp.service", "nothing"),
            ("_web.__tcp.service", "nothing"),
            ("_a.web.service", "_a.web.service"),
            // The octets agree, but no label begins there.
            ("xservice", "nothing"),
        ] {
            assert_eq!(read(&consul, asked), meant, "{asked}");
        }
        let odd = ConsulNames { datacenter: Label::new("dc").expect("a label") };
        for (asked, meant) in [
            ("web.service.dc", "web.service"),
            ("web.service.dc.dc", "web.service"),
            ("dc", "between"),
            ("web.service.dc1", "nothing"),
        ] {
            assert_eq!(read(&odd, asked), meant, "{asked}");
        }
        let longest = format!("_{}._{}.service", "a".repeat(62), "b".repeat(62));
        assert_eq!(read(&consul, &longest).len(), 62 + 1 + 62 + 1 + 7);
    }
}
