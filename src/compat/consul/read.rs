//! Calls that only look: the agent's own lists, and what is registered anywhere.
//!
//! Knows nothing of how any of it came to be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Answer, Moment, Refused};
use super::catalog::{Sight, names, own_names};
use super::keeper::Keeper;
use super::query::Query;
use super::view::{CatalogJson, CheckJson, DATACENTER, EntryJson, NodeJson, ServiceJson, uuid};
use crate::model::{AppName, map_app};

/// The port that servers of Consul have for each other. Nobody is there; clients only want to see one.
const SERVER_PORT: u16 = 8_300;
/// And agents.
const GOSSIP_PORT: u16 = 8_301;

type Kept = State<Arc<Keeper>>;

/// `GET /v1/agent/services`
pub(super) async fn agent_services(State(keeper): Kept, RawQuery(query): RawQuery) -> Answer {
    unfiltered(query)?;
    let services: BTreeMap<String, ServiceJson> = {
        let agent = keeper.agent();
        let shown = agent.services().map(|service| {
            let json = ServiceJson::new(&service.definition.name, service);
            (json.id.clone(), ServiceJson { datacenter: Some(DATACENTER), ..json })
        });
        shown.collect()
    };
    answer::json(&services)
}

/// `GET /v1/agent/service/{id}`
pub(super) async fn agent_service(State(keeper): Kept, Path(id): Path<String>) -> Answer {
    let json = keeper.agent().service(&id).map(|service| {
        let json = ServiceJson::new(&service.definition.name, service);
        ServiceJson { datacenter: Some(DATACENTER), ..json }
    });
    let json =
        json.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("unknown service ID: {id}")))?;
    answer::json(&json)
}

/// `GET /v1/agent/checks`
pub(super) async fn agent_checks(State(keeper): Kept, RawQuery(query): RawQuery) -> Answer {
    unfiltered(query)?;
    let checks: BTreeMap<String, CheckJson> = {
        let agent = keeper.agent();
        let node = node(&keeper);
        let of_node = agent.node_checks().map(|(id, check)| CheckJson::of(&node, id, check, None));
        let of_services = agent.services().flat_map(|service| {
            let json = ServiceJson::new(&service.definition.name, service);
            CheckJson::all_of(&node, service, &json)
        });
        of_node.chain(of_services).map(|check| (check.check_id.clone(), check)).collect()
    };
    answer::json(&checks)
}

/// `GET /v1/agent/self`
pub(super) async fn agent_self(State(keeper): Kept) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    answer::json(&json!({
        "Config": {
            "Datacenter": DATACENTER,
            "PrimaryDatacenter": DATACENTER,
            "NodeName": keeper.node,
            "NodeID": uuid(&keeper.node),
            "Revision": "rollcall",
            "Server": true,
            "Version": version,
        },
        "DebugConfig": {},
        "Coord": {},
        "Member": member(&keeper),
        "Stats": {},
        "Meta": {},
    }))
}

/// `GET /v1/agent/host`: by which go-micro finds an agent that answers.
pub(super) async fn agent_host(State(keeper): Kept) -> Answer {
    let now = (keeper.compat.wall_clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
    answer::json(&json!({
        "Memory": {},
        "CPU": [],
        "Host": { "hostname": keeper.node, "os": std::env::consts::OS },
        "Disk": {},
        "CollectionTime": u64::try_from(now.as_nanos()).unwrap_or_default(),
        "Errors": null,
    }))
}

/// `GET /v1/agent/members`
pub(super) async fn agent_members(State(keeper): Kept) -> Answer {
    answer::json(&[member(&keeper)])
}

/// `GET /v1/health/service/{name}`
pub(super) async fn health_service(
    State(keeper): Kept,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = unfiltered(query)?;
    let passing = query.flag("passing").map_err(Refused::bad)?;
    let see = |moment: Moment<'_>| {
        let mut entries = found(&moment.sight(), &name, &query);
        entries.retain(|entry| !passing || entry.is_passing());
        entries
    };
    answer::blocking(&keeper, &query, app(&name), see).await
}

