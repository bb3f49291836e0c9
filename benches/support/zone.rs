//! The world that every server serves: 1,000 apps of 5 instances and two of 40, as a zone file for peers and as
//! registrations for rollcall. All names, values and TTLs are the same.
//!
//! Knows nothing of servers.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The app whose 40 SRV records just fit a datagram of 1232 octets.
pub(crate) const FORTY: &str = "c";
/// The app whose 40 SRV records do not.
pub(crate) const FORTY_CUT: &str = "crowd";

const APPS: usize = 1_000;
/// rollcall's own defaults, so that nothing needs to be set.
const TTL: u32 = 5;
const PRIORITY: u16 = 10;
const WEIGHT: u16 = 100;

/// An app and its instances: `h0` and so on.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) instances: Vec<Instance>,
}

pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) port: u16,
}

impl Instance {
    /// The body that registers it.
    pub(crate) fn body(&self) -> Value {
        json!({ "address": self.address, "port": self.port, "ttl": 3600 })
    }
}

/// All apps.
pub(crate) fn apps() -> Vec<App> {
    let few = (0..APPS).map(|n| app(format!("app{n:04}"), n, 5));
    few.chain([app(FORTY.to_owned(), APPS, 40), app(FORTY_CUT.to_owned(), APPS + 1, 40)]).collect()
}

fn app(name: String, number: usize, instances: u16) -> App {
    let instance = |k: u16| Instance {
        id: format!("h{k}"),
        address: format!("10.{}.{}.{}", number / 256, number % 256, k + 1),
        port: 8_000 + k,
    };
    App { name, instances: (0..instances).map(instance).collect() }
}

/// The zone file, with that serial.
pub(crate) fn file(serial: u32) -> String {
    let mut text = format!(
        "$ORIGIN svc.\n$TTL {TTL}\n\
         @ SOA ns.svc. hostmaster.svc. {serial} 3600 600 86400 1\n@ NS ns.svc.\nns A 127.0.0.1\n"
    );
    for App { name, instances } in apps() {
        for Instance { id, address, port } in instances {
            let _ = write!(
                text,
                "_nova._tcp.{name} SRV {PRIORITY} {WEIGHT} {port} {id}.{name}\n\
                 {id}.{name} A {address}\n{name} A {address}\n"
            );
        }
    }
    text
}
