//! What strangers say of an instance beyond where it is, made to fit: what is only too much is left out, since an instance
//! that lacks a tag serves better than one that is refused for it.
//!
//! Whoever registers with us by our own calls is told instead: [`super::Spec::resolve`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::instance::limits;
use super::mapping::map_label;
use super::name::Label;

/// As many pairs as fit a TXT record, in the order of their keys; of keys that differ in case only, the first.
#[must_use]
pub fn fit_meta(pairs: BTreeMap<String, String>) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut left = limits::META_OCTETS_MAX;
    let mut kept: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    for (key, value) in pairs {
        let octets = key.len() + 1 + value.len();
        let printable = |key: &str| {
            !key.is_empty()
                && key.bytes().all(|octet| matches!(octet, 0x20..=0x7e) && octet != b'=')
        };
        if printable(&key)
            && !value.contains('\0')
            && octets <= limits::META_PAIR_OCTETS_MAX.min(left)
            && kept.len() < limits::META_PAIRS_MAX
            && !kept.keys().any(|other| other.eq_ignore_ascii_case(&key))
        {
            left -= octets;
            kept.insert(key.into(), value.into());
        }
    }
    kept
}

/// The tags that have names, each once.
#[must_use]
pub fn fit_tags(raw: &[String]) -> Vec<Label> {
    let mut tags: Vec<Label> = Vec::new();
    for tag in raw {
        if let Ok(tag) = map_label(tag.as_bytes())
            && tags.len() < limits::TAGS_MAX
            && !tags.contains(&tag)
        {
            tags.push(tag);
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_do_not_fit_are_left_out() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let long = "x".repeat(limits::META_PAIR_OCTETS_MAX);
        let pairs = [
            pair("", "no key"),
            pair("A", "1"),
            pair("a", "2"),
            pair("b=", "3"),
            pair("c\u{7f}", "4"),
            pair("d", "nul\0"),
            pair("e", &long),
            pair("f", "ü"),
        ];
        let kept = fit_meta(pairs.into());
        assert_eq!(kept, [("A", "1"), ("f", "ü")].map(|(k, v)| (k.into(), v.into())).into());
        let many = (0..100).map(|n| pair(&format!("{n:03}"), "")).collect();
        assert_eq!(fit_meta(many).len(), limits::META_PAIRS_MAX);
        let large = (0..10).map(|n| pair(&n.to_string(), &"x".repeat(250))).collect();
        assert_eq!(fit_meta(large).len(), limits::META_OCTETS_MAX / 252);
    }

    #[test]
    fn tags_are_mapped_and_each_is_there_once() {
        let raw = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        let tags = fit_tags(&raw(&["V_2", "::", "v-2", "blue"]));
        assert_eq!(tags, ["v-2", "blue"].map(|tag| Label::new(tag).unwrap()));
        let many: Vec<_> = (0..100).map(|n| format!("t{n}")).collect();
        assert_eq!(fit_tags(&many).len(), limits::TAGS_MAX);
    }
}
