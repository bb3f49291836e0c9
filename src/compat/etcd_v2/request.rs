//! A request on `/v2/keys/...` as it is sent: path, query and form, to a [`Request`] or a [`Fault`] that names the field.
//!
//! What is accepted, in which order it is looked at, and what is said of the rest is etcd's (3.4,
//! etcdserver/api/v2http/client.go, `parseKeyRequest`), with these bounds: keys are shorter, and have no control characters
//! and no `..`; and a body that says it is no form is refused, where etcd would write an empty value.
//!
//! Knows nothing of what is stored.

use super::fault::{Code, Fault};

/// Octets of a key. Far above what any client here writes; every level of it is a folder that may have to be looked at.
const KEY_OCTETS_MAX: usize = 1_024;
/// Folders that a key may be in.
const KEY_PARTS_MAX: usize = 32;
/// Fields of a query or a form. The call has 14.
const FIELDS_MAX: usize = 64;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read, or wait.
    Get,
    /// Write.
    Put,
    /// Write under a name that the server makes.
    Post,
    /// Delete.
    Delete,
}

/// A request, each field as given or as its absence means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The key or folder: `/`, or `/a/b` without a slash at its end.
    pub path: String,
    /// All below, too.
    pub recursive: bool,
    /// A folder is meant.
    pub dir: bool,
    /// Waits for a change.
    pub wait: bool,
    /// The first index to be told of; 0 is the next to come.
    pub wait_index: u64,
    /// The value; empty if absent.
    pub value: String,
    /// Seconds to live; absent or empty is for ever.
    pub ttl: Option<u64>,
    /// Lives on, with its value and without an event.
    pub refresh: bool,
    /// Whether it must, or must not, be there.
    pub prev_exist: Option<bool>,
    /// The value that it must have.
    pub prev_value: Option<String>,
    /// The index that it must have; 0 is any.
    pub prev_index: u64,
    /// Answers without nodes.
    pub no_value_on_success: bool,
}

/// Fields in the order in which they count: those of the body before those of the query.
struct Fields(Vec<(String, String)>);

impl Request {
    /// Reads a request. `path` is what follows `/v2/keys`, percent-encoded as it came; the body is only looked at where
    /// the method has one.
    ///
    /// # Errors
    /// What is wrong with it, as etcd would say it.
    pub fn parse(method: Method, path: &str, query: &str, body: &[u8]) -> Result<Self, Fault> {
        let body = if matches!(method, Method::Put | Method::Post) { body } else { b"" };
        let mut fields = Fields(Vec::new());
        fields.read(body)?;
        fields.read(query.as_bytes())?;
        let path = clean(path)?;
        let prev_index = fields.index("prevIndex")?;
        let wait_index = fields.index("waitIndex")?;
        let recursive = fields.flag("recursive")?;
        // Answers are always in order.
        fields.flag("sorted")?;
        let wait = fields.flag("wait")?;
        let dir = fields.flag("dir")?;
        // Reads are never stale.
        fields.flag("quorum")?;
        if fields.flag("stream")? {
            let cause = "\"stream\" is not served: wait again for each event";
            return Err(Fault::new(Code::InvalidField, cause));
        }
        if wait && method != Method::Get {
            let cause = "\"wait\" can only be used with GET requests";
            return Err(Fault::new(Code::InvalidField, cause));
        }
        let prev_value = fields.get("prevValue").map(str::to_owned);
        if prev_value.as_deref() == Some("") {
            return Err(Fault::new(Code::PrevValueRequired, "\"prevValue\" cannot be empty"));
        }
        let no_value_on_success = fields.flag("noValueOnSuccess")?;
        let ttl = match fields.get("ttl") {
            None | Some("") => None,
            Some(text) => {
                let cause = "invalid value for \"ttl\"";
                Some(number(text).ok_or_else(|| Fault::new(Code::TtlNotANumber, cause))?)
            }
        };
        let prev_exist = fields.flag_if_there("prevExist", "prevExist")?;
        let refresh = fields.flag_if_there("refresh", "refresh")?.unwrap_or(false);
        let value = fields.get("value").unwrap_or_default().to_owned();
        if refresh && !value.is_empty() {
            return Err(Fault::new(Code::RefreshValue, "A value was provided on a refresh"));
        }
        if refresh && ttl.is_none() {
            return Err(Fault::new(Code::RefreshTtlRequired, "No TTL value set"));
        }
        Ok(Self {
            method,
            path,
            recursive,
            dir,
            wait,
            wait_index,
            value,
            ttl,
            refresh,
            prev_exist,
            prev_value,
            prev_index,
            no_value_on_success,
        })
    }
}

