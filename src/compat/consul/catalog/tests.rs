//! What is listed of what others registered.

use std::sync::Arc;

use super::*;
use crate::layout::{Note, OfflineMark, Registration};
use crate::model::{Instance, Spec};
use crate::zone::AppView;

fn instance(spec: &str) -> Instance {
    serde_json::from_str::<Spec>(spec).unwrap().resolve(None).unwrap()
}

fn view(id: &str, origin: Origin, spec: &str, state: State) -> Arc<InstanceView> {
    let registration = Registration {
        namespace: Namespace::default(),
        app: AppName::new("web").unwrap(),
        id: id.into(),
        origin,
        disabled: matches!(state, State::Disabled(_)),
        instance: instance(spec),
    };
    let registration = Arc::new(registration);
    Arc::new(InstanceView { registration, lease: None, revision: 7, label: None, state })
}

fn listed(instances: Vec<Arc<InstanceView>>, name: &str) -> Vec<EntryJson> {
    let mut directory = Directory::default();
    directory.insert(AppView {
        namespace: Namespace::default(),
        app: AppName::new("web").unwrap(),
        instances,
        offline: None,
        joined: BTreeMap::new(),
        absent_marks: Vec::new(),
        pinned: false,
    });
    let (namespace, agent) = (Namespace::default(), Agent::default());
    let sight = Sight { directory: &directory, namespace: &namespace, agent: &agent, node: "n" };
    let named = !names(&directory, &namespace, own_names(&agent)).is_empty();
    let found = sight.service(name);
    assert_eq!(named, !found.is_empty());
    found
}

const ONE: &str = r#"{"address": "10.0.0.1", "port": 80, "weight": 700, "tags": ["blue"]}"#;

#[test]
fn an_instance_of_anybody_is_a_service_on_a_node() {
    let found = listed(vec![view("a", Origin::NATIVE, ONE, State::Online)], "Web");
    let [EntryJson { node, service, checks }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((node.node.as_str(), node.address.as_str()), ("10.0.0.1", "10.0.0.1"));
    assert_eq!((service.id.as_str(), service.service.as_str()), ("a", "Web"));
    assert_eq!((service.address.as_str(), service.port), ("10.0.0.1", 80));
    assert_eq!(service.weights, Weights { passing: 7, warning: 7 });
    assert_eq!((service.tags.as_slice(), service.modify_index), (&["blue".to_owned()][..], 7));
    assert_eq!((checks.len(), found[0].is_passing()), (1, true));
    for name in ["nobody", "::", ""] {
        let none = Sight {
            directory: &Directory::default(),
            namespace: &Namespace::default(),
            agent: &Agent::default(),
            node: "n",
        };
        assert_eq!(none.service(name).len(), 0, "{name}");
    }
}

#[test]
fn what_takes_no_traffic_does_not_pass() {
    let note = Note { reason: "so".to_owned(), ..Note::default() };
    let (namespace, app) = (Namespace::default(), AppName::new("web").unwrap());
    let mark = Arc::new(OfflineMark { namespace, app, id: None, of: None, note });
    for (state, check) in [
        (State::Offline(mark), Some("_service_maintenance:a")),
        (State::Disabled("k".into()), Some("service:a")),
        (State::Pinned, None),
        (State::Rejected("why".into()), None),
    ] {
        let found = listed(vec![view("a", Origin::NATIVE, ONE, state.clone())], "web");
        let critical = found.first().map(|entry| {
            assert!(!entry.is_passing(), "{state:?}");
            entry.checks[1].check_id.as_str()
        });
        assert_eq!(critical, check, "{state:?}");
    }
}

#[test]
fn clients_of_go_micro_and_kratos_find_what_they_look_for() {
    let go_micro = r#"{"address": "10.0.0.1", "port": 80, "meta":
        {"registry": "etcd", "server": "grpc", "protocol": "grpc", "version": "1.4.2"}}"#;
    let found = listed(vec![view("a", Origin::NATIVE, go_micro, State::Online)], "web");
    let tags: Vec<&str> = found[0].service.tags.iter().map(String::as_str).collect();
    let metadata = r#"t={"protocol":"grpc","registry":"etcd","server":"grpc"}"#;
    assert_eq!(tags, [metadata, "v=1.4.2"]);
    let read = crate::compat::consul::Tags::read(tags);
    assert_eq!((read.version.as_deref(), &*read.metadata["server"]), (Some("1.4.2"), "grpc"));
    let kratos = r#"{"address": "10.0.0.1", "meta": {"version": "v1"}, "endpoints": [
        {"protocol": "http", "port": 8000}, {"protocol": "grpc", "port": 9000, "addresses": ["fd00::1"]}]}"#;
    let found = listed(vec![view("a", Origin::NATIVE, kratos, State::Online)], "web");
    let service = &found[0].service;
    assert_eq!((service.tags.as_slice(), service.port), (&["version=v1".to_owned()][..], 8_000));
    let urls: Vec<_> = service.tagged_addresses.values().map(|tagged| &*tagged.address).collect();
    assert_eq!(urls, ["grpc://[fd00::1]:9000", "http://10.0.0.1:8000"]);
    // Without such a URL its client takes what there is for HTTP.
    let one = r#"{"address": "10.0.0.1", "meta": {"grpc.isSecure": "true", "x.isSecure": "true"},
        "endpoints": [{"protocol": "grpc", "port": 9000}]}"#;
    let found = listed(vec![view("a", Origin::NATIVE, one, State::Online)], "web");
    let service = &found[0].service;
    assert_eq!(service.tagged_addresses["grpc"].address, "grpc://10.0.0.1:9000?isSecure=true");
    assert_eq!(service.meta.keys().collect::<Vec<_>>(), ["x.isSecure"], "it is told in its place");
}

#[test]
fn one_that_two_layouts_have_is_listed_once() {
    let foreign = Origin(1);
    let other = r#"{"address": "10.0.0.1", "port": 81}"#;
    let found = listed(
        vec![
            view("a", Origin::NATIVE, ONE, State::Online),
            view("a", foreign, ONE, State::Online),
            view("b", foreign, other, State::Online),
        ],
        "web",
    );
    let ids: Vec<_> = found.iter().map(|entry| (&*entry.service.id, entry.service.port)).collect();
    assert_eq!(ids, [("a", 80), ("b", 81)]);
}
