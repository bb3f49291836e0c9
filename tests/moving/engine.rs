//! A scripted Docker engine on a socket: the containers that a test says, and events when it says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

/// The engine; gone with its value.
pub(crate) struct Engine {
    directory: TempDir,
    known: Arc<Known>,
    tasks: JoinSet<()>,
}

struct Known {
    containers: Mutex<BTreeMap<String, Value>>,
    events: broadcast::Sender<String>,
}

impl Engine {
    /// One without containers.
    pub(crate) fn start() -> Self {
        let (events, _) = broadcast::channel(100);
        let known = Arc::new(Known { containers: Mutex::default(), events });
        let mut engine = Self { directory: TempDir::new().unwrap(), known, tasks: JoinSet::new() };
        engine.resume();
        engine
    }

    /// As `--docker` takes it.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Breaks off all connections and takes no more.
    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// Listens, again.
    pub(crate) fn resume(&mut self) {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let known = Arc::clone(&self.known);
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                connections.spawn(async move { known.serve(stream).await.unwrap_or_default() });
            }
        });
    }

    /// A container that is there without a word of it; its id is its name.
    pub(crate) fn put(&self, name: &str, port: u16, env: &[&str]) {
        let container = json!({
            "Id": name, "Name": format!("/{name}"), "State": { "Running": true },
            "Config": { "Image": "shop:7", "Env": env, "Labels": {}, "ExposedPorts": { "80/tcp": {} } },
            "HostConfig": { "NetworkMode": "bridge" },
            "NetworkSettings": {
                "IPAddress": "172.17.0.2",
                "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": port.to_string() }] },
            },
        });
        self.known.containers.lock().unwrap().insert(name.to_owned(), container);
    }

    /// It has gone without a word.
    pub(crate) fn take(&self, name: &str) {
        self.known.containers.lock().unwrap().remove(name).expect("a container of that name");
    }

    /// A container is started.
    pub(crate) fn run(&self, name: &str, port: u16, env: &[&str]) {
        self.put(name, port, env);
        self.known.tell("start", name, &json!({ "name": name }));
    }

    /// A container ends.
    pub(crate) fn die(&self, name: &str, code: u8) {
        self.take(name);
        self.known.tell("die", name, &json!({ "name": name, "exitCode": code.to_string() }));
    }
}

impl Known {
    fn tell(&self, action: &str, id: &str, attributes: &Value) {
        let actor = json!({ "ID": id, "Attributes": attributes });
        let event = json!({ "status": action, "id": id, "Type": "container", "Action": action, "Actor": actor });
        // Nobody may be listening, as on a real engine.
        let _ = self.events.send(format!("{event}\n"));
    }

    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut request, mut line) = (String::new(), String::new());
        stream.read_line(&mut request).await?;
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await?;
        }
        let path = request.split(' ').nth(1).unwrap();
        if path.starts_with("/events?") {
            return self.stream_events(stream.into_inner()).await;
        }
        let containers = self.containers.lock().unwrap().clone();
        let found = match path.strip_prefix("/containers/").unwrap() {
            "json" => Some(containers.values().map(|one| json!({ "Id": one["Id"] })).collect()),
            one => containers.get(one.strip_suffix("/json").unwrap()).cloned(),
        };
        let (status, body) = match found {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", json!({ "message": "No such container" })),
        };
        let body = body.to_string();
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(reply.as_bytes()).await
    }

    /// Each event in two chunks: what arrives together says nothing of where an event ends.
    async fn stream_events(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let mut events = self.events.subscribe();
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        while let Ok(event) = events.recv().await {
            let (first, second) = event.split_at(event.len() / 2);
            for part in [first, second] {
                stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await?;
            }
        }
        Ok(())
    }
}