impl Fields {
    fn read(&mut self, form: &[u8]) -> Result<(), Fault> {
        for field in form.split(|octet| *octet == b'&').filter(|field| !field.is_empty()) {
            if self.0.len() >= FIELDS_MAX {
                let cause = format!("more than {FIELDS_MAX} fields");
                return Err(Fault::new(Code::InvalidForm, cause));
            }
            let mut parts = field.splitn(2, |octet| *octet == b'=');
            let name = decoded(parts.next().unwrap_or_default(), true)?;
            let value = decoded(parts.next().unwrap_or_default(), true)?;
            self.0.push((name, value));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.flag_if_there(name, &format!("\"{name}\""))?.unwrap_or(false))
    }

    /// `quoted` is the name as etcd writes it, which is not consistent.
    fn flag_if_there(&self, name: &str, quoted: &str) -> Result<Option<bool>, Fault> {
        match self.get(name) {
            None => Ok(None),
            // What strconv.ParseBool of Go takes; PHP writes 1.
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(_) => {
                let cause = format!("invalid value for {quoted}");
                Err(Fault::new(Code::InvalidField, cause))
            }
        }
    }

    fn index(&self, name: &str) -> Result<u64, Fault> {
        self.get(name).map_or(Ok(0), |text| {
            let wrong =
                || Fault::new(Code::IndexNotANumber, format!("invalid value for \"{name}\""));
            number(text).ok_or_else(wrong)
        })
    }
}

/// Digits only: Rust would take a plus sign too.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|octet| octet.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A path without empty parts and dots; etcd sends such a request elsewhere (301), where it ends the same.
fn clean(path: &str) -> Result<String, Fault> {
    let path = decoded(path.as_bytes(), false)?;
    let refused = |cause: &str| Err(Fault::new(Code::InvalidField, cause));
    if path.len() > KEY_OCTETS_MAX {
        return refused(&format!("the key is longer than {KEY_OCTETS_MAX} octets"));
    }
    if path.contains(char::is_control) {
        return refused("the key has a control character");
    }
    let mut clean = String::with_capacity(path.len());
    for (depth, part) in path.split('/').filter(|part| !part.is_empty() && *part != ".").enumerate()
    {
        if part == ".." {
            return refused("the key has a part \"..\"");
        }
        if depth >= KEY_PARTS_MAX {
            return refused(&format!("the key has more than {KEY_PARTS_MAX} parts"));
        }
        clean.push('/');
        clean.push_str(part);
    }
    Ok(if clean.is_empty() { "/".to_owned() } else { clean })
}

