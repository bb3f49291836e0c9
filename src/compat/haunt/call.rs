//! The body of a call: one object with one array, of which each element is a group that the server serves, told apart by
//! protocol, domain and app.
//!
//! All of it is right or all of it is refused: a server that is half registered would look well.
//!
//! Knows nothing of what is done with it.

use serde::Deserialize;
use serde_json::Value;

use crate::layout::Registration;
use crate::layout::foreign::{nova, reason_line};
use crate::model::{Label, Namespace, map_label};

/// Groups of one call: a server has as many as it has protocols, domains and apps together.
const GROUPS_MAX: usize = 1_000;
/// Octets of a domain: it is free text, of which many are kept.
const DOMAIN_OCTETS_MAX: usize = 255;

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it registers, as the same words in etcd would.
    pub registration: Registration,
    /// Its id as our own layout has it.
    pub id: Label,
    /// The domain that it is for; DNS has it nowhere.
    pub domain: String,
}

/// The groups of a body.
///
/// # Errors
/// The field that is wrong, and why.
pub fn groups(body: &[u8], namespace: &Namespace) -> Result<Vec<Group>, String> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "SrvList")]
        groups: Vec<Value>,
    }

    // serde would take an array too, for the fields in the order in which they stand.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("the body must be a JSON object with SrvList".to_owned());
    }
    let Body { groups } = serde_json::from_slice(body)
        .map_err(|error| reason_line(&format!("the body is wrong: {error}")))?;
    if groups.is_empty() || groups.len() > GROUPS_MAX {
        return Err(format!("SrvList must hold 1 to {GROUPS_MAX} services, got {}", groups.len()));
    }
    let read = groups.iter().enumerate();
    read.map(|(i, element)| {
        group(element, namespace).map_err(|why| reason_line(&format!("SrvList[{i}]: {why}")))
    })
    .collect()
}

