//! Nodes as etcd 2 writes them (etcd 3.4, etcdserver/api/v2store/node_extern.go, event.go), and folders made of keys.
//!
//! Our registry has keys and no folders. A folder is here what stands before a slash of some key, and as old as the oldest
//! write of what is in it. A key that has others below it is shown as their folder. The registry doesn't say when a key
//! was created, and `set`, which nearly all writers use, makes both indexes the same: so they always are.
//!
//! Knows nothing of how keys are read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::registry::Revision;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Action {
    /// Read.
    Get,
    /// Written, whatever was there.
    Set,
    /// Written where nothing was.
    Create,
    /// Written where something was.
    Update,
    /// Written where what was expected was.
    CompareAndSwap,
    /// Deleted.
    Delete,
    /// Deleted where what was expected was.
    CompareAndDelete,
    /// Its time was over.
    Expire,
}

/// How long a key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// For ever.
    Permanent,
    /// Until then; that many seconds, 0 if its time was over.
    Until(SystemTime, u64),
}

impl Life {
    /// That many seconds from then on.
    #[must_use]
    pub(super) fn of(now: SystemTime, secs: u64) -> Self {
        let end = now.checked_add(Duration::from_secs(secs)).unwrap_or(now);
        Self::Until(end, secs)
    }
}

/// A key or folder; what is empty is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    /// The path; none of the root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) key: String,
    /// The value, of a key that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    /// Whether it is a folder.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expiration: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) ttl: u64,
    /// What is in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nodes: Vec<Self>,
    /// The index that wrote it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) modified_index: Revision,
    /// The same.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) created_index: Revision,
}

/// What a call answers, and what a wait tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    /// What happened.
    pub(super) action: Action,
    /// What is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<Node>,
    /// What was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_node: Option<Node>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Node {
    /// A key as it stands, or stood. Octets that are no UTF-8 are replaced, as etcd does.
    #[must_use]
    pub(super) fn file(path: &str, value: &[u8], life: Life, revision: Revision) -> Self {
        let node = Self {
            key: path.to_owned(),
            value: Some(String::from_utf8_lossy(value).into_owned()),
            modified_index: revision,
            created_index: revision,
            ..Self::default()
        };
        node.living(life)
    }

    /// The same with another life.
    #[must_use]
    pub(super) fn living(self, life: Life) -> Self {
        let (expiration, ttl) = match life {
            Life::Permanent => (None, 0),
            Life::Until(end, secs) => {
                (Some(humantime::format_rfc3339_nanos(end).to_string()), secs)
            }
        };
        Self { expiration, ttl, ..self }
    }

    /// A folder without what is in it.
    #[must_use]
    pub(super) fn folder(path: &str, revision: Revision) -> Self {
        let (key, revision) = if path == "/" { ("", 0) } else { (path, revision) };
        Self {
            key: key.to_owned(),
            dir: true,
            modified_index: revision,
            created_index: revision,
            ..Self::default()
        }
    }

    /// What is told of a key that has gone.
    #[must_use]
    pub(super) fn gone(path: &str, revision: Revision, was: Revision) -> Self {
        Self {
            key: path.to_owned(),
            modified_index: revision,
            created_index: was,
            ..Self::default()
        }
    }
}

impl Event {
    /// The same without nodes, for `noValueOnSuccess`.
    #[must_use]
    pub(super) fn without_nodes(self) -> Self {
        Self { node: None, prev_node: None, ..self }
    }

    /// Whether something is there that was not before, which answers with another status.
    #[must_use]
    pub(super) fn is_created(&self) -> bool {
        match self.action {
            Action::Create => true,
            Action::Set => self.prev_node.is_none(),
            _ => false,
        }
    }
}

/// Whether a part of a path keeps itself, and what is below, out of the lists and waits of folders above.
#[must_use]
pub(super) fn is_hidden(folder: &str, path: &str) -> bool {
    path.get(folder.trim_end_matches('/').len()..).is_some_and(|behind| behind.contains("/_"))
}

/// A folder of a path with what is in it: `files` are its keys at any depth. Below the first level they are shown only if
/// it is asked for, but make folders.
#[must_use]
pub(super) fn folder(path: &str, files: Vec<Node>, recursive: bool) -> Node {
    let mut root = Branch::default();
    let above = if path == "/" { 0 } else { path.len() };
    for file in files {
        if is_hidden(path, &file.key) {
            continue;
        }
        let Some(behind) = file.key.get(above..) else { continue };
        let parts: Vec<String> = behind.split('/').skip(1).map(str::to_owned).collect();
        root.add(&parts, file);
    }
    root.node(path, if recursive { usize::MAX } else { 1 })
}

/// A folder while it is built.
#[derive(Default)]
struct Branch {
    file: Option<Node>,
    children: BTreeMap<String, Self>,
    oldest: Option<Revision>,
}

impl Branch {
    fn add(&mut self, parts: &[String], file: Node) {
        let oldest = self.oldest.get_or_insert(file.modified_index);
        *oldest = file.modified_index.min(*oldest);
        match parts {
            [] => self.file = Some(file),
            [part, behind @ ..] => {
                self.children.entry(part.clone()).or_default().add(behind, file);
            }
        }
    }

