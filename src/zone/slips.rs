//! What is legal in a zone file and hardly meant: targets that have no address, final dots that were forgotten, aliases
//! that lead back to themselves.
//!
//! Only what the file itself shows is judged: an app that is registered may give a name what the file does not.

use std::collections::HashSet;

use super::settings::{ZoneName, ZoneSettings};
use super::statics::{StaticNode, Statics, TYPE_CNAME, TYPE_NS, WILDCARD};
use super::wire;
use super::zonefile::StaticRecord;

/// Slips that are told of one zone. After the last, looking ends.
pub const SLIPS_MAX: usize = 20;

/// Aliases of one loop. Nobody follows as many, and a longer one is not looked for.
const WAY_MAX: usize = 64;

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_MX: u16 = 15;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip<'f> {
    /// The record.
    pub record: &'f StaticRecord,
    /// What it may be, and what to do.
    pub message: String,
}

/// The slips in a zone's file, in its order, [`SLIPS_MAX`] at most.
#[must_use]
pub fn find(zone: &ZoneSettings) -> Vec<Slip<'_>> {
    let Some(file) = &zone.file else { return Vec::new() };
    let mut search = Search {
        zone: &zone.name,
        registered: zone.namespace.is_some(),
        statics: Statics::new(zone),
        looped: HashSet::new(),
        doubled: HashSet::new(),
    };
    let slips = file
        .records
        .iter()
        .filter_map(|record| search.slip(record).map(|message| Slip { record, message }));
    slips.take(SLIPS_MAX).collect()
}

struct Search<'z> {
    zone: &'z ZoneName,
    /// Whether names may also be there because an app is registered.
    registered: bool,
    statics: Statics,
    /// Aliases in loops that were told of.
    looped: HashSet<Vec<u8>>,
    /// Owners with the zone's name twice that were told of.
    doubled: HashSet<Vec<u8>>,
}

impl Search<'_> {
    fn slip(&mut self, record: &StaticRecord) -> Option<String> {
        if self.ends_twice(&record.owner) && self.doubled.insert(record.owner.to_vec()) {
            return Some(format!("{}: {}", self.text(&record.owner), self.dot_forgotten()));
        }
        let (word, at) = match record.rtype {
            TYPE_NS => ("NS", 0),
            TYPE_CNAME => ("CNAME", 0),
            TYPE_PTR => ("PTR", 0),
            TYPE_MX => ("MX", 2),
            TYPE_SRV => ("SRV", 6),
            _ => return None,
        };
        let target = record.data.get(at..)?.to_ascii_lowercase();
        let target = self.zone.relative(&target)?;
        if self.ends_twice(target) {
            let target = self.text(target);
            return Some(format!("{word} {target}: {}", self.dot_forgotten()));
        }
        match record.rtype {
            TYPE_CNAME => self.loop_from(&record.owner),
            TYPE_PTR => None,
            _ => self.without_address(word, target),
        }
    }

    /// Whether the zone's name stands twice at the end of a name: someone wrote it, and no final dot.
    fn ends_twice(&self, relative: &[u8]) -> bool {
        let labels = self.zone.wire().strip_suffix(&[0]).unwrap_or_default();
        relative == labels || wire::above(relative).any(|name| name == labels)
    }

    fn dot_forgotten(&self) -> String {
        let zone = self.zone;
        format!("has the zone's name twice: end it with a dot, as in '{zone}', or leave {zone} out")
    }

    /// A name that clients are sent to for an address, and that has none.
    fn without_address(&self, word: &str, target: &[u8]) -> Option<String> {
        let answers = answering(&self.statics, target);
        let has = |rtype| answers.as_ref().is_some_and(|(_, node)| node.set(rtype).is_some());
        if has(TYPE_A) || has(TYPE_AAAA) || has(TYPE_CNAME) {
            return None;
        }
        let text = self.text(target);
        let unless = if self.registered { ", unless an app is registered as that" } else { "" };
        let advice = if wire::label_count(target) > 1 {
            "end it with a dot if it is no name in this zone, or add an A or AAAA record"
        } else {
            "add an A or AAAA record"
        };
        Some(format!("{word} {text} has no address{unless}: {advice}"))
    }

    /// The way of an alias that leads back to it, told once of each loop.
    fn loop_from(&mut self, owner: &[u8]) -> Option<String> {
        let mut way = vec![owner.to_vec()];
        while way.len() <= WAY_MAX {
            let (_, node) = answering(&self.statics, way.last()?)?;
            let target = node.set(TYPE_CNAME)?.data.first()?.to_ascii_lowercase();
            let (next, _) = answering(&self.statics, self.zone.relative(&target)?)?;
            if next == owner {
                return self.told_once(&way);
            }
            // A loop that this alias leads into is another one's.
            if way.contains(&next) {
                return None;
            }
            way.push(next);
        }
        None
    }

    fn told_once(&mut self, way: &[Vec<u8>]) -> Option<String> {
        let told = way.iter().any(|name| self.looped.contains(name));
        self.looped.extend(way.iter().cloned());
        let names: Vec<_> = way.iter().chain(way.first()).map(|name| self.text(name)).collect();
        let way = names.join(" -> ");
        (!told)
            .then(|| format!("CNAME leads back to itself ({way}): let one of them lead elsewhere"))
    }

    fn text(&self, relative: &[u8]) -> String {
        let labels = std::iter::successors(wire::split(relative), |(_, rest)| wire::split(rest));
        let mut text: String =
            labels.map(|(label, _)| format!("{}.", label.escape_ascii())).collect();
        text.push_str(self.zone.as_str());
        text
    }
}