fn group(element: &Value, namespace: &Namespace) -> Result<Group, String> {
    let registration = nova::called(element.to_string().as_bytes(), namespace)?;
    if let Some(host) = &registration.instance.host {
        return Err(format!("IP: {host} is a name, and must be an address"));
    }
    let id = map_label(registration.id.as_bytes())
        .map_err(|rule| format!("IP and Port give an id that {rule}"))?;
    let domain = element.get("Namespace").and_then(Value::as_str).unwrap_or_default();
    if domain.len() > DOMAIN_OCTETS_MAX {
        return Err(format!("Namespace must have {DOMAIN_OCTETS_MAX} octets at most"));
    }
    Ok(Group { registration, id, domain: domain.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the framework sends it, with the methods of one service.
    const BODY: &str = r#"{"SrvList":[{"Namespace":"com.youzan.service","SrvName":"scrm-customer-base","IP":"10.9.42.107","Port":8100,"Protocol":"nova","Status":1,"Weight":100,"ExtData":"[{\"language\":\"php\",\"version\":\"1.0.0\",\"timestamp\":1498032000,\"service\":\"com.youzan.scrm.customer.service.CustomerService\",\"methods\":[\"getById\",\"search\"]}]"}]}"#;

    fn read(body: &str) -> Result<Vec<Group>, String> {
        groups(body.as_bytes(), &Namespace::default())
    }

    fn with(change: Value) -> Result<Vec<Group>, String> {
        let mut body: Value = serde_json::from_str(BODY).unwrap();
        let group = body["SrvList"][0].as_object_mut().unwrap();
        group.extend(change.as_object().unwrap().clone());
        read(&body.to_string())
    }

    #[test]
    fn what_zan_sends_is_what_zan_would_write_into_etcd() {
        let [group] = &read(BODY).unwrap()[..] else { panic!("one group") };
        let registration = &group.registration;
        assert_eq!(registration.app.as_str(), "scrm-customer-base");
        assert_eq!(
            (&*registration.id, group.id.as_str()),
            ("10.9.42.107:8100", "10-9-42-107-8100")
        );
        assert_eq!(group.domain, "com.youzan.service");
        let key = "/nova:com.youzan.service/scrm-customer-base/10.9.42.107:8100";
        let value = serde_json::from_str::<Value>(BODY).unwrap()["SrvList"][0].to_string();
        let entry = crate::registry::Entry {
            key: key.into(),
            value: value.into(),
            revision: 1,
            lease: crate::registry::LeaseId::new(1),
        };
        let layout = crate::layout::foreign::Foreign {
            origin: crate::registry::Origin::NATIVE,
            system: crate::layout::foreign::System::Nova,
            prefix: "/".into(),
            namespace: Namespace::default(),
        };
        let crate::layout::Parsed::Instance(in_etcd) = layout.parse(&entry) else {
            panic!("an instance")
        };
        assert_eq!(*in_etcd, *registration);
    }

    #[test]
    fn numbers_may_be_texts_and_what_is_unknown_is_passed_over() {
        let ports = [json!({"Port": "8100"}), json!({"Weight": "100"}), json!({"DataCenter2": {}})];
        let whole = read(BODY).unwrap();
        for change in ports {
            assert_eq!(with(change.clone()).unwrap(), whole, "{change}");
        }
        assert_eq!(
            with(json!({"Weight": 70_000})).unwrap()[0].registration.instance.weight,
            65_535
        );
        for change in [json!({"Status": 3}), json!({"Status": "1"}), json!({"Weight": 0})] {
            assert!(with(change.clone()).unwrap()[0].registration.disabled, "{change}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_of_the_body_is_taken() {
        for (change, why) in [
            (json!({"IP": ""}), "SrvList[0]: IP: no host is given"),
            (json!({"IP": "web-1"}), "SrvList[0]: IP: web-1 is a name, and must be an address"),
            (json!({"IP": "0.0.0.0"}), "SrvList[0]: IP: 0.0.0.0 stands for every address"),
            (json!({"IP": 7}), "SrvList[0]: IP is not readable: invalid type"),
            (json!({"Port": 0}), "SrvList[0]: Port is not readable: port must be 1 to 65535"),
            (json!({"SrvName": ""}), "SrvList[0]: app \"\" must not be empty"),
            (json!({"SrvName": "支"}), "SrvList[0]: app"),
            (json!({"SrvName": 1}), "SrvList[0]: SrvName is not readable: invalid type"),
            (json!({"Protocol": ""}), "SrvList[0]: protocol \"\""),
            (json!({"Namespace": "x".repeat(256)}), "SrvList[0]: Namespace must have 255 octets"),
            (json!({"Weight": "much"}), "SrvList[0]: Weight must be a whole number"),
        ] {
            let said = with(change.clone()).unwrap_err();
            assert!(said.starts_with(why), "{change}: {said}");
        }
        let mut two: Value = serde_json::from_str(BODY).unwrap();
        let good = two["SrvList"][0].clone();
        two["SrvList"] = json!([good, {"SrvName": "x\ny"}]);
        assert!(
            read(&two.to_string()).unwrap_err().starts_with("SrvList[1]: value is not readable")
        );
        for (body, why) in [
            ("", "the body must be a JSON object"),
            ("[]", "the body must be a JSON object"),
            ("{", "the body is wrong: EOF"),
            ("{}", "the body is wrong: missing field `SrvList`"),
            ("{\"SrvList\":{}}", "the body is wrong: invalid type"),
            ("{\"SrvList\":[]}", "SrvList must hold 1 to 1000 services, got 0"),
            ("{\"SrvList\":[[]]}", "SrvList[0]: value is not readable: an array"),
        ] {
            let said = read(body).unwrap_err();
            assert!(said.starts_with(why), "{body}: {said}");
        }
        let many = format!("{{\"SrvList\":[{}1]}}", "1,".repeat(1_000));
        assert!(read(&many).unwrap_err().ends_with("got 1001"));
        let long = with(json!({"Weight": "x".repeat(9_000)})).unwrap_err();
        assert!(long.len() < 1_000 && long.ends_with("..."), "{long}");
    }
}
