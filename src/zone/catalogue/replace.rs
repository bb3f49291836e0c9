//! Takes in what a zone file holds when it was read again.
//!
//! Knows nothing of files.

use super::Catalogue;
use crate::zone::contents::Contents;

impl Catalogue {
    /// Puts what a zone file holds by now in the place of what it held before. Apps whose names it takes or gives
    /// back are built anew.
    pub fn replace(&mut self, contents: Contents) {
        let Contents { zone, statics: new } = contents;
        let Some(at) = self.zones.iter().position(|state| *state.name() == zone) else { return };
        let old = self.zones[at].replace(new.clone());
        // Answers lack nothing of what is registered; what comes from now on they may.
        let revision = self.applied + 1;
        let moved = || old.moved(&new).chain(new.moved(&old));
        self.touch_plain(at, moved(), revision);
        self.touch_below(at, moved(), revision);
    }
}