    fn node(self, path: &str, depth: usize) -> Node {
        if let (Some(file), true) = (self.file, self.children.is_empty()) {
            return file;
        }
        let mut node = Node::folder(path, self.oldest.unwrap_or(0));
        if depth > 0 {
            let path = path.trim_end_matches('/');
            let children = self.children.into_iter();
            node.nodes = children
                .map(|(part, child)| child.node(&format!("{path}/{part}"), depth - 1))
                .collect();
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, revision: Revision) -> Node {
        Node::file(path, b"v", Life::Permanent, revision)
    }

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    /// The shapes of formats.md that a real etcd 3.4 gave, for Zan's keys.
    #[test]
    fn events_have_the_shapes_that_were_measured() {
        const KEY: &str = "/nova:com.youzan.service/tcp-demo/10.9.8.7:8100";
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
        let node = |value: &[u8], life, revision| Some(Node::file(KEY, value, life, revision));
        let set = Event {
            action: Action::Set,
            node: node(b"{\"Status\":1}", Life::of(now, 30), 4),
            prev_node: None,
        };
        assert!(set.is_created());
        assert_eq!(
            json(&set),
            r#"{"action":"set","node":{"key":"/nova:com.youzan.service/tcp-demo/10.9.8.7:8100","value":"{\"Status\":1}","expiration":"2017-07-14T02:40:30.000000000Z","ttl":30,"modifiedIndex":4,"createdIndex":4}}"#
        );
        let offline = Event {
            action: Action::Set,
            node: node(b"{\"Status\":3}", Life::of(now, 0), 6),
            prev_node: node(b"{\"Status\":1}", Life::of(now, 28), 4),
        };
        assert!(!offline.is_created());
        assert_eq!(
            json(&offline),
            r#"{"action":"set","node":{"key":"/nova:com.youzan.service/tcp-demo/10.9.8.7:8100","value":"{\"Status\":3}","expiration":"2017-07-14T02:40:00.000000000Z","modifiedIndex":6,"createdIndex":6},"prevNode":{"key":"/nova:com.youzan.service/tcp-demo/10.9.8.7:8100","value":"{\"Status\":1}","expiration":"2017-07-14T02:40:28.000000000Z","ttl":28,"modifiedIndex":4,"createdIndex":4}}"#
        );
        let expire = Event {
            action: Action::Expire,
            node: Some(Node::gone(KEY, 7, 6)),
            prev_node: node(b"{\"Status\":3}", Life::of(now, 0), 6),
        };
        assert_eq!(
            json(&expire),
            r#"{"action":"expire","node":{"key":"/nova:com.youzan.service/tcp-demo/10.9.8.7:8100","modifiedIndex":7,"createdIndex":6},"prevNode":{"key":"/nova:com.youzan.service/tcp-demo/10.9.8.7:8100","value":"{\"Status\":3}","expiration":"2017-07-14T02:40:00.000000000Z","modifiedIndex":6,"createdIndex":6}}"#
        );
        let empty = Event {
            action: Action::Get,
            node: Some(Node::folder("/nova:com.youzan.service/tcp-demo", 4)),
            prev_node: None,
        };
        assert_eq!(
            json(&empty),
            r#"{"action":"get","node":{"key":"/nova:com.youzan.service/tcp-demo","dir":true,"modifiedIndex":4,"createdIndex":4}}"#
        );
        let swapped = Event { action: Action::CompareAndSwap, ..set };
        assert_eq!(json(&swapped.without_nodes()), r#"{"action":"compareAndSwap"}"#);
    }

    #[test]
    fn folders_are_implied_by_keys() {
        let files =
            || vec![file("/a/c/2", 9), file("/a/b", 5), file("/a/c/1", 7), file("/a/_h/x", 1)];
        assert_eq!(
            json(&folder("/a", files(), false)),
            r#"{"key":"/a","dir":true,"nodes":[{"key":"/a/b","value":"v","modifiedIndex":5,"createdIndex":5},{"key":"/a/c","dir":true,"modifiedIndex":7,"createdIndex":7}],"modifiedIndex":5,"createdIndex":5}"#
        );
        let whole = folder("/", files(), true);
        assert_eq!((whole.key.as_str(), whole.modified_index), ("", 0));
        let folders = &whole.nodes[0].nodes;
        let keys: Vec<&str> = folders[1].nodes.iter().map(|node| node.key.as_str()).collect();
        assert_eq!(keys, ["/a/c/1", "/a/c/2"]);
        assert_eq!(json(&folder("/", vec![], true)), r#"{"dir":true}"#);
        // Asked for by name, what is hidden is shown.
        assert_eq!(folder("/a/_h", files()[3..].to_vec(), false).nodes.len(), 1);
        // A key that is in the way of a folder.
        let both = folder("/a", vec![file("/a/b", 5), file("/a/b/c", 6)], false);
        assert!(both.nodes[0].dir);
    }
}