/// `GET /v1/health/checks/{name}`: those of the instances of a service.
pub(super) async fn health_checks(
    State(keeper): Kept,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = unfiltered(query)?;
    let see = |moment: Moment<'_>| {
        let checks =
            found(&moment.sight(), &name, &query).into_iter().flat_map(|entry| entry.checks);
        checks.filter(|check| !check.service_id.is_empty()).collect::<Vec<_>>()
    };
    answer::blocking(&keeper, &query, app(&name), see).await
}

/// `GET /v1/health/node/{name}`: the agent's own node is the only one that is known by its checks.
pub(super) async fn health_node(
    State(keeper): Kept,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = unfiltered(query)?;
    let see = |moment: Moment<'_>| {
        let sight = moment.sight();
        if name != sight.node {
            return Vec::new();
        }
        let node = node(&keeper);
        let mut checks = sight.node_checks(&node);
        for service in sight.agent.services() {
            let json = ServiceJson::new(&service.definition.name, service);
            checks.append(&mut sight.service_checks(&node, service, &json));
        }
        checks
    };
    answer::blocking(&keeper, &query, None, see).await
}

/// `GET /v1/catalog/services`
pub(super) async fn catalog_services(State(keeper): Kept, RawQuery(query): RawQuery) -> Answer {
    let query = unfiltered(query)?;
    let nobody = query.first("node-meta").is_some();
    let see = |moment: Moment<'_>| {
        let Moment { directory, namespace, agent, .. } = moment;
        let own = own_names(&agent);
        drop(agent);
        if nobody { BTreeMap::new() } else { names(directory, namespace, own) }
    };
    answer::blocking(&keeper, &query, None, see).await
}

/// `GET /v1/catalog/service/{name}`
pub(super) async fn catalog_service(
    State(keeper): Kept,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = unfiltered(query)?;
    let see = |moment: Moment<'_>| {
        let entries = found(&moment.sight(), &name, &query).into_iter();
        entries.map(CatalogJson::from).collect::<Vec<_>>()
    };
    answer::blocking(&keeper, &query, app(&name), see).await
}

/// `GET /v1/catalog/nodes`: this one. Where others' instances are, `catalog/service` says.
pub(super) async fn catalog_nodes(State(keeper): Kept, RawQuery(query): RawQuery) -> Answer {
    let query = unfiltered(query)?;
    answer::blocking(&keeper, &query, None, |_| [node(&keeper)]).await
}

/// `GET /v1/catalog/datacenters`
pub(super) async fn datacenters() -> Answer {
    answer::json(&[DATACENTER])
}

/// `GET /v1/status/leader`: by which registrator finds an agent that answers.
pub(super) async fn leader(State(keeper): Kept) -> Answer {
    answer::json(&server(&keeper))
}

/// `GET /v1/status/peers`
pub(super) async fn peers(State(keeper): Kept) -> Answer {
    answer::json(&[server(&keeper)])
}

fn server(keeper: &Keeper) -> String {
    std::net::SocketAddr::new(keeper.address, SERVER_PORT).to_string()
}

fn node(keeper: &Keeper) -> NodeJson {
    NodeJson::new(&keeper.node, &keeper.address.to_string())
}

fn member(keeper: &Keeper) -> Value {
    const ALIVE: u8 = 1;
    json!({
        "Name": keeper.node,
        "Addr": keeper.address,
        "Port": GOSSIP_PORT,
        "Tags": { "role": "consul", "dc": DATACENTER, "id": uuid(&keeper.node) },
        "Status": ALIVE,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

/// The app that is asked for; a name that is nobody's is watched like all.
fn app(name: &str) -> Option<AppName> {
    map_app(name.as_bytes()).ok()
}

/// The instances of a service that have all the tags that are asked for. Nodes have no meta here.
fn found(sight: &Sight<'_>, name: &str, query: &Query) -> Vec<EntryJson> {
    if query.first("node-meta").is_some() {
        return Vec::new();
    }
    let mut entries = sight.service(name);
    entries.retain(|entry| query.all("tag").all(|tag| tag.is_empty() || entry.has_tag(tag)));
    entries
}

/// The parameters. Of those that choose what is shown, expressions are not known; more than was asked for would be wrong.
fn unfiltered(query: Option<String>) -> Result<Query, Refused> {
    let query = Query::new(&query.unwrap_or_default());
    match query.first("filter") {
        None | Some("") => Ok(query),
        Some(_) => Err(Refused::bad(
            "filter is not known here: ask by tag or passing, and filter what is answered",
        )),
    }
}
