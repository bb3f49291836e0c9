//! An app block: the immutable table of one app's own names in one zone.
//!
//! ```text
//! names:  i-1 -> instance 0    instances: target 0, rows 0..2     rows:    10 100 9000 -> target 0
//!         i-2 -> instance 1               target 1, rows 2..3              10 100 8080 -> target 0
//!         v2  -> tag 0         targets:   "i-1" 10.0.0.7                   10 100 9000 -> target 1
//!                                         "i-2" 10.0.0.8 fd00::8
//! ```
//!
//! Names are relative to the app, rows are compact, and any record can be emitted in any order: owners point
//! into the question, SRV targets are a label, the app's name and the zone's. Lookups are by binary search, so
//! that a hostile name costs no more than a plain one.
//!
//! Knows nothing of messages: `dns` writes the octets.

mod build;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

pub(super) use build::{Live, build};

use super::choice::Choice;
use super::wire;

/// All names of one app in one zone.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// The app's labels in wire form, relative to the zone.
    app: Box<[u8]>,
    /// The texts of all names, back to back.
    text: Box<[u8]>,
    /// The labels below the app, in octet order.
    names: Box<[Name]>,
    instances: Box<[Instance]>,
    tags: Box<[Branch]>,
    /// The app itself.
    whole: Branch,
    /// The service labels that the app has, in wire form and octet order; the transport's in front, `_tcp` `_nova`,
    /// so that those of one transport stand together.
    services: Box<[Box<[u8]>]>,
    targets: Box<[Target]>,
    rows: Box<[Row]>,
    /// Addresses of the targets.
    v4: Box<[Ipv4Addr]>,
    v6: Box<[Ipv6Addr]>,
    /// Host names of targets that are known by one, in wire form with the root label.
    hosts: Box<[Box<[u8]>]>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Name {
    text: Range<u32>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Instance(u32),
    Target(u32),
    Tag(u32),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Instance {
    target: u32,
    rows: Range<u32>,
}

/// What an SRV record points to.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Target {
    text: Range<u32>,
    v4: Range<u32>,
    v6: Range<u32>,
    host: Option<u32>,
}

/// One SRV record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// SRV priority.
    pub priority: u16,
    /// SRV weight, scaled as the zone wants it.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Place in the block's services: more than 65,536 protocols fit in the limits.
    service: u32,
    target: u32,
}

/// The sets of an app or a tag.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Branch {
    a: Choice,
    aaaa: Choice,
    /// Every endpoint; only the app itself serves it.
    srv: Choice,
    by_service: Box<[(u32, Choice)]>,
}

