//! Any key with any value that another system's layout may hold is read within the limits of ours, or rejected with a
//! reason of one line; it never panics.
//!
//! An input is the system's name, `+` before it if the key has a lease, a line feed, the key, a line feed, and the value.

#![cfg_attr(not(test), no_main)]

use bytes::Bytes;
use rollcall::layout::foreign::{Foreign, System};
use rollcall::layout::{FullName, Parsed};
use rollcall::model::{Namespace, limits};
use rollcall::registry::{Entry, LeaseId, Origin};

/// What a reason may be: it quotes what was written.
const REASON_CHARS_MAX: usize = 303;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |octet| *octet == b'\n');
    let name = std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let key = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    let value = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    let (lease, name) = match name.strip_prefix('+') {
        Some(name) => (LeaseId::new(1), name),
        None => (None, name),
    };
    let Ok(system) = name.parse::<System>() else { return };
    let entry = Entry { key, value, revision: 1, lease };
    for prefix in ["", "/", system.prefix_default().unwrap_or("/services/")] {
        let namespace = Namespace::default();
        let layout = Foreign { origin: Origin(1), system, prefix: prefix.into(), namespace };
        match layout.parse(&entry) {
            Parsed::Instance(registration) => {
                let instance = &registration.instance;
                assert!(!registration.id.is_empty() && registration.origin == Origin(1));
                assert!(instance.addresses.is_empty() == instance.host.is_some());
                assert!((1..=limits::ENDPOINTS_MAX).contains(&instance.endpoints.len()));
                assert!(instance.addresses.len() <= limits::ADDRESSES_MAX);
                assert!(instance.tags.len() <= limits::TAGS_MAX);
                assert!(instance.meta.len() <= limits::META_PAIRS_MAX);
                assert!(instance.endpoints.iter().all(|endpoint| endpoint.port > 0));
            }
            Parsed::Plain(record) => {
                assert!(record.host.is_some() || record.text.is_some());
                let names = [Some(&record.name), record.derived.as_ref()].into_iter().flatten();
                for name in names {
                    assert_eq!(FullName::new(name.labels()).as_ref(), Ok(name), "no name");
                }
                assert!(record.port != Some(0) && record.weight > 0 && record.priority > 0);
            }
            Parsed::Rejected(reason) => {
                assert!(!reason.is_empty() && !reason.contains(char::is_control), "{reason:?}");
                assert!(reason.chars().count() <= REASON_CHARS_MAX, "{reason:?}");
            }
            _ => {}
        }
    }
});
