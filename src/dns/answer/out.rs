//! Where a reply is written, and what is remembered of it while it is: allocated once.
//!
//! Knows nothing of messages.

use super::reply::MESSAGE_OCTETS_MAX;

/// Targets remembered for glue: more than any datagram of 8,192 octets names, but for names of a few octets. Those
/// beyond have their addresses asked for.
const PICKS_MAX: usize = 512;

/// Where a reply is written: allocated once for each worker or connection.
#[derive(Debug)]
pub struct Out {
    pub(super) octets: Box<[u8]>,
    pub(super) picks: Picks,
    pub(super) known: bool,
}

impl Out {
    /// Room for any reply.
    #[must_use]
    pub fn new() -> Self {
        Self {
            octets: vec![0; MESSAGE_OCTETS_MAX].into(),
            picks: Picks { all: Vec::with_capacity(PICKS_MAX), distinct: false },
            known: false,
        }
    }

    /// Whether the client that was last answered has shown by a cookie that it is where it says.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The first `len` octets of the reply last written.
    #[must_use]
    pub fn octets(&self, len: usize) -> &[u8] {
        self.octets.get(..len).unwrap_or_default()
    }
}

impl Default for Out {
    fn default() -> Self {
        Self::new()
    }
}

/// Which targets the answer names, and where their names stand: for glue.
#[derive(Debug)]
pub(super) struct Picks {
    all: Vec<(u32, usize)>,
    /// No target is among them twice.
    distinct: bool,
}

impl Picks {
    /// Begins anew; `distinct` says that no target will come twice.
    pub(super) fn clear(&mut self, distinct: bool) {
        self.all.clear();
        self.distinct = distinct;
    }

    /// Remembers one; never more than there was room for from the start.
    #[inline]
    pub(super) fn push(&mut self, target: u32, place: usize) {
        if self.all.len() < self.all.capacity() {
            self.all.push((target, place));
        }
    }

    /// Each target once, in answer order.
    pub(super) fn once(&self) -> impl Iterator<Item = (u32, usize)> {
        self.all.iter().enumerate().filter_map(|(at, (target, place))| {
            let mut before = self.all.get(..at)?.iter();
            let first = self.distinct || before.all(|(other, _)| other != target);
            first.then_some((*target, *place))
        })
    }
}
