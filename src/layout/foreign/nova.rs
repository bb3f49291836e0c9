//! Zan PHP with its registry agent haunt: `{protocol}:{domain}/{app}/{ip}:{port}` holds a JSON object (youzan/zanphp
//! @4fbebb66, src/Network/ServerManager/ServerRegister.php; zanphp/etcd-registry @52658b1, src/ServerRegister.php).
//!
//! A server takes traffic where Zan's own clients would send it some: its key ends with a lease, `Status` is the number
//! 1, `Namespace` is the domain of the key, and `Weight` is above 0 (ServerDiscovery.php beside it;
//! src/Network/Connection/NovaClientPool.php). The app is the key's, since that is where they look; who it is and where
//! is the value's, since that is what they connect to.
//!
//! A domain is no part of an app's name here, so one layout keeps to one domain: the one that the prefix tells
//! (`/nova:com.youzan.test/`), else Zan's default. With the prefix `/`, or none, whoever has keys beside Zan's is let be.
//! Knows nothing of service chains, whose keys are elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::found::Found;
use super::place::{Host, Place, Port};
use super::{Read, Record, is_everything};
use crate::layout::Registration;
use crate::model::{Namespace, limits};
use crate::registry::Origin;

/// `Status` of a server that takes calls; 0 is not yet, 2 is unwell, 3 is gone.
const STATUS_OK: i64 = 1;
/// The domain of those who name none (src/Network/Tcp/Server.php).
const DOMAIN_DEFAULT: &str = "com.youzan.service";
/// The protocol of those who name none.
const PROTOCOL_DEFAULT: &str = "nova";
/// Stands for the services that there is no room for.
const MORE: &str = ",...";

/// What the key says; what is behind it, `{ip}:{port}`, the value says too.
struct Key<'a> {
    /// The key up to the end of its domain.
    front: &'a str,
    protocol: &'a str,
    domain: &'a str,
    app: &'a str,
}

/// The value. Its `SrvName` is the app once more, and not what Zan's clients look by.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    #[serde(rename = "IP")]
    ip: String,
    port: Port,
    #[serde(default)]
    namespace: Value,
    #[serde(default)]
    protocol: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    weight: Value,
    #[serde(default)]
    data_center: Value,
    #[serde(default)]
    ext_data: Value,
}

/// One service of `ExtData`, which is a JSON array inside a text. Its methods are left unread: they may be many, and
/// nobody asks DNS for them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    language: String,
    version: String,
    service: String,
}

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let whole = [record.prefix, record.path].concat();
    let Some(key) = Key::new(&whole, record.prefix)? else { return Ok(Read::Nothing) };
    if key.domain != DOMAIN_DEFAULT && !tells_domain(record.prefix) {
        let (Key { front, domain, .. }, prefix) = (key, record.prefix);
        return Err(format!(
            "domain of the key is {domain:?}, and of {prefix:?} only {DOMAIN_DEFAULT:?} is read: give each domain a [[layout]] \
             of its own, this one with prefix \"{front}/\""
        ));
    }
    let server: Server = record.json()?;
    if server.namespace != key.domain {
        let (said, domain) = (server.namespace, key.domain);
        return Err(format!("Namespace is {said}, and the domain of the key {domain:?}"));
    }
    let mut found = server.found(key.app, key.protocol)?;
    // Outside of development haunt leaves those who went offline in etcd, without a lease.
    found.disabled |= !record.leased;
    Ok(Read::Instance(Box::new(found)))
}

/// Whether all keys that begin with that are of one domain.
fn tells_domain(prefix: &str) -> bool {
    prefix.split_once(':').is_some_and(|(_, domain)| domain.contains('/'))
}

/// A prefix that ends where a domain does, if it says anything of one.
pub(super) fn whole_prefix(prefix: &str) -> String {
    let begins_domain = prefix.split_once(':').is_some_and(|(_, domain)| !domain.is_empty());
    format!("{prefix}{}", if begins_domain && !prefix.ends_with('/') { "/" } else { "" })
}

