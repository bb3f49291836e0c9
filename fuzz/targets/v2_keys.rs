//! Any request on etcd's v2 keys is read or refused: its key is a clean path within bounds, and a refusal is JSON.
//!
//! An input is the method, the path behind `/v2/keys`, the query, and the body, each on a line of its own; of the body,
//! which is the last, line ends are a part.

#![cfg_attr(not(test), no_main)]

use rollcall::compat::etcd_v2::request::{Method, Request};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (method, path, query, body) = (line(), line(), line(), line());
    let method = match method {
        "PUT" => Method::Put,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        _ => Method::Get,
    };
    match Request::parse(method, path, query, body.as_bytes()) {
        Ok(request) => {
            let path = &request.path;
            assert!(path.len() <= 1_024 && !path.contains(char::is_control), "{path:?}");
            let behind = path.strip_prefix('/').expect("a path begins with a slash");
            let clean = |part: &str| !matches!(part, "" | "." | "..");
            assert!(behind.is_empty() || behind.split('/').all(clean), "{path:?}");
            assert!(request.value.len() <= text.len());
            assert!(request.prev_value.as_deref() != Some(""));
            assert!(!request.wait || method == Method::Get);
            assert!(!request.refresh || request.ttl.is_some() && request.value.is_empty());
        }
        Err(fault) => {
            assert!((400..500).contains(&fault.status()), "{fault:?}");
            let json: serde_json::Value = serde_json::from_str(&fault.json()).unwrap();
            assert!(json["errorCode"].is_u64() && json["cause"].is_string());
        }
    }
});
