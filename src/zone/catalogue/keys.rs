//! What one key's news means for what is registered.
//!
//! Knows nothing of what is built from it.

use super::app::Registered;
use super::{AppKey, Catalogue, printable};
use crate::layout::Parsed;
use crate::registry::Revision;
use crate::registry::mirror::News;

impl Catalogue {
    /// Takes out what a key was, and gives the app whose last instance it was.
    pub(super) fn forget(&mut self, news: &News<Parsed>, revision: Revision) -> Option<AppKey> {
        let was = news.was.as_ref()?;
        match &was.parsed {
            Parsed::Instance(registration) => {
                let key = (registration.namespace.clone(), registration.app.clone());
                let app = self.apps.get_mut(&key)?;
                app.remove(registration, &news.key);
                // Its loss goes with it: the key may be listed for another reason from now on.
                if !app.listed.is_empty()
                    && let Some(listed) = app.listed.take(&*printable(&news.key))
                {
                    self.directory.rejected.remove(&*listed);
                }
                // An app of which nothing is left stays until it is built, which takes its names away.
                let emptied = app.instances().is_empty().then(|| key.clone());
                self.touch(key, revision);
                emptied
            }
            Parsed::Offline(mark) => {
                let key = (mark.namespace.clone(), mark.app.clone());
                if let Some(app) = self.apps.get_mut(&key) {
                    app.marks.remove(mark);
                }
                self.touch(key, revision);
                None
            }
            Parsed::Rejected(_) => {
                self.directory.rejected.remove(&*printable(&news.key));
                None
            }
            Parsed::Plain(record) => {
                self.forget_plain(news, record, revision);
                None
            }
            Parsed::Departed(_) | Parsed::Bookkeeping => None,
        }
    }

    /// Takes in what a key is, and gives the app whose first instance it is.
    pub(super) fn learn(&mut self, news: &News<Parsed>, revision: Revision) -> Option<AppKey> {
        let now = news.now.as_ref()?;
        match &now.parsed {
            Parsed::Instance(registration) => {
                let key = (registration.namespace.clone(), registration.app.clone());
                let app = self.apps.entry(key.clone()).or_default();
                let first = app.instances().is_empty();
                app.insert(Registered::new(news, now, registration));
                self.touch(key.clone(), revision);
                first.then_some(key)
            }
            Parsed::Offline(mark) => {
                let key = (mark.namespace.clone(), mark.app.clone());
                let app = self.apps.entry(key.clone()).or_default();
                app.marks.put(mark);
                self.touch(key, revision);
                None
            }
            Parsed::Rejected(reason) => {
                self.directory.reject(printable(&news.key), reason.clone());
                None
            }
            Parsed::Plain(record) => {
                self.learn_plain(news, record, revision);
                None
            }
            Parsed::Departed(_) | Parsed::Bookkeeping => None,
        }
    }
}
