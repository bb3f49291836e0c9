//! The `[compat.…]` sections: whose clients are listened to, and where.
//!
//! Knows nothing of what they call.

use std::time::Duration;

use super::problem::Problem;
use super::reader::Section;
use super::values::{ValueError, filled, list, parsed, socket_address, text, whole_secs};
use crate::compat::open_to_all;
use crate::compat::settings::{Consul, EtcdV2, Haunt, Listen, Settings, Tars};
use crate::compat::tars::Adapter;
use crate::layout::foreign::Foreign;
use crate::model::{Namespace, Nets, net};
use crate::zone::ZoneSettings;

/// Networks that may call.
const NETS_MAX: usize = 1_000;
/// Adapters of Tars: each call is compared with all of them.
const ADAPTERS_MAX: usize = 1_000;

/// Reads the sections. One that is not there is a listener that is not.
pub(super) fn compat(
    root: &Section<'_>,
    zones: &[ZoneSettings],
    layouts: &[Foreign],
    warnings: &mut Vec<Problem>,
) -> Settings {
    let compat = root.section("compat");
    let mut haunt = Haunt::default();
    let section = compat.section("haunt");
    listen(&section, &mut haunt.at);
    namespace(&section, &mut haunt.at, zones);
    section.finish();
    let prefixes = layouts.iter().map(|layout| layout.prefix.to_string()).collect();
    let mut etcd_v2 = EtcdV2 { prefixes, ..EtcdV2::default() };
    let section = compat.section("etcd_v2");
    listen(&section, &mut etcd_v2.at);
    if section.is_there() && layouts.is_empty() {
        let message = "there is no [[layout]], and keys are only taken below the prefix of one: add that of the clients \
                       that call here, with its kind";
        warnings.push(section.warning(message));
    }
    section.finish();
    let mut consul = Consul::default();
    let section = compat.section("consul");
    listen(&section, &mut consul.at);
    namespace(&section, &mut consul.at, zones);
    section.finish();
    let tars = tars(compat.section("tars"), zones, warnings);
    let settings = Settings {
        haunt: compat.has("haunt").then_some(haunt),
        etcd_v2: compat.has("etcd_v2").then_some(etcd_v2),
        consul: compat.has("consul").then_some(consul),
        tars: compat.has("tars").then_some(tars),
    };
    compat.finish();
    settings
}

fn listen(section: &Section<'_>, at: &mut Listen) {
    section.set("listen", &mut at.listen, socket_address);
    section.set("allow", &mut at.allow, |value| {
        list(NETS_MAX, |value| {
            let text = text(value)?;
            net(&text).map_err(|error| ValueError::new(format!("{error}, got {text:?}")))
        })(value)
        .map(|nets| Some(Nets::new(nets)))
    });
    // Registration is power over where traffic goes: it is not left open to a network by oversight.
    if at.is_open() {
        section.report("listen", open_to_all(at.listen));
    }
}

fn namespace(section: &Section<'_>, at: &mut Listen, zones: &[ZoneSettings]) {
    section.set("namespace", &mut at.namespace, parsed::<Namespace>);
    let namespace = &at.namespace;
    let served = zones.iter().any(|zone| zone.namespace.as_ref() == Some(namespace));
    if section.is_there() && !served {
        let message = format!("no zone here serves namespace {namespace}: add a [[zone]] for it");
        section.report("namespace", message);
    }
}

fn tars(section: Section<'_>, zones: &[ZoneSettings], warnings: &mut Vec<Problem>) -> Tars {
    let mut tars = Tars::default();
    listen(&section, &mut tars.at);
    namespace(&section, &mut tars.at, zones);
    // A lease of a registry has 2 s to an hour, and lasts a fifth longer than what it is for.
    if let Some(secs) =
        section.get("timeout", whole_secs(Duration::from_secs(2)..=Duration::from_secs(2_400)))
    {
        tars.timeout = Duration::from_secs(secs.into());
    }
    let adapters = section.sections("adapter");
    if adapters.len() > ADAPTERS_MAX {
        let got = adapters.len();
        section.report("adapter", format!("must be at most {ADAPTERS_MAX}, got {got}"));
    }
    for section in adapters.into_iter().take(ADAPTERS_MAX) {
        adapter(&section, &mut tars.adapters);
        section.finish();
    }
    if section.is_there() && tars.adapters.is_empty() {
        let message = "there is no [[compat.tars.adapter]], and keep-alives say no address: add the servers that call here, \
                       each with its object and endpoints";
        warnings.push(section.warning(message));
    }
    section.finish();
    tars
}

fn adapter(section: &Section<'_>, adapters: &mut Vec<Adapter>) {
    let object = section.need("object", "\"TestApp.HelloServer.HelloObj\"", filled);
    let name = section.get("adapter", filled);
    let endpoints = section.need("endpoints", "\"tcp -h 10.0.0.1 -p 17890 -t 60000\"", filled);
    let (Some(object), Some(endpoints)) = (object, endpoints) else { return };
    match Adapter::new(&object, name.as_deref(), &endpoints) {
        Ok(adapter) => {
            let names = |other: &Adapter| (other.app.clone(), other.protocol.clone());
            if adapters.iter().any(|other| other.adapter == adapter.adapter) {
                let name = &adapter.adapter;
                let rule =
                    format!("adapter {name} is declared twice: put all its endpoints into one");
                section.report("object", rule);
            } else if adapters.iter().any(|other| names(other) == names(&adapter)) {
                let (app, protocol) = names(&adapter);
                let rule = format!(
                    "is _{protocol} of {app} in DNS, as an object declared before is: rename one"
                );
                section.report("object", rule);
            } else if let Some(id) = adapters.iter().find_map(|other| adapter.same_place(other)) {
                let app = &adapter.app;
                let rule = format!("give instance {id} of {app}, which an adapter before is");
                section.report("endpoints", rule);
            }
            adapters.push(adapter);
        }
        Err((field, why)) => section.report(field, why),
    }
}