/// What a server calls haunt with, one element of `SrvList`: the same object as a key's value, of which `SrvName` is the
/// app. Such a call is as good as a lease.
///
/// # Errors
/// The field that is wrong, and why.
pub fn called(element: &[u8], namespace: &Namespace) -> Result<Registration, String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "SrvName")]
        app: String,
    }

    let record = Record { prefix: "", path: "", value: element, leased: true };
    let Named { app } = record.json()?;
    let server: Server = record.json()?;
    server.found(&app, PROTOCOL_DEFAULT)?.registration(Origin::NATIVE, namespace)
}

impl<'a> Key<'a> {
    /// Reads the whole key, prefix included: a longer prefix than usual may hold the domain, and the app too. None for
    /// a folder, and for a key of others beside Zan's.
    fn new(whole: &'a str, prefix: &str) -> Result<Option<Self>, String> {
        let (front, rest) = whole.split_once(':').unwrap_or((whole, ""));
        let (folder, protocol) = front.rsplit_once('/').unwrap_or(("", front));
        let (domain, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let front = whole.get(..front.len() + 1 + domain.len()).unwrap_or(whole);
        // An address in a key of others has a colon too, but deeper in.
        if protocol.is_empty() || domain.is_empty() || folder.len() > prefix.len() {
            return match is_everything(prefix) {
                true => Ok(None),
                false => Err("key is not {protocol}:{domain}/{app}/{ip}:{port}".to_owned()),
            };
        }
        Ok(match rest.rsplit_once('/') {
            None | Some((_, "")) => None,
            Some((app, _)) => Some(Self { front, protocol, domain, app }),
        })
    }
}

/// The weight, a number or a text of one as PHP has it; 0 where the server is to get nothing.
fn weight(written: &Value) -> Result<Option<u16>, String> {
    let weight = match written {
        // Zan's clients take those who say nothing for 100, and so does everybody here.
        Value::Null => return Ok(None),
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let weight = weight.ok_or_else(|| format!("Weight must be a whole number, got {written}"))?;
    Ok(Some(u16::try_from(weight.max(0)).unwrap_or(u16::MAX)))
}

impl Server {
    /// The server, of that app, which speaks that protocol unless it says another.
    fn found(&self, app: &str, protocol: &str) -> Result<Found, String> {
        let host = Host::new(&self.ip).map_err(|why| format!("IP: {why}"))?;
        let place = Place { host, port: self.port.0 };
        let weight = weight(&self.weight)?;
        let protocol = self.protocol.as_str().unwrap_or(protocol);
        let id = format!("{}:{}", self.ip, place.port);
        let mut found = Found::new(app, &id, protocol, place);
        // Zan's clients compare types too: a text "1" is another status.
        let ok = self.status.as_i64() == Some(STATUS_OK);
        found.disabled = !ok || weight == Some(0);
        found.weight = weight;
        found.meta = self.meta();
        Ok(found)
    }

    /// What is worth telling of it. What can't be read of that keeps nobody from connecting.
    fn meta(&self) -> BTreeMap<String, String> {
        let text = self.ext_data.as_str().unwrap_or_default();
        let services: Vec<Service> = serde_json::from_str(text).unwrap_or_default();
        let first = |field: fn(&Service) -> &str| {
            services.iter().map(field).find(|text| !text.is_empty()).unwrap_or_default()
        };
        let names: Vec<&str> = services.iter().map(|service| service.service.as_str()).collect();
        let pairs = [
            ("datacenter", self.data_center.as_str().unwrap_or_default().to_owned()),
            ("language", first(|service| &service.language).to_owned()),
            ("services", names_within(&names, "services")),
            ("version", first(|service| &service.version).to_owned()),
        ];
        let told = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        told.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The names with commas between them, as many as a pair of that key has room for.
fn names_within(names: &[&str], key: &str) -> String {
    let room = limits::META_PAIR_OCTETS_MAX - key.len() - 1;
    let all = names.join(",");
    if all.len() <= room {
        return all;
    }
    let commas = all.match_indices(',').map(|(at, _)| at);
    let last = commas.take_while(|at| at + MORE.len() <= room).last();
    last.and_then(|at| all.get(..at)).map(|kept| kept.to_owned() + MORE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::{spoil, told, told_as};

    const KEY: &str = "/nova:com.youzan.service/scrm-customer-base/10.9.42.107:8100";
    /// As zanphp/etcd-registry writes it.
    const VALUE: &str = r#"{"DataCenter":"bc","Namespace":"com.youzan.service","SrvName":"scrm-customer-base","IP":"10.9.42.107","Port":8100,"Protocol":"nova","Status":1,"Weight":100,"ExtData":"[{\"language\":\"php\",\"version\":\"1.0.0\",\"timestamp\":1511262135,\"service\":\"com.youzan.scrm.customer.service.CustomerService\",\"methods\":[\"getById\"]}]"}"#;
    /// What is told of all those below.
    const HERE: &str = "scrm-customer-base 10.9.42.107:8100 10.9.42.107 _nova._tcp:8100";

    /// The same server with one field set otherwise, or taken out.
    fn with(field: &str, value: Option<Value>) -> String {
        let mut server: Value = serde_json::from_str(VALUE).unwrap();
        let fields = server.as_object_mut().unwrap();
        fields
            .retain(|name, _| !matches!(name.as_str(), "DataCenter" | "ExtData") && name != field);
        fields.extend(value.map(|value| (field.to_owned(), value)));
        told(System::Nova, "/", KEY, &server.to_string())
    }

    #[test]
    fn what_zan_writes_is_an_instance() {
        let meta = "datacenter=bc language=php \
                    services=com.youzan.scrm.customer.service.CustomerService version=1.0.0";
        assert_eq!(told(System::Nova, "/", KEY, VALUE), format!("{HERE} {meta}"));
        // The framework, before there was a package: no data center; PHP escapes slashes and what is not ASCII.
        let older = r#"{"Namespace":"com.youzan.service","SrvName":"pay\/\u652f","IP":"10.0.0.1","Port":8100,"Protocol":"nova","Status":1,"Weight":50,"ExtData":"[{\"service\":\"a\\/b.\\u652f\",\"methods\":[]},{\"language\":\"php\",\"service\":\"c.D\"}]"}"#;
        let key = "/nova:com.youzan.service/pay/支/10.0.0.1:8100";
        assert_eq!(
            told(System::Nova, "/", key, older),
            "pay 10.0.0.1:8100 10.0.0.1 _nova._tcp:8100 weight=50 language=php services=a/b.支,c.D"
        );
    }

    #[test]
    fn only_those_are_listed_whom_zan_lists() {
        // The decision table: a lease, the status, the domain.
        assert_eq!(with("Status", Some(json!(1))), HERE);
        let permanent = told_as(System::Nova, "/", KEY, VALUE, false);
        assert!(permanent.ends_with("version=1.0.0 disabled"), "{permanent}");
        for status in [json!(2), json!(3), json!(0), json!("1"), json!(1.0), json!(true), json!(-1)]
        {
            assert_eq!(
                with("Status", Some(status.clone())),
                format!("{HERE} disabled"),
                "{status}"
            );
        }
        assert_eq!(with("Status", None), format!("{HERE} disabled"));
        assert_eq!(
            with("Namespace", Some(json!("com.youzan.other"))),
            "rejected: Namespace is \"com.youzan.other\", and the domain of the key \"com.youzan.service\""
        );
        assert_eq!(
            with("Namespace", None),
            "rejected: Namespace is null, and the domain of the key \"com.youzan.service\""
        );
    }

    #[test]
    fn a_layout_keeps_to_one_domain() {
        let key = KEY.replace("com.youzan.service", "com.youzan.test");
        let value = VALUE.replace("\"com.youzan.service\"", "\"com.youzan.test\"");
        for prefix in ["/", "/nova:", "/nova:com.youzan.", "/nova:com.youzan.test"] {
            assert_eq!(
                told(System::Nova, prefix, &key, &value),
                format!(
                    "rejected: domain of the key is \"com.youzan.test\", and of {prefix:?} only \"com.youzan.service\" is \
                     read: give each domain a [[layout]] of its own, this one with prefix \"/nova:com.youzan.test/\""
                )
            );
        }
        for prefix in ["/nova:com.youzan.test/", "/nova:com.youzan.test/scrm-customer-base/"] {
            let told = told(System::Nova, prefix, &key, &value);
            assert!(told.starts_with(HERE), "{prefix}: {told}");
        }
    }

    #[test]
    fn a_prefix_with_a_domain_ends_where_that_does() {
        for (prefix, whole) in [
            ("", ""),
            ("/", "/"),
            ("/nova", "/nova"),
            ("/nova:", "/nova:"),
            ("/nova:com.youzan.test", "/nova:com.youzan.test/"),
            ("/nova:com.youzan.test/", "/nova:com.youzan.test/"),
            ("nova:d/app", "nova:d/app/"),
        ] {
            assert_eq!(System::Nova.whole_prefix(prefix), whole, "{prefix}");
        }
    }

    #[test]
    fn a_weight_is_a_share_and_zero_is_out() {
        for (weight, told) in [
            (json!(1), " weight=1"),
            (json!(65535), " weight=65535"),
            (json!(65536), " weight=65535"),
            (json!(1e30), " weight=65535"),
            (json!(u64::MAX), " weight=65535"),
            (json!("50"), " weight=50"),
            (json!(0), " weight=0 disabled"),
            (json!(-1), " weight=0 disabled"),
            (json!("0"), " weight=0 disabled"),
        ] {
            assert_eq!(with("Weight", Some(weight.clone())), format!("{HERE}{told}"), "{weight}");
        }
        assert_eq!(with("Weight", None), HERE);
        for weight in [json!("much"), json!([1]), json!(true)] {
            let reason = format!("rejected: Weight must be a whole number, got {weight}");
            assert_eq!(with("Weight", Some(weight)), reason);
        }
    }

    #[test]
    fn who_it_is_and_where_the_value_says() {
        assert_eq!(with("Port", Some(json!("8100"))), HERE);
        assert_eq!(
            with("Port", Some(json!("8200"))),
            "scrm-customer-base 10.9.42.107:8200 10.9.42.107 _nova._tcp:8200"
        );
        assert_eq!(
            with("IP", Some(json!("fd00::1"))),
            "scrm-customer-base fd00::1:8100 fd00::1 _nova._tcp:8100"
        );
        assert_eq!(
            with("IP", Some(json!("web-1.example.org"))),
            "scrm-customer-base web-1.example.org:8100 web-1.example.org _nova._tcp:8100"
        );
        // No interface was found; and every address, which is none.
        assert_eq!(with("IP", Some(json!(""))), "rejected: IP: no host is given");
        assert!(with("IP", Some(json!("0.0.0.0"))).starts_with("rejected: IP: 0.0.0.0 stands for"));
        assert!(with("IP", None).contains("missing field `IP`"));
        assert!(
            with("Port", Some(json!(0))).starts_with("rejected: Port is not readable: port must")
        );
        assert!(with("Port", Some(json!("http"))).contains("got \"http\""));
    }

    #[test]
    fn the_protocol_is_the_values_or_else_the_keys() {
        assert_eq!(with("Protocol", Some(json!("http"))), HERE.replace("_nova", "_http"));
        assert_eq!(with("Protocol", None), HERE);
        assert!(with("Protocol", Some(json!(""))).starts_with("rejected: protocol \"\""));
    }

    #[test]
    fn the_app_is_the_folder_where_clients_look() {
        let named = |name: &str| {
            let key = format!("/nova:com.youzan.service/{name}/10.9.42.107:8100");
            let told = told(System::Nova, "/", &key, VALUE);
            told.split(' ').next().unwrap_or_default().to_owned()
        };
        assert_eq!(named("Scrm_Base"), "scrm-base");
        assert_eq!(named("scrm.base"), "scrm.base");
        assert_eq!(named("a:b/c"), "a-b-c");
    }

    #[test]
    fn a_prefix_is_what_stands_in_front_or_more() {
        let here = told(System::Nova, "/", KEY, VALUE);
        let bare = KEY.trim_start_matches('/');
        assert_eq!(told(System::Nova, "", bare, VALUE), here);
        assert_eq!(told(System::Nova, "", KEY, VALUE), here);
        assert_eq!(told(System::Nova, "/zan/", &format!("/zan{KEY}"), VALUE), here);
        for prefix in
            ["/nova:", "/nova:com.youzan.service/", "/nova:com.youzan.service/scrm-customer-base/"]
        {
            assert_eq!(told(System::Nova, prefix, KEY, VALUE), here, "{prefix}");
        }
    }

    #[test]
    fn keys_of_others_and_folders_are_nothing() {
        for key in [
            "/rollcall/v1/default/instances/greeter/a",
            "/services/redis/node1:redis.0:6379",
            "/service_chain/app_to_chain_nodes/pay/gray/10.0.0.1:8100",
            "/services/orders/10.0.0.1:8100",
            "/nova:com.youzan.service/",
            "/nova:com.youzan.service/pay",
            "/nova:com.youzan.service/pay/",
            "/:com.youzan.service/pay/10.0.0.1:8100",
            "/nova:/pay/10.0.0.1:8100",
        ] {
            assert_eq!(told(System::Nova, "/", key, "x"), "nothing", "{key}");
            assert_eq!(
                told(System::Nova, "", key.trim_start_matches('/'), "x"),
                "nothing",
                "{key}"
            );
        }
        // Under a prefix of Zan's own nobody else is expected.
        let reason = "rejected: key is not {protocol}:{domain}/{app}/{ip}:{port}";
        assert_eq!(told(System::Nova, "/zan/", "/zan/pay/10.0.0.1:8100", VALUE), reason);
    }

    #[test]
    fn what_else_is_told_is_bounded_and_never_in_the_way() {
        for ext in
            [json!("[{\"service\":1}]"), json!("not JSON"), json!(null), json!([1]), json!("")]
        {
            assert_eq!(with("ExtData", Some(ext.clone())), HERE, "{ext}");
        }
        assert_eq!(with("DataCenter", Some(json!(7))), HERE);
        let services = |count: usize, name: &str| {
            let one = json!({ "service": name, "methods": ["a"] });
            let told = with("ExtData", Some(json!(Value::from(vec![one; count]).to_string())));
            told.strip_prefix(HERE).unwrap().trim_start().to_owned()
        };
        // 255 octets hold "services=" and 24 names of nine with their commas, and then "...".
        assert_eq!(services(3, "com.x.Abc"), "services=com.x.Abc,com.x.Abc,com.x.Abc");
        let cut = services(1_000, "com.x.Abc");
        assert!(cut.ends_with("com.x.Abc,com.x.Abc,..."), "{cut}");
        assert_eq!(cut.len(), "services=".len() + 24 * 10 + "...".len());
        // The comma and the dots are in that too: with three of 80 all is full, and four of 60 are one octet too many.
        assert_eq!(services(4, &"x".repeat(80)).len(), 255);
        assert_eq!(services(5, &"x".repeat(60)).len(), "services=".len() + 3 * 61 + "...".len());
        assert_eq!(services(1, &"x".repeat(246)).len(), 255);
        assert_eq!(services(2, &"x".repeat(246)), "");
    }

    #[test]
    fn what_is_no_object_is_rejected() {
        let told = |value: &str| told(System::Nova, "/", KEY, value);
        let twice = VALUE.repeat(2);
        for value in ["", "null", "10.9.42.107:8100", "{", &twice, "[\"10.0.0.1\",80]"] {
            assert!(
                told(value).starts_with("rejected: value is not readable: "),
                "{}",
                told(value)
            );
        }
    }

    #[test]
    fn spoilt_records_are_read_or_rejected() {
        spoil(System::Nova, "/", KEY, VALUE);
    }
}
