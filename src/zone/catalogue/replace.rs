//! Takes in what a zone file holds when it was read again.
//!
//! Knows nothing of files.

use std::time::Duration;

use super::Catalogue;
use crate::zone::contents::Contents;
use crate::zone::wire;

impl Catalogue {
    /// Puts what a zone file holds by now in the place of what it held before. Apps whose names it takes or gives
    /// back are built anew.
    pub fn replace(&mut self, contents: Contents) {
        let Contents { zone, statics: new } = contents;
        let Some(at) = self.zones.iter().position(|state| *state.name() == zone) else { return };
        let old = self.zones[at].replace(new.clone());
        let Some(namespace) = self.zones[at].namespace().cloned() else { return };
        // Answers lack nothing of what is registered; what comes from now on they may.
        let revision = self.applied + 1;
        for name in old.moved(&new).chain(new.moved(&old)) {
            // It may be an app's name, an instance's, a tag's or a service's of either.
            for name in std::iter::once(name).chain(wire::above(name)) {
                let Some(app) = wire::app(name) else { continue };
                let key = (namespace.clone(), app);
                if self.apps.contains_key(&key) {
                    self.touch(key, revision);
                }
            }
        }
        // Answers show the new content at once, and so no app may rest that has a name of it: SRV records would point
        // to others' addresses. Those that wait for each other wait for nobody.
        self.touched.values_mut().for_each(|touched| touched.due = Duration::ZERO);
    }
}
