//! Any HTTP body is refused with a reason, or describes an instance that comes back equal from what is stored of it.

#![cfg_attr(not(test), no_main)]

use std::net::{IpAddr, Ipv4Addr};

use rollcall::layout::Parsed;
use rollcall::layout::native::{Keys, PREFIX_DEFAULT, instance_value};
use rollcall::model::{AppName, Label, Namespace, Spec};
use rollcall::registry::Entry;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Spec>(body) else { return };
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let instance = match spec.resolve(Some(peer)) {
        Ok(instance) => instance,
        Err(refused) => {
            let line = refused.to_string();
            assert!(!refused.field.is_empty(), "refused without a field: {line}");
            assert!(!line.contains('\n'), "refused in two lines: {line}");
            return;
        }
    };

    let keys = Keys::new(PREFIX_DEFAULT);
    let app = AppName::new("greeter").expect("a legal app");
    let id = Label::new("i-1").expect("a legal label");
    let entry = Entry {
        key: keys.instance(&Namespace::default(), &app, &id),
        value: instance_value(&instance),
        revision: 1,
        lease: None,
    };
    match keys.parse(&entry) {
        Parsed::Instance(stored) => assert_eq!(stored.instance, instance),
        other => panic!("stored {entry:?}, read {other:?}"),
    }
});