/// A name that exists.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    block: &'a Block,
    kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    App,
    Tag(&'a Branch),
    Target(&'a Target),
    Service(&'a Choice),
    InstanceService(&'a Instance, u32),
    /// On the way to one of the others.
    Between,
}

/// Addresses to emit.
#[derive(Debug, Clone, Copy)]
pub enum Addresses<'a, A> {
    /// All of one target: rotated.
    Own(&'a [A]),
    /// Chosen by weight among those of many.
    Chosen(&'a Choice, &'a [A]),
}

/// SRV records to emit.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Those of one instance that offer a service: at most 16.
    Few(&'a [Row], u32),
    /// Chosen by priority and weight; members are for [`Block::row`].
    Chosen(&'a Choice),
}

/// Where an SRV record points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal<'a> {
    /// To that label of the app.
    Label(&'a [u8]),
    /// To a host elsewhere, in wire form with the root label.
    Host(&'a [u8]),
}

impl Block {
    /// The app's labels in wire form, relative to the zone.
    #[must_use]
    pub fn app(&self) -> &[u8] {
        &self.app
    }

    /// The name with these labels in front of the app's; none where it does not exist.
    #[must_use]
    pub fn find(&self, relative: &[u8]) -> Option<Node<'_>> {
        let (service, rest) = service_labels(relative);
        let kind = match wire::split(rest) {
            None => match service {
                Asked::None => Kind::App,
                Asked::Transport(transport) => {
                    (!self.transport(transport).is_empty()).then_some(Kind::Between)?
                }
                Asked::Service(protocol, transport) => {
                    let service = self.service(protocol, transport)?;
                    Kind::Service(branch_service(&self.whole, service)?)
                }
            },
            Some((label, [])) => match (self.what(label)?, service) {
                (What::Instance(at), Asked::None) => Kind::Target(
                    self.targets.get(self.instances.get(at as usize)?.target as usize)?,
                ),
                (What::Target(at), Asked::None) => Kind::Target(self.targets.get(at as usize)?),
                (What::Target(_), _) => return None,
                (What::Tag(at), Asked::None) => Kind::Tag(self.tags.get(at as usize)?),
                (What::Instance(at), asked) => {
                    self.instance_service(self.instances.get(at as usize)?, asked)?
                }
                (What::Tag(at), asked) => self.tag_service(self.tags.get(at as usize)?, asked)?,
            },
            Some(_) => return None,
        };
        Some(Node { block: self, kind })
    }

    /// One SRV record of a [`Rows::Chosen`].
    #[must_use]
    pub fn row(&self, member: u32) -> Option<&Row> {
        self.rows.get(member as usize)
    }

    /// Where an SRV record points.
    #[must_use]
    pub fn goal(&self, row: &Row) -> Option<Goal<'_>> {
        let target = self.targets.get(row.target as usize)?;
        match target.host {
            Some(host) => Some(Goal::Host(self.hosts.get(host as usize)?)),
            None => Some(Goal::Label(slice(&self.text, &target.text)?)),
        }
    }

    /// The addresses of an SRV record's target ([`Row::target`]).
    #[must_use]
    pub fn glue(&self, target: u32) -> Option<(&[Ipv4Addr], &[Ipv6Addr])> {
        let target = self.targets.get(target as usize)?;
        Some((slice(&self.v4, &target.v4)?, slice(&self.v6, &target.v6)?))
    }

    /// The label of an SRV record's target.
    #[must_use]
    pub fn label(&self, target: u32) -> Option<&[u8]> {
        slice(&self.text, &self.targets.get(target as usize)?.text)
    }

    /// Octets of the largest answer section that a name of this block has, in a zone whose name has that
    /// many octets in wire form.
    #[must_use]
    pub fn answer_octets_max(&self, zone_octets: usize) -> usize {
        // Owner pointer, type, class, TTL and length are 12 octets (RFC 1035 section 4.1.3).
        let srv = |row: &Row| {
            12 + 6
                + match self.goal(row) {
                    Some(Goal::Label(label)) => 1 + label.len() + self.app.len() + zone_octets,
                    Some(Goal::Host(host)) => host.len(),
                    None => 0,
                }
        };
        let all: usize = self.rows.iter().map(srv).sum();
        all.max(self.whole.a.len() * 16).max(self.whole.aaaa.len() * 28)
    }

    fn what(&self, label: &[u8]) -> Option<What> {
        let text = |name: &Name| slice(&self.text, &name.text).unwrap_or_default();
        let at = self.names.binary_search_by(|name| text(name).cmp(label)).ok()?;
        Some(self.names.get(at)?.what)
    }

    fn service(&self, protocol: &[u8], transport: &[u8]) -> Option<u32> {
        let at = self.services.binary_search_by(|service| {
            // As if the two were one: this is how they are sorted.
            service.iter().cmp(transport.iter().chain(protocol))
        });
        u32::try_from(at.ok()?).ok()
    }

    /// The services of a transport.
    fn transport(&self, transport: &[u8]) -> Range<u32> {
        let start = self.services.partition_point(|service| **service < *transport);
        let behind = self.services.get(start..).unwrap_or_default();
        let end = start + behind.partition_point(|service| service.starts_with(transport));
        // There are no more services than rows.
        start as u32..end as u32
    }

    fn instance_service<'a>(
        &'a self,
        instance: &'a Instance,
        asked: Asked<'_>,
    ) -> Option<Kind<'a>> {
        let mut rows = slice(&self.rows, &instance.rows)?.iter();
        match asked {
            Asked::Service(protocol, transport) => {
                let service = self.service(protocol, transport)?;
                rows.any(|row| row.service == service)
                    .then_some(Kind::InstanceService(instance, service))
            }
            Asked::Transport(transport) => {
                let services = self.transport(transport);
                rows.any(|row| services.contains(&row.service)).then_some(Kind::Between)
            }
            Asked::None => None,
        }
    }

    fn tag_service<'a>(&'a self, tag: &'a Branch, asked: Asked<'_>) -> Option<Kind<'a>> {
        match asked {
            Asked::Service(protocol, transport) => {
                Some(Kind::Service(branch_service(tag, self.service(protocol, transport)?)?))
            }
            Asked::Transport(transport) => {
                let services = self.transport(transport);
                let at = tag.by_service.partition_point(|(service, _)| *service < services.start);
                let (next, _) = tag.by_service.get(at)?;
                services.contains(next).then_some(Kind::Between)
            }
            Asked::None => None,
        }
    }
}