/// Percent-encoded text, in a form also with plus signs for blanks.
fn decoded(text: &[u8], form: bool) -> Result<String, Fault> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'%' => {
                let digit = |at: usize| behind.get(at).and_then(|c| char::from(*c).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    let escape = String::from_utf8_lossy(behind.get(..2).unwrap_or(behind));
                    let cause = format!("invalid URL escape \"%{escape}\"");
                    return Err(Fault::new(Code::InvalidForm, cause));
                };
                octets.extend(u8::try_from(high * 16 + low));
                rest = behind.get(2..).unwrap_or_default();
            }
            b'+' if form => octets.push(b' '),
            other => octets.push(*other),
        }
    }
    String::from_utf8(octets).map_err(|_| Fault::new(Code::InvalidForm, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(path: &str, query: &str, body: &str) -> Result<Request, String> {
        Request::parse(Method::Put, path, query, body.as_bytes()).map_err(|fault| fault.json())
    }

    fn get(path: &str, query: &str) -> Result<Request, String> {
        Request::parse(Method::Get, path, query, b"").map_err(|fault| fault.json())
    }

    #[test]
    fn calls_of_zan_are_read() {
        let request = put("/nova:com.x/app/10.9.8.7:8100", "", "value=%7B%22a%22%3A1%7D&ttl=30");
        let request = request.unwrap();
        assert_eq!(request.path, "/nova:com.x/app/10.9.8.7:8100");
        assert_eq!((request.value.as_str(), request.ttl), ("{\"a\":1}", Some(30)));
        let request = put("/a", "", "ttl=30&refresh=1&prevExist=1").unwrap();
        assert!(request.refresh);
        assert_eq!((request.prev_exist, request.ttl), (Some(true), Some(30)));
        let request = get("/a/b", "wait=1&recursive=1&waitIndex=77").unwrap();
        assert!(request.wait && request.recursive);
        assert_eq!(request.wait_index, 77);
    }

    #[test]
    fn a_body_counts_before_the_query_and_only_where_there_is_one() {
        assert_eq!(put("/a", "value=query&ttl=7", "value=body").unwrap().value, "body");
        assert_eq!(put("/a", "value=query&ttl=7", "value=body").unwrap().ttl, Some(7));
        assert_eq!(put("/a", "", "value=a+b%2B&value=c").unwrap().value, "a b+");
        let request = Request::parse(Method::Delete, "/a", "", b"prevValue=x").unwrap();
        assert_eq!(request.prev_value, None);
        assert_eq!(put("/a", "", "ttl=").unwrap().ttl, None);
    }

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (path, clean) in [
            ("", "/"),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a%2Fb", "/a/b"),
            ("/a+b", "/a+b"),
            ("/%C3%BC", "/\u{fc}"),
        ] {
            assert_eq!(get(path, "").unwrap().path, clean, "{path}");
        }
        let long = format!("/{}", "a".repeat(KEY_OCTETS_MAX));
        let deep = "/a".repeat(KEY_PARTS_MAX + 1);
        for path in ["/..", "/a/../b", "/a%00b", "/%0a", "/%", "/%zz", "/%ff", &long, &deep] {
            let fault = Request::parse(Method::Get, path, "", b"").unwrap_err();
            assert_eq!(fault.status(), 400, "{path}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_etcd_does() {
        for (body, number, cause) in [
            ("ttl=-1", 202, r#"invalid value for \"ttl\""#),
            ("ttl=x", 202, r#"invalid value for \"ttl\""#),
            ("prevExist=maybe", 209, "invalid value for prevExist"),
            ("refresh=maybe", 209, "invalid value for refresh"),
            ("dir=maybe", 209, r#"invalid value for \"dir\""#),
            ("prevIndex=x", 203, r#"invalid value for \"prevIndex\""#),
            ("prevIndex=", 203, r#"invalid value for \"prevIndex\""#),
            ("prevIndex=+1", 203, r#"invalid value for \"prevIndex\""#),
            ("prevValue=", 201, r#"\"prevValue\" cannot be empty"#),
            ("refresh=1&ttl=1&value=x", 211, "A value was provided on a refresh"),
            ("refresh=1", 212, "No TTL value set"),
            ("wait=1", 209, r#"\"wait\" can only be used with GET requests"#),
            ("value=%zz", 210, r#"invalid URL escape \"%zz\""#),
            ("value=%", 210, r#"invalid URL escape \"%\""#),
            ("value=%ff", 210, "not UTF-8"),
        ] {
            let said = put("/a", "", body).unwrap_err();
            let number = format!("{{\"errorCode\":{number},");
            let cause = format!("\"cause\":\"{cause}\",\"index\":0}}");
            assert!(said.starts_with(&number) && said.ends_with(&cause), "{body}: {said}");
        }
        assert!(put("/a", "", "prevIndex=0&ttl=30&dir=0").is_ok());
        let many = "a=1&".repeat(FIELDS_MAX + 1);
        assert!(put("/a", "", &many).unwrap_err().contains("more than 64 fields"));
    }

    proptest! {
        #[test]
        fn anything_is_read_within_bounds_or_refused(
            path in "(/|[a-c.]|%2[eEfF]|%00|%[0-9a-f]?|\\PC){0,40}",
            query in "([a-z=&%+]|wait=1|ttl=|prevIndex=9){0,20}",
            body in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            if let Ok(request) = Request::parse(Method::Put, &path, &query, &body) {
                let path = request.path;
                prop_assert!(path.starts_with('/') && path.len() <= KEY_OCTETS_MAX);
                let parts: Vec<&str> = path.split('/').skip(1).collect();
                prop_assert!(path == "/" || parts.iter().all(|p| !matches!(*p, "" | "." | "..")));
                prop_assert!(!path.contains('\0'));
            }
        }
    }
}
