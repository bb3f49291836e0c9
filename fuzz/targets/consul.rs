//! Any body of a registration with Consul's agent is read within its rules or refused, and what it registers is an
//! instance that our layout reads again as it was written.

#![cfg_attr(not(test), no_main)]

use rollcall::compat::consul::{definition, registered};
use rollcall::layout::Parsed;
use rollcall::layout::native::{Keys, instance_value};
use rollcall::model::{Instance, Namespace};
use rollcall::registry::Entry;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = definition::check(body).map(|check| assert!(check.id.is_some()));
    let _ = definition::update(body);
    let read = definition::service(body);
    if let Ok((service, checks)) = &read {
        assert!(!service.id.is_empty() && !service.name.is_empty());
        assert!(service.weights.passing > 0 && checks.len() <= definition::CHECKS_MAX);
    }
    let Ok(Some((app, id, instance))) = registered(body) else { return };
    assert!(read.is_ok());
    let namespace = Namespace::default();
    let keys = Keys::new("/rollcall/v1/");
    let instance = Instance { ttl: Some(30), ..instance };
    let entry = Entry {
        key: keys.instance(&namespace, &app, &id),
        value: instance_value(&instance),
        revision: 1,
        lease: None,
    };
    match keys.parse(&entry) {
        Parsed::Instance(again) => assert_eq!(again.instance, instance),
        other => panic!("{instance:?} is read as {other:?}"),
    }
});
