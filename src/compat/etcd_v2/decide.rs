//! Whether a write may be done, and what it is called: etcd's rules (3.4, etcdserver/apply_v2.go, api/v2store/store.go).
//!
//! Pure; knows nothing of the registry's calls.

use super::fault::{Code, Fault};
use super::node::Action;
use super::request::Request;
use crate::registry::Entry;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing; the path may be written.
    Nothing,
    /// A key.
    Key(Entry),
    /// A folder.
    Folder,
    /// Nothing can be: a key is where a folder would have to be.
    Below(String),
}

/// What a PUT does.
///
/// # Errors
/// Why it is refused.
pub(super) fn put(request: &Request, there: &There) -> Result<Action, Fault> {
    let path = &request.path;
    if path == "/" {
        return Err(Fault::new(Code::RootReadOnly, "/"));
    }
    if let There::Below(file) = there {
        return Err(Fault::new(Code::NotADirectory, file));
    }
    let compares = request.prev_index > 0 || request.prev_value.is_some();
    let action = match (request.prev_exist, compares) {
        (Some(false), _) => Action::Create,
        (_, true) => Action::CompareAndSwap,
        (Some(true), false) => Action::Update,
        (None, false) => Action::Set,
    };
    match (action, there) {
        (Action::Create, There::Key(_) | There::Folder) => Err(Fault::new(Code::KeyExists, path)),
        (Action::Update | Action::CompareAndSwap, There::Nothing) => {
            Err(Fault::new(Code::KeyNotFound, path))
        }
        (Action::Set | Action::Create, There::Nothing) if request.refresh => {
            Err(Fault::new(Code::KeyNotFound, path))
        }
        (_, There::Folder) => Err(Fault::new(Code::NotAFile, path)),
        (Action::CompareAndSwap, There::Key(entry)) => compare(request, entry).map(|()| action),
        // etcd would put the folder in the key's place.
        (_, There::Key(_)) if request.dir => Err(Fault::new(Code::NotADirectory, path)),
        _ => Ok(action),
    }
}

/// What a DELETE of a key does; of folders see [`delete_folder`].
///
/// # Errors
/// Why it is refused.
pub(super) fn delete(request: &Request, there: &There) -> Result<Action, Fault> {
    let path = &request.path;
    let compares = request.prev_index > 0 || request.prev_value.is_some();
    match there {
        _ if path == "/" => Err(Fault::new(Code::RootReadOnly, "/")),
        There::Below(file) => Err(Fault::new(Code::NotADirectory, file)),
        There::Nothing => Err(Fault::new(Code::KeyNotFound, path)),
        There::Folder if compares => Err(Fault::new(Code::NotAFile, path)),
        There::Key(entry) if compares => compare(request, entry).map(|()| Action::CompareAndDelete),
        There::Folder | There::Key(_) => Ok(Action::Delete),
    }
}

/// Whether a folder may be deleted.
///
/// # Errors
/// Why it is refused.
pub(super) fn delete_folder(request: &Request, is_empty: bool) -> Result<(), Fault> {
    match request {
        Request { recursive: true, .. } => Ok(()),
        Request { dir: false, path, .. } => Err(Fault::new(Code::NotAFile, path)),
        Request { path, .. } if !is_empty => Err(Fault::new(Code::DirectoryNotEmpty, path)),
        _ => Ok(()),
    }
}

