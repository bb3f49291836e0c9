//! One interface that a process provides, as the URL in its key says (apache/dubbo-go, registry/base_registry.go;
//! common/url.go): `dubbo://10.0.0.5:20000/com.x.UserProvider?application=user-srv&version=1.0.0&…`.
//!
//! The interface is the app, the scheme the protocol. `weight` is 100 if it is not given; 0 and less is taken by Dubbo's
//! balancers as ours: no new traffic while others have weight (cluster/loadbalance/util.go). Weights of single methods and
//! the warm-up of young providers are not shown. `disabled=true`, or without that `enabled=false`, takes it out
//! (apache/dubbo, RegistryDirectory.toInvokers).
//!
//! A process that comes back registers under another key, since the URL has the time in it, while its old one lasts for
//! up to 30 s. The id tells the two apart from other instances, and not from each other.
//!
//! Knows nothing of keys and folders: interface and URL come decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::TAG;
use crate::layout::foreign::found::Found;
use crate::layout::foreign::{Read, url};

/// What is shown as meta.
const META: [&str; 3] = ["application", "group", "version"];

pub(super) fn read(interface: &str, url: &str) -> Result<Read, String> {
    let (protocol, place) = url::parts(url).map_err(|why| format!("provider {url:?}: {why}"))?;
    // Of several with one name its readers take the first.
    let mut parameters: BTreeMap<Cow<'_, str>, Cow<'_, str>> = BTreeMap::new();
    for (key, value) in url::parameters(url) {
        parameters.entry(key).or_insert(value);
    }
    let parameter =
        |key: &str| parameters.get(key).map(|value| &**value).filter(|value| !value.is_empty());
    let (group, version) = (parameter("group"), parameter("version"));
    // What makes one place several providers: a port can speak several protocols, and an interface can be provided in
    // several groups and versions.
    let id = [&*place.to_string(), &protocol, group.unwrap_or(""), version.unwrap_or("")].join(":");
    let mut found = Found::new(interface, id.trim_end_matches(':'), &protocol, place);
    let is_true = |key: &str| parameter(key).map(|value| value.eq_ignore_ascii_case("true"));
    let disabled = is_true("disabled").or_else(|| is_true("enabled").map(|enabled| !enabled));
    found.disabled = disabled.unwrap_or(false);
    if let Some(weight) = parameter("weight").and_then(|weight| weight.parse().ok()) {
        found.weigh(weight);
    }
    found.tags.extend(parameter(TAG).map(str::to_owned));
    let meta = META.iter().filter_map(|key| Some(((*key).to_owned(), parameter(key)?.to_owned())));
    found.meta = meta.collect();
    Ok(Read::Instance(Box::new(found)))
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::{told, told_as};

    /// What a provider's key says.
    fn provider(interface: &str, url: &str) -> String {
        let url = utf8_percent_encode(url, NON_ALPHANUMERIC);
        told(System::Dubbo, "/dubbo/", &format!("/dubbo/{interface}/providers/{url}"), "")
    }

    #[test]
    fn a_key_as_it_is_written_is_an_instance_of_its_interface() {
        let key = "/dubbo/com.x.UserProvider/providers/dubbo%3A%2F%2F10.0.0.5%3A20000%2Fcom.x.UserProvider%3Fanyhost%3Dtrue%26application%3Duser-srv%26methods%3DGetUser%26timestamp%3D1760000000%26version%3D1.0.0";
        let is = "com.x.userprovider 10.0.0.5:20000:dubbo::1.0.0 10.0.0.5 _dubbo._tcp:20000 application=user-srv version=1.0.0";
        for (prefix, value, leased) in [
            ("/dubbo/", "", true),
            // Java writes its lease there.
            ("/dubbo/", "7587870460981677828", true),
            ("/", "", true),
            ("/dubbo/com.x.UserProvider/providers/", "", true),
            // `dynamic=false` registers for good.
            ("/dubbo/", "", false),
        ] {
            assert_eq!(told_as(System::Dubbo, prefix, key, value, leased), is, "{prefix} {value}");
        }
    }

    #[test]
    fn a_space_is_a_plus_in_a_key() {
        let key = "/dubbo/x/providers/dubbo%3A%2F%2F10.0.0.5%3A1%2Fx%3Fapplication%3DMy+Shop";
        let told = told(System::Dubbo, "/dubbo/", key, "");
        assert_eq!(told, "x 10.0.0.5:1:dubbo 10.0.0.5 _dubbo._tcp:1 application=My Shop");
    }

    #[test]
    fn the_interface_is_the_app() {
        for (folder, app) in [
            ("com.x.Outer%24Inner", "com.x.outer-inner"),
            ("com.x.Outer$Inner", "com.x.outer-inner"),
            ("greet.GreetService", "greet.greetservice"),
        ] {
            let told = provider(folder, "tri://10.0.0.5:50051/x");
            assert_eq!(told, format!("{app} 10.0.0.5:50051:tri 10.0.0.5 _tri._tcp:50051"));
        }
    }

    #[test]
    fn places_are_read_as_go_and_java_write_them() {
        for (url, is) in [
            ("dubbo://[fd00::5]:20000/x", "x [fd00::5]:20000:dubbo fd00::5 _dubbo._tcp:20000"),
            // Go joins host and port with a colon, whatever the host is.
            ("dubbo://fd00::5:20000/x", "x [fd00::5]:20000:dubbo fd00::5 _dubbo._tcp:20000"),
            (
                "rest://srv-0.example.org:80/x",
                "x srv-0.example.org:80:rest srv-0.example.org _rest._tcp:80",
            ),
            (
                "dubbo://user:pw@10.0.0.5:20000/x",
                "x 10.0.0.5:20000:dubbo 10.0.0.5 _dubbo._tcp:20000",
            ),
        ] {
            assert_eq!(provider("x", url), is, "{url}");
        }
        for (url, why) in [
            (
                "dubbo://0.0.0.0:20000/x",
                "0.0.0.0 stands for every address of its host, and names none",
            ),
            ("dubbo://10.0.0.5/x", "\"10.0.0.5\" has no port, and dubbo has none of its own"),
            ("dubbo:///x", "\"\" has no port, and dubbo has none of its own"),
        ] {
            assert_eq!(provider("x", url), format!("rejected: provider {url:?}: {why}"), "{url}");
        }
    }

    #[test]
    fn parameters_say_how_it_takes_part() {
        for (parameters, id, is) in [
            ("", "", ""),
            ("weight=200", "", " weight=200"),
            ("weight=0", "", " weight=0"),
            ("weight=-5", "", " weight=0"),
            ("weight=100000", "", " weight=65535"),
            ("weight=x", "", ""),
            ("weight=1&weight=2", "", " weight=1"),
            ("GetUser.weight=1", "", ""),
            ("disabled=true", "", " disabled"),
            ("disabled=TRUE&enabled=true", "", " disabled"),
            ("disabled=false&enabled=false", "", ""),
            ("disabled=&enabled=false", "", " disabled"),
            ("enabled=false", "", " disabled"),
            ("enabled=true", "", ""),
            ("dubbo.tag=gray", "", " #gray"),
            ("group=blue", ":blue", " group=blue"),
            ("version=2.0&group=blue", ":blue:2.0", " group=blue version=2.0"),
            ("application=My%20Shop%3F", "", " application=My Shop?"),
            ("group=blue#x", ":blue", " group=blue"),
            ("side=provider&pid=1&methods=a,b", "", ""),
        ] {
            let told = provider("x", &format!("dubbo://10.0.0.5:20000/x?{parameters}"));
            let is = format!("x 10.0.0.5:20000:dubbo{id} 10.0.0.5 _dubbo._tcp:20000{is}");
            assert_eq!(told, is, "{parameters}");
        }
    }

    #[test]
    fn a_process_that_comes_back_is_the_same_instance() {
        let id = |url: &str| provider("x", url).split(' ').nth(1).unwrap().to_owned();
        let first = id("dubbo://10.0.0.5:20000/x?timestamp=1&pid=7");
        assert_eq!(id("dubbo://10.0.0.5:20000/x?timestamp=2&pid=8"), first);
        for other in [
            "tri://10.0.0.5:20000/x",
            "dubbo://10.0.0.5:20001/x",
            "dubbo://10.0.0.6:20000/x",
            "dubbo://10.0.0.5:20000/x?group=a",
            "dubbo://10.0.0.5:20000/x?version=a",
        ] {
            assert_ne!(id(other), first, "{other}");
        }
        assert_ne!(
            id("dubbo://10.0.0.5:20000/x?group=a"),
            id("dubbo://10.0.0.5:20000/x?version=a")
        );
    }
}
