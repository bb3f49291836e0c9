//! How raw names of other systems become legal ones, and how names that collide are told apart.
//!
//! Mapping folds upper case and turns every other character outside a-z and 0-9 into `-`
//! (`10.9.42.107:8100` is `10-9-42-107-8100`); hyphens at the edges are dropped, since a label may not have
//! them. It is total: any octets give a legal name or an error that names the rule. Whether the mapped
//! name is free is not known here: claims decide that.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use super::name::{AppName, LABEL_OCTETS_MAX, Label, NameError, PROTOCOL_OCTETS_MAX, Protocol};

/// Characters of the hash in a derived label: 30 bits, so that a clash needs intent.
const HASH_CHARS: usize = 6;

/// Maps one raw name, in any octets, to a legal label.
///
/// A mapping longer than a label gives the derived label, which is cut to fit.
///
/// # Errors
/// [`NameError::Empty`] where no letter or digit is left.
pub fn map_label(raw: &[u8]) -> Result<Label, NameError> {
    let mapped: String = String::from_utf8_lossy(raw)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let mapped = mapped.trim_matches('-');
    if mapped.len() > LABEL_OCTETS_MAX {
        Ok(derived_label(mapped, raw))
    } else {
        Label::new(mapped)
    }
}

/// Maps a raw app name, label by label.
///
/// # Errors
/// [`NameError::Empty`] where a label keeps no letter or digit, [`NameError::TooLong`] where the whole
/// exceeds an app name's 120 octets.
pub fn map_app(raw: &[u8]) -> Result<AppName, NameError> {
    let labels: Vec<String> = raw
        .split(|octet| *octet == b'.')
        .map(|label| map_label(label).map(|label| label.to_string()))
        .collect::<Result<_, _>>()?;
    AppName::new(&labels.join("."))
}

/// Maps a raw protocol to one that a service label can name: what is too long is cut, and hyphens stand alone
/// (RFC 6335 section 5.1).
///
/// # Errors
/// [`NameError::Empty`] where no letter or digit is left, [`NameError::NoLetter`] where no letter is.
pub fn map_protocol(raw: &[u8]) -> Result<Protocol, NameError> {
    let mapped = map_label(raw)?;
    let mut text = String::with_capacity(PROTOCOL_OCTETS_MAX);
    for c in mapped.as_str().chars().take(PROTOCOL_OCTETS_MAX) {
        if !(c == '-' && text.ends_with('-')) {
            text.push(c);
        }
    }
    Protocol::new(text.trim_end_matches('-'))
}

/// The label `{label}-{h}`, cut so that the whole fits 63 octets, `h` being the first 6 characters of the
/// lower-case base32 (RFC 4648) SHA-256 of the raw name.
///
/// `label` is a legal label or a longer text of the same characters.
#[must_use]
pub fn derived_label(label: &str, raw: &[u8]) -> Label {
    let hash = BASE32_NOPAD.encode(&Sha256::digest(raw)).to_ascii_lowercase();
    let room = LABEL_OCTETS_MAX - HASH_CHARS - 1;
    let stem = label.get(..room).unwrap_or(label).trim_end_matches('-');
    let text = format!("{stem}-{}", &hash[..HASH_CHARS]);
    Label::new(text.trim_start_matches('-'))
        .expect("a stem of a-z, 0-9 and '-' with base32 behind it is a legal label")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folds_case_and_maps_other_characters() {
        assert_eq!(map_label(b"10.9.42.107:8100").unwrap().as_str(), "10-9-42-107-8100");
        assert_eq!(map_label(b"Greeter_1").unwrap().as_str(), "greeter-1");
        assert_eq!(map_label("händler".as_bytes()).unwrap().as_str(), "h-ndler");
        assert_eq!(map_app(b"Go.Micro.srv_x").unwrap().as_str(), "go.micro.srv-x");
        assert_eq!(map_label(b"::").unwrap_err(), NameError::Empty);
    }

    #[test]
    fn protocols_are_cut_to_what_a_service_label_can_name() {
        for (raw, mapped) in
            [("gRPC", "grpc"), ("a::b", "a-b"), ("service_1.example.org", "service-1-examp")]
        {
            assert_eq!(map_protocol(raw.as_bytes()).unwrap().as_str(), mapped);
        }
        assert_eq!(map_protocol(b"80").unwrap_err(), NameError::NoLetter);
        assert_eq!(map_protocol(b"_").unwrap_err(), NameError::Empty);
    }

    #[test]
    fn derives_from_the_raw_name() {
        // printf %s 'a_b' | sha256sum | xxd -r -p | base32: the first six characters in lower case.
        assert_eq!(derived_label("a-b", b"a_b").as_str(), "a-b-msh2tm");
        assert_eq!(derived_label(&"x".repeat(63), b"a_b").as_str().len(), 63);
    }

    proptest! {
        #[test]
        fn any_octets_give_a_legal_label_or_a_rule(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            match map_label(&raw) {
                Ok(label) => prop_assert_eq!(Label::new(label.as_str()), Ok(label)),
                Err(rule) => {
                    prop_assert_eq!(rule, NameError::Empty);
                    prop_assert!(!raw.iter().any(u8::is_ascii_alphanumeric));
                }
            }
            if let Ok(app) = map_app(&raw) {
                prop_assert!(app.as_str().len() <= 120);
            }
        }

        #[test]
        fn legal_text_keeps_its_label(text in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") {
            let derived = derived_label(&text, text.as_bytes());
            prop_assert!(derived.as_str().len() <= 63 && derived.as_str() != text);
            prop_assert_eq!(map_label(text.as_bytes()).unwrap().to_string(), text);
        }
    }
}
