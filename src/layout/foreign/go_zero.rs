//! go-zero (zeromicro/go-zero, core/discov/publisher.go): `{key}/{lease id}`, or a configured id in place of the lease's,
//! holds `host:port`.
//!
//! What its configuration calls the key, such as `user.rpc`, is the app; all that go-zero calls over it is gRPC. It knows
//! no weights and no way to be registered and out.
//!
//! Knows nothing of the lease that an id is made of: while the key is there, its owner is.

use super::found::Found;
use super::place::Place;
use super::{Read, Record};

/// What is spoken there (zrpc).
const PROTOCOL: &str = "grpc";

pub(super) fn read(record: Record<'_>) -> Result<Read, String> {
    let (app, id) = record.app_and_id()?;
    // A server that listens on `[::]:8080` publishes that as it stands (zrpc/internal/rpcpubserver.go): it is refused here,
    // since it leads nobody but its own host to it.
    let place = Place::new(record.text()?.trim())?;
    Ok(Read::Instance(Box::new(Found::new(app, id, PROTOCOL, place))))
}

#[cfg(test)]
mod tests {
    use crate::layout::foreign::System;
    use crate::layout::foreign::tests::told;

    #[test]
    fn a_key_is_an_app_and_what_is_below_an_instance() {
        for (prefix, key, value, is) in [
            (
                "user.rpc/",
                "user.rpc/7587870460981677828",
                "10.0.0.7:8080",
                "user.rpc 7587870460981677828 10.0.0.7 _grpc._tcp:8080",
            ),
            (
                "",
                "user.rpc/7587870460981677829",
                "10.0.0.7:8080",
                "user.rpc 7587870460981677829 10.0.0.7 _grpc._tcp:8080",
            ),
            (
                "/prod/",
                "/prod/User_API.rpc/1",
                "[fd00::7]:8080",
                "user-api.rpc 1 fd00::7 _grpc._tcp:8080",
            ),
            (
                "",
                "user.rpc/1",
                "user-0.example.org:8080",
                "user.rpc 1 user-0.example.org _grpc._tcp:8080",
            ),
        ] {
            assert_eq!(told(System::GoZero, prefix, key, value), is);
        }
    }

    #[test]
    fn what_leads_nowhere_is_rejected() {
        for (value, why) in [
            ("[::]:8080", "[::] stands for every address of its host, and names none"),
            ("0.0.0.0:8080", "0.0.0.0 stands for every address of its host, and names none"),
            (":8080", "no host is given"),
            ("10.0.0.7", "\"10.0.0.7\" has no port"),
            ("", "\"\" has no port"),
        ] {
            let told = told(System::GoZero, "user.rpc/", "user.rpc/1", value);
            assert_eq!(told, format!("rejected: {why}"), "{value}");
        }
    }
}
