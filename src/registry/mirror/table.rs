//! The copy itself, and what changes in it. No I/O, no time.

use std::collections::{BTreeMap, btree_map as map};

use bytes::Bytes;

use super::{Kept, News};
use crate::registry::{Change, Entry};

/// All keys of the prefix, as last told.
#[derive(Debug)]
pub(super) struct Table<P> {
    kept: BTreeMap<Bytes, Kept<P>>,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self { kept: BTreeMap::new() }
    }
}

impl<P: Clone> Table<P> {
    /// Applies the changes of one revision. A deletion of what is not there is no news.
    pub(super) fn apply(
        &mut self,
        changes: Vec<Change>,
        parse: &(dyn Fn(&Entry) -> P + Send + Sync),
    ) -> Vec<News<P>> {
        let mut news = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Put(entry) => news.push(self.put(entry, parse)),
                Change::Delete(key) => {
                    if let Some(was) = self.kept.remove(&key) {
                        news.push(News { key, was: Some(was), now: None });
                    }
                }
            }
        }
        news.sort_by(|a, b| a.key.cmp(&b.key));
        news
    }

    /// Puts a listing in the place of everything, and tells the differences.
    ///
    /// If the listing `continues` the history, a key of the same revision is the same. Otherwise equal
    /// revisions mean nothing, and every key listed is news.
    pub(super) fn replace(
        &mut self,
        entries: Vec<Entry>,
        continues: bool,
        parse: &(dyn Fn(&Entry) -> P + Send + Sync),
    ) -> Vec<News<P>> {
        let mut before = std::mem::take(&mut self.kept);
        let mut news = Vec::new();
        let mut listed = Vec::with_capacity(entries.len());
        for entry in entries {
            match before.remove(&entry.key) {
                Some(kept) if continues && kept.revision == entry.revision => {
                    listed.push((entry.key, kept));
                }
                was => {
                    let now = keep(&entry, parse);
                    listed.push((entry.key.clone(), now.clone()));
                    news.push(News { key: entry.key, was, now: Some(now) });
                }
            }
        }
        // At once, which fills the nodes of the tree: one by one in their order, they would stay half empty.
        self.kept = listed.into_iter().collect();
        news.extend(before.into_iter().map(|(key, was)| News { key, was: Some(was), now: None }));
        news.sort_by(|a, b| a.key.cmp(&b.key));
        news
    }

    fn put(&mut self, entry: Entry, parse: &(dyn Fn(&Entry) -> P + Send + Sync)) -> News<P> {
        let now = keep(&entry, parse);
        let (key, was) = match self.kept.entry(entry.key) {
            // The key that is there is the one that others hold as well.
            map::Entry::Occupied(mut place) => {
                (place.key().clone(), Some(place.insert(now.clone())))
            }
            map::Entry::Vacant(place) => {
                let key = place.key().clone();
                place.insert(now.clone());
                (key, None)
            }
        };
        News { key, was, now: Some(now) }
    }
}

fn keep<P>(entry: &Entry, parse: &(dyn Fn(&Entry) -> P + Send + Sync)) -> Kept<P> {
    Kept { revision: entry.revision, lease: entry.lease, parsed: parse(entry) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Revision;

    fn entry(key: &'static str, value: &'static str, revision: Revision) -> Entry {
        Entry { key: key.into(), value: value.into(), revision, lease: None }
    }

    fn parse(entry: &Entry) -> String {
        String::from_utf8_lossy(&entry.value).into_owned()
    }

    #[test]
    fn news_say_what_was_before() {
        let changes = vec![Change::Put(entry("a", "2", 4)), Change::Delete("b".into())];
        let before = |news: Vec<News<String>>| -> Vec<Option<String>> {
            news.into_iter().map(|n| n.was.map(|kept| kept.parsed)).collect()
        };
        let one = || Some("1".to_owned());
        assert_eq!(before(table().apply(changes, &parse)), [one(), one()]);
        let listed = vec![entry("a", "2", 5), entry("c", "1", 5)];
        assert_eq!(before(table().replace(listed, true, &parse)), [one(), one(), None]);
    }

    fn told(news: Vec<News<String>>) -> Vec<(String, Option<String>)> {
        let text = |key: Bytes| String::from_utf8_lossy(&key).into_owned();
        news.into_iter().map(|n| (text(n.key), n.now.map(|kept| kept.parsed))).collect()
    }

    fn some(key: &str, value: &str) -> (String, Option<String>) {
        (key.to_owned(), Some(value.to_owned()))
    }

    fn gone(key: &str) -> (String, Option<String>) {
        (key.to_owned(), None)
    }

    fn table() -> Table<String> {
        let mut table = Table::default();
        table.replace(vec![entry("a", "1", 2), entry("b", "1", 3)], true, &parse);
        table
    }

    #[test]
    fn a_batch_is_told_in_key_order() {
        let changes = vec![
            Change::Put(entry("c", "1", 4)),
            Change::Delete("nothing".into()),
            Change::Delete("b".into()),
            Change::Put(entry("a", "2", 4)),
        ];
        let news = table().apply(changes, &parse);
        assert_eq!(told(news), [some("a", "2"), gone("b"), some("c", "1")]);
    }

    #[test]
    fn a_listing_tells_only_differences() {
        let listed = vec![entry("b", "2", 5), entry("c", "1", 4)];
        let mut table = table();
        assert_eq!(
            told(table.replace(listed.clone(), true, &parse)),
            [gone("a"), some("b", "2"), some("c", "1")]
        );
        assert_eq!(told(table.replace(listed, true, &parse)), []);
    }

    #[test]
    fn in_another_history_equal_revisions_mean_nothing() {
        let listed = vec![entry("a", "other", 2)];
        assert_eq!(told(table().replace(listed, false, &parse)), [some("a", "other"), gone("b")]);
    }
}
