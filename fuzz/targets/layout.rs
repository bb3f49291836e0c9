//! Any key with any value under the prefix is read, or rejected with a reason of one line; it never panics.
//!
//! An input is the key behind the prefix, a line feed, and the value.

#![cfg_attr(not(test), no_main)]

use bytes::Bytes;
use rollcall::layout::Parsed;
use rollcall::layout::native::{Keys, PREFIX_DEFAULT};
use rollcall::registry::Entry;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |octet| *octet == b'\n');
    let key = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default();
    let entry = Entry {
        key: [PREFIX_DEFAULT.as_bytes(), key].concat().into(),
        value: Bytes::copy_from_slice(value),
        revision: 1,
        lease: None,
    };
    let keys = Keys::new(PREFIX_DEFAULT);
    match keys.parse(&entry) {
        Parsed::Instance(registration) => {
            assert!(!registration.instance.endpoints.is_empty());
            let id = registration.id.parse().expect("ids of our own layout are legal");
            assert_eq!(
                keys.instance(&registration.namespace, &registration.app, &id),
                entry.key,
                "two keys for one instance"
            );
        }
        Parsed::Rejected(reason) => {
            assert!(!reason.is_empty() && !reason.contains('\n'), "reason {reason:?}");
        }
        Parsed::Offline(_) | Parsed::Departed(_) | Parsed::Bookkeeping => {}
        Parsed::Plain(_) => panic!("our own layout has no plain records"),
    }
});
