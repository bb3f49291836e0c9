//! What is behind the question mark of a call: parameters that may be there several times, or without a value.
//!
//! Knows nothing of what they are for.

use std::time::Duration;

use super::GoDuration;

/// How long a blocking query waits that does not say, and at most (agent/consul/rpc.go).
const WAIT_DEFAULT: Duration = Duration::from_secs(300);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Part of the wait by which it may be longer, so that those who wait together don't come back together.
const JITTER_PART: u32 = 16;

/// The parameters of a call, in their order.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

/// What a blocking query waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocking {
    /// The index that the client knows; 0 is none.
    pub(super) index: u64,
    pub(super) wait: Duration,
}

impl Query {
    pub(super) fn new(text: &str) -> Self {
        Self { pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect() }
    }

    /// The first value of that name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether something is asked for: by its name alone, or with a value that says so.
    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.first(name) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(text) => parse_bool(text).ok_or_else(|| format!("Invalid value for ?{name}")),
        }
    }

    /// Whether `enable` says on or off; it has to say one.
    pub(super) fn enable(&self) -> Result<bool, String> {
        let text = self.first("enable").ok_or_else(|| "Missing value for enable".to_owned())?;
        parse_bool(text).ok_or_else(|| format!("Invalid value for enable: {text:?}"))
    }

    /// What is waited for, if anything is; `draw` is a number of 0 to 1.
    pub(super) fn blocking(&self, draw: f64) -> Result<Blocking, String> {
        let index = match self.first("index") {
            None | Some("") => 0,
            Some(text) => text.parse().map_err(|_| "Invalid index".to_owned())?,
        };
        let wait = match self.first("wait") {
            None | Some("") => Duration::ZERO,
            Some(text) => {
                text.parse::<GoDuration>().map_err(|why| format!("Invalid wait time: {why}"))?.0
            }
        };
        let wait = if wait.is_zero() { WAIT_DEFAULT } else { wait.min(WAIT_MAX) };
        Ok(Blocking { index, wait: wait + (wait / JITTER_PART).mul_f64(draw) })
    }
}

/// As Go's `strconv.ParseBool`, and as Python writes them.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded_and_spread() {
        let blocking = |text: &str, draw| Query::new(text).blocking(draw);
        for (text, draw, index, millis) in [
            ("", 0.0, 0, 300_000),
            ("index=7", 0.0, 7, 300_000),
            ("index=7&wait=55s", 0.0, 7, 55_000),
            ("index=7&wait=60000ms", 1.0, 7, 63_750),
            ("wait=1h&index=", 0.0, 0, 600_000),
            ("wait=0s", 0.0, 0, 300_000),
        ] {
            let wait = Duration::from_millis(millis);
            assert_eq!(blocking(text, draw), Ok(Blocking { index, wait }), "{text}");
        }
        for (text, why) in [
            ("index=x", "Invalid index"),
            ("index=-1", "Invalid index"),
            ("wait=5", "Invalid wait time: "),
        ] {
            assert!(blocking(text, 0.0).unwrap_err().starts_with(why), "{text}");
        }
    }

    #[test]
    fn parameters_may_be_there_often_or_without_a_value() {
        let query = Query::new("passing&tag=a&tag=b%20c&stale=&on=0&enable=True");
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(query.first("dc"), None);
        let flags = ["passing", "stale", "on", "off"].map(|name| query.flag(name));
        assert_eq!(flags, [Ok(true), Ok(true), Ok(false), Ok(false)]);
        assert_eq!(query.enable(), Ok(true));
        let said = |text: &str| Query::new(text).enable().unwrap_err();
        assert_eq!(said(""), "Missing value for enable");
        assert_eq!(said("enable="), "Invalid value for enable: \"\"");
        assert_eq!(
            Query::new("passing=x").flag("passing").unwrap_err(),
            "Invalid value for ?passing"
        );
    }
}
