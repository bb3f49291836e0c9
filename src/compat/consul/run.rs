//! Runs a check: a request by HTTP, or a connection.
//!
//! 2xx passes, 429 is a warning, all else is critical (as in Consul, agent/checks/check.go). Redirects are not followed, and
//! so are critical.
//!
//! Knows nothing of what becomes of the result.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::definition::{HttpCheck, Kind, Status};
use super::resolver::Resolver;
use crate::http::client::exchange;
use crate::tls::Connector;

/// Octets of a reply's body that are read, and shown.
const BODY_OCTETS_MAX: usize = 4 * 1024;

/// Runs a check within its time. Gives the status, and what to show of it.
pub(super) async fn run(kind: &Kind, resolver: &Resolver) -> (Status, String) {
    let (limit, result) = match kind {
        Kind::Http(check, pace) => {
            (pace.timeout, timeout(pace.timeout, http(check, resolver)).await)
        }
        Kind::Tcp { target, instead_of, pace } => {
            let connecting = connect(target, instead_of.as_deref(), resolver);
            (pace.timeout, timeout(pace.timeout, connecting).await)
        }
        // These are not run.
        Kind::Ttl(_) | Kind::Maintenance => return (Status::Critical, String::new()),
    };
    match result {
        Ok(Ok(result)) => result,
        Ok(Err(why)) => (Status::Critical, why),
        Err(_) => (Status::Critical, format!("no answer within {:.1} s", limit.as_secs_f64())),
    }
}

async fn connect(
    target: &str,
    instead_of: Option<&str>,
    resolver: &Resolver,
) -> Result<(Status, String), String> {
    let refused = |error| format!("dial tcp {target}: {error}");
    resolver.connect(target).await.map_err(refused)?;
    let note = match instead_of {
        Some(what) => format!(" (only the connection was checked, {what} was not asked)"),
        None => String::new(),
    };
    Ok((Status::Passing, format!("TCP connect {target}: Success{note}")))
}

async fn http(check: &HttpCheck, resolver: &Resolver) -> Result<(Status, String), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{} {}: {error}", check.method, check.url);
    let request = request(check).ok_or_else(|| failed(&"is no request"))?;
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    let host = request.uri().host().unwrap_or_default().to_owned();
    let tls = request.uri().scheme_str() == Some("https");
    let place = match (request.uri().port_u16(), tls) {
        (Some(_), _) => authority.rsplit('@').next().unwrap_or_default().to_owned(),
        (None, false) => format!("{host}:80"),
        (None, true) => format!("{host}:443"),
    };
    let stream = resolver.connect(&place).await.map_err(|error| failed(&error))?;
    let reply = if tls {
        let name = if check.server_name.is_empty() { &host } else { &check.server_name };
        let connector = connector(check.skip_verify).await.map_err(|error| failed(&error))?;
        let stream = connector.connect(name, stream).await.map_err(|error| failed(&error))?;
        exchange(stream, of_path(request)).await
    } else {
        exchange(stream, of_path(request)).await
    };
    let reply = reply.map_err(|error| failed(&error))?;
    let status = reply.status();
    let is = match status {
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        status if status.is_success() => Status::Passing,
        _ => Status::Critical,
    };
    let shown = reply.beginning(BODY_OCTETS_MAX).await.map_err(|error| failed(&error))?;
    let shown = String::from_utf8_lossy(&shown);
    Ok((is, format!("HTTP {} {}: {status} Output: {shown}", check.method, check.url)))
}

/// The same for the server itself, to which the path alone is sent.
fn of_path(request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().and_then(|path| path.as_str().parse().ok());
    head.uri = path.unwrap_or_default();
    Request::from_parts(head, body)
}

/// Who is trusted: the system's authorities, read once, or anybody.
async fn connector(anybody: bool) -> Result<Connector, String> {
    static SYSTEM: OnceCell<Connector> = OnceCell::const_new();
    if anybody {
        return Ok(Connector::unverified());
    }
    let read = async || {
        let read = spawn_blocking(|| Connector::new(None, None)).await;
        read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    };
    SYSTEM.get_or_try_init(read).await.cloned()
}