/// The static name that answers for that one: itself, or a wildcard (RFC 4592 section 3.3.1).
fn answering<'s>(statics: &'s Statics, name: &[u8]) -> Option<(Vec<u8>, &'s StaticNode)> {
    if let Some(node) = statics.find(name) {
        return Some((name.to_vec(), node));
    }
    let encloser = wire::above(name).find(|above| statics.find(above).is_some());
    let encloser = encloser.unwrap_or_default();
    let node = statics.wildcard(encloser)?;
    Some(([WILDCARD, encloser].concat(), node))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::zonefile::ZoneFile;
    use super::*;

    /// Line and message of each slip in a zone whose apex is in the first three lines.
    fn slips(zone: &str, registered: bool, text: &str) -> Vec<String> {
        let name: ZoneName = zone.parse().unwrap();
        let apex = "$TTL 60\n@ SOA ns.example. host.example. 1 2 3 4 5\n@ NS ns.example.\n";
        let text = format!("{apex}{text}\n");
        let file = ZoneFile::parse(Path::new("x.zone"), &text, &name).unwrap();
        let default = ZoneSettings::default();
        let namespace = default.namespace.clone().filter(|_| registered);
        let settings = ZoneSettings { name, namespace, file: Some(Arc::new(file)), ..default };
        let told = find(&settings);
        told.iter().map(|slip| format!("{}: {}", slip.record.place.line, slip.message)).collect()
    }

    #[test]
    fn what_is_as_it_should_be_is_not_told_of() {
        let text = "@ NS ns1\nns1 A 192.0.2.1\n@ MX 1 mail\nmail AAAA ::1\n\
                    _x._tcp SRV 1 2 3 a.b.pool\n*.pool A 192.0.2.2\n_y._tcp SRV 0 0 0 .\n\
                    @ MX 2 mail.example.org.\nstore CNAME greeter\nsvcs A 192.0.2.3\n1 PTR mail\n\
                    alias CNAME store\n@ MX 3 also\nalso CNAME mail";
        assert_eq!(slips("svc.", true, text), [""; 0]);
        assert!(find(&ZoneSettings::default()).is_empty());
    }

    #[test]
    fn targets_in_the_zone_have_an_address() {
        let text = "@ NS ns1\n@ MX 1 mail.example.org\n_x._tcp SRV 1 2 3 here\nhere TXT x";
        let dot = "end it with a dot if it is no name in this zone, or add an A or AAAA record";
        let add = "add an A or AAAA record";
        assert_eq!(
            slips("svc.", false, text),
            [
                format!("4: NS ns1.svc. has no address: {add}"),
                format!("5: MX mail.example.org.svc. has no address: {dot}"),
                format!("6: SRV here.svc. has no address: {add}"),
            ]
        );
        let unless =
            format!("4: NS ns1.svc. has no address, unless an app is registered as that: {add}");
        assert_eq!(slips("svc.", true, "@ NS ns1"), [unless]);
    }

    #[test]
    fn a_forgotten_dot_doubles_the_name_of_the_zone() {
        let what = "has the zone's name twice: end it with a dot, as in 'example.org.', or leave example.org. out";
        let text = "mail.example.org A 192.0.2.1\nmail.example.org AAAA ::1\n@ MX 1 mail.example.org\n\
                    www CNAME Example.ORG\nexample.com A 192.0.2.1\nxexample.org A 192.0.2.1";
        assert_eq!(
            slips("example.org.", false, text),
            [
                format!("4: mail.example.org.example.org.: {what}"),
                format!("6: MX mail.example.org.example.org.: {what}"),
                format!("7: CNAME example.org.example.org.: {what}"),
            ]
        );
    }

    #[test]
    fn aliases_that_lead_back_are_told_of_once() {
        let text = "into CNAME b\nb CNAME c\nc CNAME B\nself CNAME self\n*.w CNAME x.w\nout CNAME c.example.";
        assert_eq!(
            slips("svc.", true, text),
            [
                "5: CNAME leads back to itself (b.svc. -> c.svc. -> b.svc.): let one of them lead elsewhere",
                "7: CNAME leads back to itself (self.svc. -> self.svc.): let one of them lead elsewhere",
                "8: CNAME leads back to itself (*.w.svc. -> *.w.svc.): let one of them lead elsewhere",
            ]
        );
    }

    #[test]
    fn a_file_full_of_slips_is_not_told_of_without_end() {
        let text: String = (0..100).map(|i| format!("@ MX 1 m{i}\n")).collect();
        assert_eq!(slips("svc.", true, &text).len(), SLIPS_MAX);
    }
}
