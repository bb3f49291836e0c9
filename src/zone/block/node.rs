//! A name that exists in a block, and the records that it has.
//!
//! Knows nothing of how names are found.

use super::super::choice::Choice;
use super::super::packed::{place_at, slice};
use super::format::{BRANCH_A, BRANCH_AAAA, BRANCH_SRV, SRV_WEIGHT, WHOLE};
use super::{Block, Named};

/// A name that exists.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    pub(super) block: &'a Block,
    pub(super) kind: Kind,
}

/// What a name is; with the place of that.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    App,
    Tag(usize),
    Target(usize),
    /// The choice of its rows.
    AppService(usize),
    /// The same, of a tag.
    Service(usize),
    InstanceService(Named, u32),
    /// The same under the name that it is listed by.
    Listed(Named, u32),
    /// The list of the app's services.
    Types,
    /// On the way to one of the others.
    Between,
}

/// Address records to send.
#[derive(Debug, Clone, Copy)]
pub enum Addresses<'a> {
    /// All of one target, one behind the other: rotated.
    Own(&'a [u8]),
    /// Chosen by weight among those of many: members are for [`Block::record`].
    Chosen(Choice<'a>),
}

/// SRV records to send.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Those of one instance that offer a service: at most 16.
    Few(Few<'a>),
    /// Chosen by priority and weight: members are for [`Block::row`]. Whether no two of them have the same
    /// target comes with it.
    Chosen(Choice<'a>, bool),
}

/// Rows of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Few<'a> {
    block: &'a Block,
    instance: Named,
    service: u32,
}

/// One SRV record.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// A number that is the same for rows with the same target, for [`Block::glue`].
    pub target: u32,
    /// The record, with the question's name as its owner.
    pub record: &'a [u8],
}

impl<'a> Node<'a> {
    /// The block that it belongs to.
    #[must_use]
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// Its A records, if it has any.
    #[must_use]
    #[inline]
    pub fn a(&self) -> Option<Addresses<'a>> {
        self.addresses(BRANCH_A, |(v4, _)| v4)
    }

    /// Its AAAA records, if it has any.
    #[must_use]
    #[inline]
    pub fn aaaa(&self) -> Option<Addresses<'a>> {
        self.addresses(BRANCH_AAAA, |(_, v6)| v6)
    }

    /// Its SRV records, if it has any.
    #[must_use]
    #[inline]
    pub fn srv(&self) -> Option<Rows<'a>> {
        let block = self.block;
        let chosen = |place| {
            let choice = block.choice(place);
            (!choice.is_empty()).then(|| Rows::Chosen(choice, choice.mark()))
        };
        match self.kind {
            Kind::App => {
                let branch = place_at(&block.octets, WHOLE);
                chosen(place_at(&block.octets, branch + BRANCH_SRV))
            }
            Kind::AppService(place) | Kind::Service(place) => chosen(place),
            Kind::InstanceService(instance, service) | Kind::Listed(instance, service) => {
                Some(Rows::Few(Few { block, instance, service }))
            }
            // Place 0 is that of no choice.
            Kind::Tag(branch) => Some(place_at(&block.octets, branch + BRANCH_SRV))
                .filter(|at| *at > 0)
                .and_then(chosen),
            Kind::Target(_) | Kind::Types | Kind::Between => None,
        }
    }

    fn addresses(
        &self,
        of_branch: usize,
        of_target: impl Fn((&'a [u8], &'a [u8])) -> &'a [u8],
    ) -> Option<Addresses<'a>> {
        let block = self.block;
        let chosen = |branch: usize| {
            let choice = block.choice(place_at(&block.octets, branch + of_branch));
            (!choice.is_empty()).then_some(Addresses::Chosen(choice))
        };
        match self.kind {
            Kind::App => chosen(place_at(&block.octets, WHOLE)),
            Kind::Tag(branch) => chosen(branch),
            Kind::Target(at) => {
                let own = of_target(block.glue(u32::try_from(at).ok()?));
                (!own.is_empty()).then_some(Addresses::Own(own))
            }
            Kind::AppService(_)
            | Kind::Service(_)
            | Kind::InstanceService(..)
            | Kind::Listed(..)
            | Kind::Types
            | Kind::Between => None,
        }
    }
}

impl<'a> Few<'a> {
    /// The rows, as members for [`Block::row`], with their weights.
    pub fn members(&self) -> impl Iterator<Item = (u32, u64)> + use<'a> {
        let Self { block, instance, service } = *self;
        let rows = block.instance_rows(instance).filter(move |(_, of)| *of == service);
        rows.map(|(row, _)| {
            let weight = slice(block.row(row).record, SRV_WEIGHT, 2).first_chunk();
            (row, weight.map_or(0, |weight| u16::from_be_bytes(*weight).into()))
        })
    }
}