fn request(check: &HttpCheck) -> Option<Request<Full<Bytes>>> {
    let method = Method::from_bytes(check.method.as_bytes()).ok()?;
    let mut request = Request::builder().method(method).uri(&check.url);
    let headers = request.headers_mut()?;
    for (name, values) in &check.header {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).ok()?;
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).ok()?);
        }
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("Consul Health Check"));
    let mut request = request.body(Full::new(Bytes::from(check.body.clone()))).ok()?;
    let authority = request.uri().authority()?.as_str();
    let host = authority.rsplit('@').next().unwrap_or_default().to_owned();
    let host = HeaderValue::from_str(&host).ok()?;
    request.headers_mut().entry(HOST).or_insert(host);
    Some(request)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::compat::consul::definition::Pace;

    const PACE: Pace =
        Pace { interval: Duration::from_secs(1), timeout: Duration::from_millis(300) };

    /// Runs a check on a server that says this to each request, and gives what it was asked, too.
    async fn asked(
        reply: &'static str,
        check: impl FnOnce(std::net::SocketAddr) -> HttpCheck,
    ) -> ((Status, String), String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let octets = stream.read(&mut request).await.unwrap();
            if reply.is_empty() {
                std::future::pending::<()>().await;
            }
            // A client that has seen enough is gone.
            let _ = stream.write_all(reply.as_bytes()).await;
            String::from_utf8_lossy(&request[..octets]).into_owned()
        });
        let result = run(&Kind::Http(check(address), PACE), &Resolver::default()).await;
        let request = match reply {
            "" => String::new(),
            _ => server.join_next().await.unwrap().unwrap(),
        };
        (result, request)
    }

    fn get(path: &str) -> impl FnOnce(std::net::SocketAddr) -> HttpCheck {
        move |address| HttpCheck {
            url: format!("http://{address}{path}"),
            method: "GET".to_owned(),
            header: BTreeMap::new(),
            body: String::new(),
            skip_verify: false,
            server_name: String::new(),
        }
    }

    #[tokio::test]
    async fn http_passes_with_2xx_and_warns_with_429() {
        for (reply, is) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Status::Passing),
            ("HTTP/1.1 204 No Content\r\n\r\n", Status::Passing),
            ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", Status::Warning),
            ("HTTP/1.1 301 Moved\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n", Status::Critical),
            ("HTTP/1.1 503 Bad\r\ncontent-length: 0\r\n\r\n", Status::Critical),
            ("rubbish", Status::Critical),
            ("", Status::Critical),
        ] {
            let ((status, output), request) = asked(reply, get("/healthy?x=1")).await;
            assert_eq!(status, is, "{reply:?}: {output}");
            if !reply.is_empty() {
                assert!(request.starts_with("GET /healthy?x=1 HTTP/1.1\r\n"), "{request}");
                assert!(request.contains("host: 127.0.0.1:"), "{request}");
            }
        }
        let ((_, output), _) =
            asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", get("/")).await;
        assert!(output.ends_with("/: 200 OK Output: ok"), "{output}");
    }

    #[tokio::test]
    async fn method_headers_and_body_are_sent_as_registered() {
        let check = |address| HttpCheck {
            url: format!("http://{address}/"),
            method: "POST".to_owned(),
            header: [
                ("X-One".to_owned(), vec!["1".to_owned(), "2".to_owned()]),
                ("Host".to_owned(), vec!["web.example".to_owned()]),
            ]
            .into(),
            body: "all well?".to_owned(),
            skip_verify: false,
            server_name: String::new(),
        };
        let (_, request) = asked("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", check).await;
        for part in ["POST / ", "x-one: 1\r\nx-one: 2\r\n", "host: web.example\r\n", "all well?"] {
            assert!(request.contains(part), "{part}: {request}");
        }
        assert_eq!(request.matches("host:").count(), 1, "{request}");
    }

    #[tokio::test]
    async fn of_an_endless_body_only_the_beginning_is_read() {
        let endless = Box::leak(
            format!("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}", "x".repeat(100_000))
                .into_boxed_str(),
        );
        let ((status, output), _) = asked(endless, get("/")).await;
        assert_eq!(status, Status::Passing);
        assert!(output.len() < 5_000, "{}", output.len());
    }

    #[tokio::test]
    async fn a_port_passes_while_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let instead_of = Some("gRPC".to_owned());
        let check = Kind::Tcp { target: target.clone(), instead_of, pace: PACE };
        let (status, output) = run(&check, &Resolver::default()).await;
        let shown = format!(
            "TCP connect {target}: Success (only the connection was checked, gRPC was not asked)"
        );
        assert_eq!((status, output), (Status::Passing, shown));
        drop(listener);
        let (status, output) = run(&check, &Resolver::default()).await;
        assert_eq!(status, Status::Critical);
        assert!(output.starts_with(&format!("dial tcp {target}: ")), "{output}");
    }
}