impl<'a> Node<'a> {
    /// The block that it belongs to.
    #[must_use]
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// Its A records, if it has any.
    #[must_use]
    pub fn a(&self) -> Option<Addresses<'a, Ipv4Addr>> {
        let block = self.block;
        addresses(self.kind, &block.whole, &block.v4, |branch| &branch.a, |target| &target.v4)
    }

    /// Its AAAA records, if it has any.
    #[must_use]
    pub fn aaaa(&self) -> Option<Addresses<'a, Ipv6Addr>> {
        let block = self.block;
        addresses(self.kind, &block.whole, &block.v6, |branch| &branch.aaaa, |target| &target.v6)
    }

    /// Its SRV records, if it has any.
    #[must_use]
    pub fn srv(&self) -> Option<Rows<'a>> {
        match self.kind {
            Kind::App => Some(Rows::Chosen(&self.block.whole.srv)),
            Kind::Service(choice) => Some(Rows::Chosen(choice)),
            Kind::InstanceService(instance, service) => {
                Some(Rows::Few(slice(&self.block.rows, &instance.rows)?, service))
            }
            Kind::Tag(_) | Kind::Target(_) | Kind::Between => None,
        }
    }
}

impl Row {
    /// Whether it belongs to that service of a [`Rows::Few`].
    #[must_use]
    pub fn offers(&self, service: u32) -> bool {
        self.service == service
    }

    /// A number that is the same for rows with the same target.
    #[must_use]
    pub fn target(&self) -> u32 {
        self.target
    }
}

/// What stands in front of the app, the instance or the tag.
#[derive(Clone, Copy)]
enum Asked<'a> {
    None,
    /// `_tcp` in wire form.
    Transport(&'a [u8]),
    /// `_nova` and `_tcp` in wire form.
    Service(&'a [u8], &'a [u8]),
}

/// Takes one or two labels with an underscore off the front.
fn service_labels(relative: &[u8]) -> (Asked<'_>, &[u8]) {
    let Some((first, behind)) = wire::split(relative).filter(|(label, _)| label.starts_with(b"_"))
    else {
        return (Asked::None, relative);
    };
    let (first, _) = relative.split_at(1 + first.len());
    match wire::split(behind).filter(|(label, _)| label.starts_with(b"_")) {
        Some((second, _)) => {
            let (second, rest) = behind.split_at(1 + second.len());
            (Asked::Service(first, second), rest)
        }
        None => (Asked::Transport(first), behind),
    }
}

fn branch_service(branch: &Branch, service: u32) -> Option<&Choice> {
    let at = branch.by_service.binary_search_by_key(&service, |(service, _)| *service).ok()?;
    Some(&branch.by_service.get(at)?.1)
}

fn addresses<'a, A>(
    kind: Kind<'a>,
    whole: &'a Branch,
    pool: &'a [A],
    chosen: impl Fn(&'a Branch) -> &'a Choice,
    own: impl Fn(&'a Target) -> &'a Range<u32>,
) -> Option<Addresses<'a, A>> {
    match kind {
        Kind::App => Some(Addresses::Chosen(chosen(whole), pool)),
        Kind::Tag(tag) => Some(Addresses::Chosen(chosen(tag), pool)),
        Kind::Target(target) => Some(Addresses::Own(slice(pool, own(target))?)),
        Kind::Service(_) | Kind::InstanceService(..) | Kind::Between => None,
    }
    .filter(|addresses| match addresses {
        Addresses::Own(own) => !own.is_empty(),
        Addresses::Chosen(choice, _) => !choice.is_empty(),
    })
}

fn slice<'a, T>(pool: &'a [T], range: &Range<u32>) -> Option<&'a [T]> {
    pool.get(range.start as usize..range.end as usize)
}
