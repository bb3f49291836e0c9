//! Any octets as the body of a call to haunt: groups within the limits of the house, or one line that says why not; and
//! what was registered can be taken away by the same body.

#![cfg_attr(not(test), no_main)]

use rollcall::compat::haunt::groups;
use rollcall::layout::native::instance_value;
use rollcall::model::{Namespace, Spec, limits};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let namespace = Namespace::default();
    match groups(body, &namespace) {
        Ok(read) => {
            assert!((1..=1_000).contains(&read.len()), "{} groups", read.len());
            for group in &read {
                let instance = &group.registration.instance;
                assert!(instance.host.is_none() && instance.addresses.len() == 1);
                assert!(instance.endpoints.len() == 1 && instance.endpoints[0].port > 0);
                assert!(instance.meta.len() <= limits::META_PAIRS_MAX);
                // It can be written, and read again as the same.
                let spec: Spec = serde_json::from_slice(&instance_value(instance)).unwrap();
                assert_eq!(spec.resolve(None).as_ref(), Ok(instance));
            }
            assert_eq!(groups(body, &namespace), Ok(read));
        }
        Err(reason) => {
            assert!(!reason.is_empty() && !reason.contains('\n'), "reason {reason:?}");
            assert!(reason.chars().count() <= 300, "reason {reason:?}");
        }
    }
});
