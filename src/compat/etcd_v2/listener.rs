//! Which path leads where, and answers as etcd 2 writes them: JSON and a line end, and where the registry stands in heads.
//!
//! Knows nothing of sockets, and of what calls do.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::{FutureExt, stream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::fault::{Code, Fault};
use super::folders::Folders;
use super::follow::{Heard, Shared, Track};
use super::intents::Intents;
use super::keys::{Answer, Keys};
use super::leases::Leases;
use super::places::Places;
use super::request::{Method, Request};
use crate::compat::settings::EtcdV2;
use crate::compat::{Room, StartError};

/// Time for all that one call asks of the registry.
const BUDGET: Duration = Duration::from_millis(4_500);
/// Clients that wait at once; the rest of the listener's connections is for those who write.
const WAITERS_MAX: usize = 768;
/// Answers beyond are sent piece by piece, for which there is so much room.
const LARGE_OCTETS: usize = 64 * 1024;
/// What clients take us for: they go by it, and know no later one that has this call.
const VERSION: &str = r#"{"etcdserver":"2.3.8","etcdcluster":"2.3.0"}"#;
/// What keys are under.
const KEYS: &str = "/v2/keys";
/// What can be done with them.
const METHODS: &str = "HEAD,GET,PUT,POST,DELETE";

const INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
const CLUSTER: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

/// What the listener serves.
pub(in crate::compat) fn router(settings: &EtcdV2, room: &Room<'_>) -> Result<Router, StartError> {
    let compat = &room.compat;
    let shared = Arc::new(Shared {
        places: Places::new(settings.prefixes.clone(), compat.keys.prefix()),
        intents: Intents::default(),
        leases: Leases::default(),
        folders: Folders::default(),
        heard: Heard::default(),
        clock: compat.wall_clock,
    });
    let tracks = shared.places.watched().into_iter();
    let followed = &compat.followed;
    let tracks = tracks
        .map(|prefix| {
            let (registry, shared) = (compat.registry.clone(), shared.clone());
            Track::start(prefix, registry, shared, followed.clone(), room.tasks)
        })
        .collect();
    let registry = compat.registry.clone();
    Ok(routes(Keys::new(registry, shared, tracks, WAITERS_MAX, room.stop.clone())))
}

pub(super) fn routes(keys: Keys) -> Router {
    Router::new()
        .route("/version", get(async || json(VERSION.to_owned())))
        .route("/health", get(health))
        .route("/v2/machines", get(machines))
        .route("/v2/members", get(members))
        .route(KEYS, any(call))
        .route("/v2/keys/", any(call))
        .route("/v2/keys/{*key}", any(call))
        .with_state(keys)
}

fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// `GET /health`: whether the registry answers.
async fn health(State(keys): State<Keys>) -> Response {
    match timeout(BUDGET, keys.stand()).await {
        Ok(Ok(_)) => json(r#"{"health":"true"}"#.to_owned()),
        _ => {
            let unwell = json(r#"{"health":"false"}"#.to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, unwell).into_response()
        }
    }
}

/// `GET /v2/machines`: where clients go on asking, which is where they asked this.
async fn machines(headers: HeaderMap) -> String {
    here(&headers)
}

/// `GET /v2/members`: the same.
async fn members(State(keys): State<Keys>, headers: HeaderMap) -> Response {
    let here = here(&headers);
    let member = serde_json::json!({
        "id": "1", "name": "rollcall", "peerURLs": [here], "clientURLs": [here],
    });
    let mut response = json(serde_json::json!({ "members": [member] }).to_string());
    put_cluster(&mut response, &keys);
    response
}

fn here(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    host.map_or_else(String::new, |host| format!("http://{host}"))
}

/// A call on the keys.
async fn call(
    State(keys): State<Keys>,
    method: HttpMethod,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let method = match method {
        HttpMethod::GET | HttpMethod::HEAD => Method::Get,
        HttpMethod::PUT => Method::Put,
        HttpMethod::POST => Method::Post,
        HttpMethod::DELETE => Method::Delete,
        _ => {
            let refused = (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
            return ([(ALLOW, METHODS)], refused).into_response();
        }
    };
    let path = uri.path().strip_prefix(KEYS).unwrap_or_default();
    let asked = if is_form(&headers, &body) {
        Request::parse(method, path, uri.query().unwrap_or_default(), &body)
    } else {
        let cause = "the body must be content-type: application/x-www-form-urlencoded";
        Err(Fault::new(Code::InvalidForm, cause))
    };
    let answered = match asked {
        Ok(request) if request.wait => {
            let waiting = timeout(BUDGET, keys.wait(&request)).await;
            let waiting = waiting.unwrap_or_else(|_| Err(silent()));
            let waiting = waiting.map_err(|fault| fault.unheard(keys.seen(&request)));
            waiting.map(|(waiter, index)| {
                // Its one piece comes when it comes, the head goes out now.
                let event = waiter.event().map(Ok::<_, std::convert::Infallible>);
                let body = Body::from_stream(event.into_stream());
                let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
                put_index(&mut response, index);
                response
            })
        }
        Ok(request) => {
            let done = timeout(BUDGET, async {
                // Until it is written: each step of that holds all of it once more.
                let _place = match request.method {
                    Method::Get => keys.readers.acquire().await.ok(),
                    _ => None,
                };
                written(&keys, run(&keys, &request).await?, &request)
            });
            let done = done.await.unwrap_or_else(|_| Err(silent()));
            done.map_err(|fault| fault.unheard(keys.index()))
        }
        Err(fault) => Err(fault),
    };
    let mut response = answered.unwrap_or_else(|fault| refused(&fault));
    put_cluster(&mut response, &keys);
    response
}

async fn run(keys: &Keys, request: &Request) -> Result<Answer, Fault> {
    match request.method {
        Method::Get => keys.read(request).await,
        Method::Put => keys.put(request).await,
        Method::Delete => keys.delete(request).await,
        Method::Post => {
            let cause = "keys in the order of their making are not served: PUT a key of your own";
            Err(Fault::new(Code::InvalidField, cause))
        }
    }
}

fn silent() -> Fault {
    let cause = format!("no answer from the registry within {:.1} s", BUDGET.as_secs_f64());
    Fault::new(Code::Registry, cause)
}

/// Whether a body can be meant as a form. Clients that don't say what it is mean one.
fn is_form(headers: &HeaderMap, body: &Bytes) -> bool {
    let Some(given) = headers.get(CONTENT_TYPE).filter(|_| !body.is_empty()) else { return true };
    let kind = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn written(keys: &Keys, answer: Answer, request: &Request) -> Result<Response, Fault> {
    let Answer { event, index } = answer;
    let created = event.is_created();
    let event = if request.no_value_on_success { event.without_nodes() } else { event };
    // Texts, numbers and lists of them are always to be written.
    let text = serde_json::to_string(&event).unwrap_or_default();
    drop(event);
    let mut response = if request.method == Method::Get && text.len() > LARGE_OCTETS {
        let Some(body) = sent(text + "\n", &keys.sending) else {
            let cause = "many large answers are being sent: ask again, or for a folder in it";
            return Err(Fault::new(Code::Registry, cause).at(index));
        };
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    } else {
        json(text)
    };
    if created {
        *response.status_mut() = StatusCode::CREATED;
    }
    put_index(&mut response, index);
    Ok(response)
}

/// A body that has its share of the room until it is sent; none if there is not enough of that.
fn sent(text: String, room: &Arc<Semaphore>) -> Option<Body> {
    let units = u32::try_from(text.len().div_ceil(1024)).ok()?;
    let share = room.clone().try_acquire_many_owned(units).ok()?;
    // In pieces, as each that is asked for is on its way.
    let pieces = stream::unfold((Bytes::from(text), share), async |(mut rest, share)| {
        let piece = rest.split_to(rest.len().min(LARGE_OCTETS));
        (!piece.is_empty()).then_some((Ok::<_, std::convert::Infallible>(piece), (rest, share)))
    });
    Some(Body::from_stream(pieces))
}

fn refused(fault: &Fault) -> Response {
    let mut response = json(fault.json());
    *response.status_mut() =
        StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(INDEX, fault.index().into());
    response
}

/// Clients read all of these as numbers. There is no raft here to be told of: its index is ours.
fn put_index(response: &mut Response, index: u64) {
    for (name, value) in [(INDEX, index), (RAFT_INDEX, index), (RAFT_TERM, 1)] {
        response.headers_mut().insert(name, value.into());
    }
}

/// Clients hold on to the first that they are told: before it is known, none is.
fn put_cluster(response: &mut Response, keys: &Keys) {
    if keys.cluster() != 0
        && let Ok(cluster) = HeaderValue::try_from(format!("{:x}", keys.cluster()))
    {
        response.headers_mut().insert(CLUSTER, cluster);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_is_being_sent_takes_room_until_it_is() {
        let room = Arc::new(Semaphore::new(1024));
        let text = "x".repeat(700 * 1024);
        let mut body = sent(text.clone(), &room).unwrap();
        assert!(sent(text.clone(), &room).is_none());
        let mut read = 0;
        while let Some(piece) = body.frame().await {
            assert_eq!(room.available_permits(), 324, "after {read} octets");
            read += piece.unwrap().into_data().unwrap().len();
        }
        assert_eq!(read, text.len());
        drop(body);
        let other = sent(text, &room).unwrap();
        drop(other);
        assert_eq!(room.available_permits(), 1024, "nobody reads it any more");
    }
}
