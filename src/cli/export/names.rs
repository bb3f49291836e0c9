//! Which names an app has in a zone, and which records there may be of each: the table in the README, turned into questions.
//!
//! A question too many costs an empty answer, one too few a record; so nothing is decided here that the server decides.
//!
//! Knows nothing of answers.

use std::collections::BTreeSet;

use hickory_proto::rr::RecordType;

use crate::cli::replies::App;

/// A name, with its final dot, and a type.
pub(super) type Question = (String, RecordType);

/// What is asked of the zone itself. Its SOA comes first: it tells whether there is such a zone.
pub(super) fn of_zone(zone: &str) -> Vec<Question> {
    [RecordType::SOA, RecordType::NS].map(|rtype| (zone.to_owned(), rtype)).into()
}

/// What is asked of a host.
pub(super) fn of_host(name: &str) -> Vec<Question> {
    [RecordType::A, RecordType::AAAA].map(|rtype| (name.to_owned(), rtype)).into()
}

/// What is asked of an app, its instances and tags.
pub(super) fn of_app(zone: &str, app: &str, shown: &App) -> BTreeSet<Question> {
    let name = format!("{app}.{zone}");
    let mut questions = BTreeSet::from_iter(of_host(&name));
    questions.insert((name.clone(), RecordType::SRV));
    questions.insert((format!("_services._dns-sd._udp.{name}"), RecordType::PTR));
    for instance in &shown.instances {
        let label = instance.label.as_deref();
        let parts: Vec<String> = label
            .into_iter()
            .chain(instance.tags.iter().map(String::as_str))
            .map(|part| format!("{part}.{name}"))
            .collect();
        questions.extend(parts.iter().flat_map(|part| of_host(part)));
        for endpoint in &instance.endpoints {
            let service = format!("_{}._{}", endpoint.protocol, endpoint.transport);
            for rtype in [RecordType::SRV, RecordType::PTR] {
                questions.insert((format!("{service}.{name}"), rtype));
            }
            questions
                .extend(parts.iter().map(|part| (format!("{service}.{part}"), RecordType::SRV)));
            for rtype in [RecordType::SRV, RecordType::TXT] {
                let instance = label.map(|label| (format!("{label}.{service}.{name}"), rtype));
                questions.extend(instance);
            }
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_name_of_an_app_is_asked_for() {
        let endpoint = json!({ "protocol": "http", "transport": "tcp", "port": 80 });
        let instance =
            json!({ "id": "I:1", "label": "i-1", "endpoints": [endpoint], "tags": ["v2"] });
        let unnamed = json!({ "id": "i-2", "label": null, "endpoints": [endpoint], "tags": [] });
        let app = serde_json::from_value(json!({ "instances": [instance, unnamed] })).unwrap();
        let questions = of_app("svc.", "web", &app);
        let texts: Vec<_> =
            questions.iter().map(|(name, rtype)| format!("{name} {rtype}")).collect();
        assert_eq!(
            texts,
            [
                "_http._tcp.i-1.web.svc. SRV",
                "_http._tcp.v2.web.svc. SRV",
                "_http._tcp.web.svc. PTR",
                "_http._tcp.web.svc. SRV",
                "_services._dns-sd._udp.web.svc. PTR",
                "i-1._http._tcp.web.svc. TXT",
                "i-1._http._tcp.web.svc. SRV",
                "i-1.web.svc. A",
                "i-1.web.svc. AAAA",
                "v2.web.svc. A",
                "v2.web.svc. AAAA",
                "web.svc. A",
                "web.svc. AAAA",
                "web.svc. SRV",
            ]
        );
    }
}