/// Whether a key is what the request expects it to be.
fn compare(request: &Request, entry: &Entry) -> Result<(), Fault> {
    let value = String::from_utf8_lossy(&entry.value);
    let mut differs = Vec::new();
    if let Some(expected) = request.prev_value.as_ref().filter(|expected| **expected != value) {
        differs.push(format!("[{expected} != {value}]"));
    }
    let expected = request.prev_index;
    if expected > 0 && expected != entry.revision {
        differs.push(format!("[{expected} != {}]", entry.revision));
    }
    if differs.is_empty() {
        return Ok(());
    }
    Err(Fault::new(Code::CompareFailed, differs.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::etcd_v2::request::Method;

    fn key() -> There {
        There::Key(Entry { key: "/a".into(), value: "v".into(), revision: 7, lease: None })
    }

    fn told(done: Result<Action, Fault>) -> String {
        match done {
            Ok(action) => format!("{action:?}"),
            Err(fault) => {
                let json: serde_json::Value = serde_json::from_str(&fault.json()).unwrap();
                format!("{} {}", json["errorCode"], json["cause"].as_str().unwrap())
            }
        }
    }

    fn parsed(method: Method, query: &str) -> Request {
        Request::parse(method, "/a", query, b"").unwrap()
    }

    /// Asked of an etcd 3.4 one by one.
    #[test]
    fn puts_are_decided_as_etcd_does() {
        for (query, nothing, key_, folder) in [
            ("value=x", "Set", "Set", "102 /a"),
            ("value=x&prevExist=true", "100 /a", "Update", "102 /a"),
            ("value=x&prevExist=false", "Create", "105 /a", "105 /a"),
            ("ttl=30&refresh=1&prevExist=1", "100 /a", "Update", "102 /a"),
            ("ttl=30&refresh=1", "100 /a", "Set", "102 /a"),
            ("value=x&prevValue=v", "100 /a", "CompareAndSwap", "102 /a"),
            ("value=x&prevIndex=7", "100 /a", "CompareAndSwap", "102 /a"),
            ("value=x&prevIndex=0", "Set", "Set", "102 /a"),
            ("value=x&prevExist=1&prevValue=v", "100 /a", "CompareAndSwap", "102 /a"),
            ("value=x&prevValue=w", "100 /a", "101 [w != v]", "102 /a"),
            ("value=x&prevIndex=3", "100 /a", "101 [3 != 7]", "102 /a"),
            ("value=x&prevIndex=3&prevValue=w", "100 /a", "101 [w != v] [3 != 7]", "102 /a"),
            ("value=x&prevIndex=3&prevValue=v", "100 /a", "101 [3 != 7]", "102 /a"),
            ("dir=true", "Set", "104 /a", "102 /a"),
        ] {
            let request = parsed(Method::Put, query);
            let decided = [There::Nothing, key(), There::Folder].map(|at| told(put(&request, &at)));
            assert_eq!(decided, [nothing, key_, folder], "{query}");
        }
        let request = parsed(Method::Put, "value=x");
        assert_eq!(told(put(&request, &There::Below("/x".to_owned()))), "104 /x");
        let root = Request { path: "/".to_owned(), ..request };
        assert_eq!(told(put(&root, &There::Folder)), "107 /");
    }

    #[test]
    fn deletes_are_decided_as_etcd_does() {
        for (query, nothing, key_, folder) in [
            ("", "100 /a", "Delete", "Delete"),
            ("prevValue=v", "100 /a", "CompareAndDelete", "102 /a"),
            ("prevValue=w", "100 /a", "101 [w != v]", "102 /a"),
            ("prevIndex=7", "100 /a", "CompareAndDelete", "102 /a"),
            ("prevIndex=99&prevValue=w", "100 /a", "101 [w != v] [99 != 7]", "102 /a"),
        ] {
            let request = parsed(Method::Delete, query);
            let decided =
                [There::Nothing, key(), There::Folder].map(|at| told(delete(&request, &at)));
            assert_eq!(decided, [nothing, key_, folder], "{query}");
        }
        for (query, empty, full) in [
            ("", "102 /a", "102 /a"),
            ("dir=true", "Delete", "108 /a"),
            ("recursive=true", "Delete", "Delete"),
        ] {
            let request = parsed(Method::Delete, query);
            let decided =
                [true, false].map(|is| told(delete_folder(&request, is).map(|()| Action::Delete)));
            assert_eq!(decided, [empty, full], "{query}");
        }
    }
}
