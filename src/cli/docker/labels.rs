//! What a container says of its services: variables and labels `SERVICE_X`, and `SERVICE_80_X` for one port
//! (gliderlabs/registrator, `bridge/util.go` and `docs/user/services.md`).
//!
//! Knows nothing of addresses.

use std::collections::BTreeMap;

use super::container::Config;

const PREFIX: &str = "SERVICE_";

/// What is said of one port, by names in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    said: BTreeMap<String, Said>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    value: String,
    /// By `SERVICE_80_X`, not by `SERVICE_X`.
    of_port: bool,
}

impl Labels {
    /// What is said of that port. What is said of it alone wins over what is said of all, a label over a variable.
    pub(super) fn of(config: &Config, port: &str) -> Self {
        let variables = config.env.iter().filter_map(|variable| variable.split_once('='));
        let labels = config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut said: BTreeMap<String, Said> = BTreeMap::new();
        for (name, value) in variables.chain(labels) {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            let name = name.to_ascii_lowercase();
            let (name, of_port) = match name.split_once('_') {
                Some((number, name)) if is_number(number) => {
                    if number != port {
                        continue;
                    }
                    (name.to_owned(), true)
                }
                _ => (name, false),
            };
            if of_port || !said.get(&name).is_some_and(|said| said.of_port) {
                said.insert(name, Said { value: value.to_owned(), of_port });
            }
        }
        Self { said }
    }

    /// Takes out what is said under a name, unless it is nothing.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.said.remove(name).map(|said| said.value).filter(|value| !value.is_empty())
    }

    /// Whether something is said under that name of this port alone.
    pub(super) fn is_of_port(&self, name: &str) -> bool {
        self.said.get(name).is_some_and(|said| said.of_port)
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> BTreeMap<String, String> {
        self.said.into_iter().map(|(name, said)| (name, said.value)).collect()
    }
}

/// As Go's `strconv.Atoi` takes numbers, of which only those are ports.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// A list with commas between its items; `\,` is a comma within one.
pub(super) fn list(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, items.last_mut()) {
            ('\\', Some(last)) if chars.next_if_eq(&',').is_some() => last.push(','),
            (',', _) => items.push(String::new()),
            (c, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(env: &[&str], labels: &[(&str, &str)], port: &str) -> String {
        let config = Config {
            env: env.iter().map(ToString::to_string).collect(),
            labels: labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            ..Config::default()
        };
        let rest = Labels::of(&config, port).rest();
        rest.iter().map(|(name, value)| format!("{name}={value};")).collect()
    }

    #[test]
    fn what_is_said_of_a_port_wins_over_what_is_said_of_all() {
        for order in
            [["SERVICE_80_NAME=a", "SERVICE_NAME=b"], ["SERVICE_NAME=b", "SERVICE_80_NAME=a"]]
        {
            assert_eq!(labels(&order, &[], "80"), "name=a;");
            assert_eq!(labels(&order, &[], "81"), "name=b;");
            // A label for all does not win over a variable for one.
            assert_eq!(labels(&order, &[("SERVICE_NAME", "c")], "80"), "name=a;");
            assert_eq!(labels(&order, &[("SERVICE_NAME", "c")], "81"), "name=c;");
            assert_eq!(labels(&order, &[("SERVICE_80_NAME", "c")], "80"), "name=c;");
        }
    }

    #[test]
    fn names_are_in_lower_case_and_others_are_not_ours() {
        let env = ["PATH=/bin", "SERVICE_Region=us=2", "SERVICE_", "SERVICE_X", "SERVICE_80=x"];
        assert_eq!(
            labels(&env, &[("org.x", "y"), ("SERVICE_CHECK_HTTP", "/")], "80"),
            "80=x;check_http=/;region=us=2;"
        );
    }

    #[test]
    fn lists_have_commas_and_may_escape_them() {
        assert_eq!(list("a,b"), ["a", "b"]);
        assert_eq!(list(",a,,b,"), ["a", "b"]);
        assert_eq!(list("a\\,b,c\\d,\\,"), ["a,b", "c\\d", ","]);
        assert!(list("").is_empty());
    }
}
