//! Which key of the registry a path of etcd 2 stands for, and the way back.
//!
//! A key is stored under the same octets as its path, and only below the prefix of a configured layout. Paths begin with
//! a slash, prefixes need not: below `services/` the path `/services/redis/1` is the key `services/redis/1`, below
//! `/services/` it is `/services/redis/1`. Where both are configured, or one prefix holds another, the longest decides,
//! and among equals the first.
//!
//! A key that no path stands for (`//`, a slash at its end) is not shown, and rollcall's own keys are in no place, even
//! where a prefix such as `/` holds them.
//!
//! Knows nothing of values.

/// Folders that a key may be in to be shown: nodes are nested, and so is what writes them.
const PARTS_MAX: usize = 64;

/// Where this server reads and writes.
#[derive(Debug, Clone)]
pub(super) struct Places {
    prefixes: Vec<String>,
    /// What rollcall's own keys begin with.
    own: String,
}

impl Places {
    /// Below those prefixes, save what begins with `own`.
    pub(super) fn new(prefixes: Vec<String>, own: &str) -> Self {
        Self { prefixes, own: own.to_owned() }
    }

    /// The key that a path stands for; none outside all layouts.
    pub(super) fn key(&self, path: &str) -> Option<String> {
        let mut longest: Option<&String> = None;
        for prefix in &self.prefixes {
            let longer = longest.is_none_or(|other| bare(prefix).len() > bare(other).len());
            if longer && as_in(prefix, path).starts_with(prefix.as_str()) {
                longest = Some(prefix);
            }
        }
        let key = as_in(longest?, path);
        if path == "/" || key.starts_with(&self.own) { None } else { Some(key.to_owned()) }
    }

    /// The path that stands for a key, if one does.
    pub(super) fn path(&self, key: &[u8]) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        let path = format!("/{}", bare(key));
        let clean = |part: &str| !matches!(part, "" | "." | "..");
        let parts = path.split('/').skip(1);
        let told = parts.clone().all(clean)
            && parts.count() <= PARTS_MAX
            && !path.contains(char::is_control)
            && self.key(&path).as_deref() == Some(key);
        told.then_some(path)
    }

    /// What keys in a folder begin with, at any depth; nothing outside all layouts.
    pub(super) fn below(&self, path: &str) -> Vec<String> {
        let folder = folder(path);
        let mut below = Vec::new();
        for prefix in &self.prefixes {
            let folder = as_in(prefix, &folder);
            if folder.starts_with(prefix.as_str()) {
                below.push(folder.to_owned());
            } else if prefix.starts_with(folder) {
                below.push(prefix.clone());
            }
        }
        outermost(below)
    }

    /// Whether a path is a folder by configuration alone: a prefix lies there, or further below.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        let folder = folder(path);
        path == "/" || self.prefixes.iter().any(|prefix| prefix.starts_with(as_in(prefix, &folder)))
    }

    /// What has to be watched to see every key.
    pub(super) fn watched(&self) -> Vec<String> {
        outermost(self.prefixes.clone())
    }

    /// Whether a key is one of rollcall's own.
    pub(super) fn is_own(&self, key: &[u8]) -> bool {
        key.starts_with(self.own.as_bytes())
    }

    /// The prefixes, for a message.
    pub(super) fn named(&self) -> String {
        let quoted: Vec<String> =
            self.prefixes.iter().map(|prefix| format!("{prefix:?}")).collect();
        if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
    }
}

/// Without the slash that it may begin with.
fn bare(text: &str) -> &str {
    text.strip_prefix('/').unwrap_or(text)
}

/// A path as keys of that prefix are written: with the slash that it begins with, or without.
fn as_in<'a>(prefix: &str, path: &'a str) -> &'a str {
    if prefix.starts_with('/') { path } else { bare(path) }
}

/// What paths in a folder begin with.
fn folder(path: &str) -> String {
    if path == "/" { "/".to_owned() } else { format!("{path}/") }
}

