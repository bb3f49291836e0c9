//! Dubbo, in both of the ways in which its services register; what of the two a key is, its form tells.
//!
//! ```text
//! /dubbo/{interface}/providers/{URL, percent-encoded}    one for each interface: the key says it all
//! /services/{application}/{host}:{port}                  one for each process: the value is JSON
//! ```
//!
//! (apache/dubbo-go, registry/base_registry.go, registry/etcdv3; apache/dubbo-spi-extensions, dubbo-registry-etcd3 and
//! dubbo-remoting-etcd3.) Beside the providers lie who consumes them, and the rules of operators (`configurators`,
//! `routers`), which are carried out by consumers: DNS knows nothing of them. Folders are keys too, empty in Go, with a
//! number in Java. Reports of metadata may lie below the same root.
//!
//! Knows nothing of what a provider and an application say of themselves: `interface` and `application` do.

mod application;
mod interface;

use percent_encoding::percent_decode_str;

use super::{Read, Record};

/// The folder of an interface that its providers are in.
const PROVIDERS: &str = "providers";
/// Its other folders (common/url.go, `DubboNodes`).
const SIBLINGS: [&str; 3] = ["consumers", "configurators", "routers"];
/// Where metadata, which interface is whose, and configuration are reported (metadata/report/etcd).
const REPORTS: [&str; 3] = ["metadata", "mapping", "config"];

/// What a parameter, and a key of metadata, calls the instance's tag.
const TAG: &str = "dubbo.tag";

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let (folder, id) = match record.folder_and_id() {
        Err(_) if is_folder(record) => return Ok(Read::Nothing),
        parts => parts?,
    };
    let decoded_id = decoded(id)?;
    if decoded_id.contains("://") {
        return match folder {
            PROVIDERS => interface::read(&interface_of(record)?, &decoded_id),
            folder if SIBLINGS.contains(&folder) => Ok(Read::Nothing),
            folder => Err(format!("{folder:?} is no folder of an interface for URLs")),
        };
    }
    if is_host_and_port(id) {
        return application::read(record, folder, id);
    }
    if is_folder(record) || record.path.split('/').any(|part| REPORTS.contains(&part)) {
        return Ok(Read::Nothing);
    }
    Err(format!("{id:?} is neither a provider's URL nor the host and port of an application"))
}

/// The folder that `providers` is in.
fn interface_of(record: Record<'_>) -> Result<String, String> {
    let key = format!("{}{}", record.prefix, record.path);
    match key.rsplit('/').nth(2) {
        Some(interface) if !interface.is_empty() => decoded(interface),
        _ => Err("key is in no folder that would name an interface".to_owned()),
    }
}

/// Text as Go's `QueryEscape` and Java's `URLEncoder` encode it. Their `+` for a space stays: it stands among parameters,
/// who have it for one as well.
fn decoded(text: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(format!("{text:?} is not UTF-8 when it is decoded")),
    }
}

fn is_host_and_port(id: &str) -> bool {
    id.rsplit_once(':').is_some_and(|(_, port)| is_number(port))
}

/// Whether the key stands for a folder: nothing is in it, or Java's hash of its path.
fn is_folder(record: Record<'_>) -> bool {
    record.text().is_ok_and(|text| {
        let text = text.trim();
        text.is_empty() || is_number(text.strip_prefix('-').unwrap_or(text))
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    #[test]
    fn what_is_needed_and_no_instance_is_nothing() {
        for (prefix, key, value) in [
            ("/dubbo/", "/dubbo/com.x.UserProvider", ""),
            ("/dubbo/", "/dubbo/com.x.UserProvider/providers", ""),
            ("/dubbo/", "/dubbo/com.x.UserProvider/providers", "-1873459102"),
            ("/", "/dubbo", "95761"),
            ("/services/", "/services/user-srv", "1234"),
            (
                "/dubbo/",
                "/dubbo/com.x.UserProvider/consumers/consumer%3A%2F%2F10.0.0.6%2Fcom.x.UserProvider%3Fside%3Dconsumer",
                "",
            ),
            (
                "/dubbo/",
                "/dubbo/com.x.UserProvider/configurators/override%3A%2F%2F0.0.0.0%2Fcom.x.UserProvider%3Fdisabled%3Dtrue",
                "12",
            ),
            (
                "/dubbo/",
                "/dubbo/com.x.UserProvider/routers/route%3A%2F%2F0.0.0.0%2Fcom.x.UserProvider",
                "",
            ),
            (
                "/dubbo/",
                "/dubbo/metadata/com.x.UserProvider/1.0.0/provider/user-srv",
                "{\"parameters\":{}}",
            ),
            ("/dubbo/", "/dubbo/mapping/com.x.UserProvider", "user-srv"),
            ("/dubbo/", "/dubbo/config/dubbo/dubbo.properties", "a=b"),
        ] {
            assert_eq!(told(System::Dubbo, prefix, key, value), "nothing", "{key}");
        }
    }

    #[test]
    fn what_has_neither_form_is_rejected() {
        for (key, value, why) in [
            (
                "/dubbo/com.x.UserProvider/providers/x",
                "y",
                "\"x\" is neither a provider's URL nor the host and port of an application",
            ),
            (
                "/dubbo/com.x.UserProvider/others/dubbo%3A%2F%2F10.0.0.5%3A20000%2F",
                "",
                "\"others\" is no folder of an interface for URLs",
            ),
            (
                "/dubbo/com.x.UserProvider/providers/%FF",
                "",
                "\"%FF\" is not UTF-8 when it is decoded",
            ),
        ] {
            let told = told(System::Dubbo, "/dubbo/", key, value);
            assert_eq!(told, format!("rejected: {why}"), "{key}");
        }
        assert_eq!(
            told(
                System::Dubbo,
                "/dubbo/",
                "/dubbo//providers/dubbo%3A%2F%2F10.0.0.5%3A20000%2F",
                ""
            ),
            "rejected: key is in no folder that would name an interface"
        );
    }
}
