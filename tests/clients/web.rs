//! Instances as gateways see them, HTTP servers that say their names, and the traffic that goes to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{soon, until};

/// An HTTP server; with its value it is gone, as if it had crashed.
pub(crate) struct Web {
    requests: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Web {
    pub(crate) async fn start(name: &'static str, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(reply(stream, name, counter.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { requests, _serving: serving }
    }

    /// How many requests have reached it.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// One request; a check of a gateway's connects and sends none.
async fn reply(mut stream: TcpStream, name: &'static str, requests: Arc<AtomicUsize>) {
    let (mut got, mut buffer) = (Vec::<u8>::new(), [0; 4_096]);
    while !got.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(len) if len > 0 => got.extend(&buffer[..len]),
            _ => return,
        }
    }
    requests.fetch_add(1, Ordering::Relaxed);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close", name.len());
    // Whoever asked may be gone.
    let _ = stream.write_all(format!("{head}\r\n\r\n{name}").as_bytes()).await;
}

/// Sends a request for a service through a gateway, and gives what replied: an instance's name, or the status if it
/// is not 200.
pub(crate) async fn get(gateway: &str, service: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(gateway).await?;
        let request = format!(
            "GET / HTTP/1.1\r\nhost: gateway\r\nservice_name: {service}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        std::io::Result::Ok(reply)
    };
    let reply = match soon(("a reply through", gateway), exchange).await {
        Ok(reply) => reply,
        Err(why) => return why.to_string(),
    };
    let status = reply.split(' ').nth(1).unwrap_or("no reply");
    let (_, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
    if status == "200" { body.to_owned() } else { status.to_owned() }
}

/// Requests for a service, one after another without an end.
pub(crate) struct Traffic {
    replies: Arc<Mutex<Vec<(Instant, String)>>>,
    _asking: JoinSet<()>,
}

impl Traffic {
    pub(crate) fn start(gateway: &'static str, service: &'static str) -> Self {
        let replies = Arc::new(Mutex::new(Vec::new()));
        let kept = replies.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            loop {
                let reply = get(gateway, service).await;
                kept.lock().unwrap().push((Instant::now(), reply));
                // Leaves the processor to those who are watched.
                sleep(Duration::from_millis(10)).await;
            }
        });
        Self { replies, _asking: asking }
    }

    /// What replied, in order.
    pub(crate) fn replies(&self) -> Vec<String> {
        self.replies.lock().unwrap().iter().map(|(_, reply)| reply.clone()).collect()
    }

    /// Waits until the last `count` replies are all of that kind.
    pub(crate) async fn settles(&self, count: usize, what: &str, kind: impl Fn(&str) -> bool) {
        until(what, async || {
            let replies = self.replies.lock().unwrap();
            replies.len() >= count && replies.iter().rev().take(count).all(|(_, reply)| kind(reply))
        })
        .await;
    }

    /// Waits until so many more have come.
    pub(crate) async fn more(&self, count: usize) {
        let from = self.replies().len();
        until("more traffic", async || self.replies().len() >= from + count).await;
    }

    /// How long after that moment the last reply of this kind came.
    pub(crate) fn last(&self, since: Instant, kind: impl Fn(&str) -> bool) -> Duration {
        let replies = self.replies.lock().unwrap();
        let last = replies.iter().rev().find(|(_, reply)| kind(reply));
        last.map_or(Duration::ZERO, |(at, _)| at.saturating_duration_since(since))
    }

    /// How long after that moment the first reply of this kind came.
    pub(crate) fn first(&self, since: Instant, kind: impl Fn(&str) -> bool) -> Duration {
        let replies = self.replies.lock().unwrap();
        let first = replies.iter().find(|(at, reply)| *at >= since && kind(reply));
        first.map_or(Duration::ZERO, |(at, _)| at.saturating_duration_since(since))
    }
}