/// Those that no other one holds.
fn outermost(mut prefixes: Vec<String>) -> Vec<String> {
    prefixes.sort();
    let mut outermost: Vec<String> = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        // In this order the one that holds it has been seen, and is the last.
        if outermost.last().is_none_or(|last| !prefix.starts_with(last.as_str())) {
            outermost.push(prefix);
        }
    }
    outermost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(prefixes: &[&str]) -> Places {
        Places::new(prefixes.iter().map(ToString::to_string).collect(), "/rollcall/v1/")
    }

    #[test]
    fn a_path_is_a_key_as_its_prefix_is_written() {
        for (prefixes, path, key) in [
            (&["/"][..], "/nova:com.x/app/1:2", Some("/nova:com.x/app/1:2")),
            (&[""], "/nova:com.x/app/1:2", Some("nova:com.x/app/1:2")),
            (&["/nova:com.x/"], "/nova:com.x/app/1:2", Some("/nova:com.x/app/1:2")),
            (&["nova:"], "/nova:com.x/app/1:2", Some("nova:com.x/app/1:2")),
            (&["services/", "/skydns/"], "/services/redis/1", Some("services/redis/1")),
            (&["services/", "/skydns/"], "/skydns/local/a", Some("/skydns/local/a")),
            (&["services/", "/services/"], "/services/a", Some("services/a")),
            (&["/services/", "services/"], "/services/a", Some("/services/a")),
            (&["", "/services/"], "/services/a", Some("/services/a")),
            (&["/services/"], "/servicesx/a", None),
            (&["/services/"], "/services", None),
            (&["/services/"], "/", None),
            (&["/"], "/", None),
            (&[""], "/", None),
            (&["/"], "/rollcall/v1/default/instances/a/b", None),
            (&[], "/a", None),
        ] {
            let places = places(prefixes);
            assert_eq!(places.key(path).as_deref(), key, "{prefixes:?} {path}");
            if let Some(key) = key {
                assert_eq!(places.path(key.as_bytes()).as_deref(), Some(path), "{prefixes:?}");
            }
        }
    }

    #[test]
    fn keys_that_no_path_stands_for_are_not_shown() {
        let places = places(&["/", "services/"]);
        for key in ["a", "//a", "/a/", "/a//b", "/a/../b", "/services/a", "/\0", "/rollcall/v1/a"] {
            assert_eq!(places.path(key.as_bytes()), None, "{key}");
        }
        assert_eq!(places.path(b"/\xff"), None);
        assert_eq!(places.path("/a".repeat(PARTS_MAX + 1).as_bytes()), None);
        assert_eq!(places.path(b"services/a").as_deref(), Some("/services/a"));
    }

    #[test]
    fn folders_are_listed_where_their_keys_may_be() {
        let below = |prefixes: &[&str], path| places(prefixes).below(path);
        assert_eq!(below(&["/"], "/"), ["/"]);
        assert_eq!(below(&["/", ""], "/"), [""]);
        assert_eq!(below(&["/"], "/a"), ["/a/"]);
        assert_eq!(below(&["/skydns/", "services/"], "/"), ["/skydns/", "services/"]);
        assert_eq!(below(&["/x/skydns/", "/x/services/"], "/x"), ["/x/services/", "/x/skydns/"]);
        assert_eq!(below(&["/services/"], "/services/redis"), ["/services/redis/"]);
        assert_eq!(below(&["/services/"], "/other"), Vec::<String>::new());
        assert_eq!(below(&["/", "/services/"], "/services"), ["/services/"]);
    }

    #[test]
    fn what_leads_to_a_prefix_is_a_folder_without_any_key() {
        let places = places(&["/x/skydns/", "services/", "/nova:"]);
        for (path, is) in [
            ("/", true),
            ("/x", true),
            ("/x/skydns", true),
            ("/services", true),
            ("/nova:com.x", false),
            ("/x/skydns/local", false),
            ("/other", false),
        ] {
            assert_eq!(places.is_folder(path), is, "{path}");
        }
        assert_eq!(places.watched(), ["/nova:", "/x/skydns/", "services/"]);
        assert_eq!(places.named(), r#""/x/skydns/", "services/", "/nova:""#);
    }
}
