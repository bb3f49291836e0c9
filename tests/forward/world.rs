//! A server with a zone of its own, whose other names are looked up, and its clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use rollcall::dns::Settings;
use rollcall::dns::forward::{self, Upstreams};
use rollcall::registry::Origin;
use rollcall::registry::mirror::Delta;
use rollcall::zone::zonefile::ZoneFile;
use rollcall::zone::{Catalogue, Snapshot, ZoneName, ZoneSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::served::{self, Server};
use crate::support::soon;
use crate::wire::Query;

/// The zone: some aliases lead out of it.
const ZONE: &str = "@ 3600 IN SOA ns1 hostmaster 1 3600 600 604800 1\n\
    @ 3600 IN NS ns1\n\
    ns1 3600 IN A 198.51.100.53\n\
    alias 60 IN CNAME ns1\n\
    out 60 IN CNAME www.example.\n\
    twice 60 IN CNAME out\n";

/// How long a client of these servers waits at most for names that nobody knows.
pub(crate) const PATIENCE: Duration = Duration::from_millis(300);

/// The zone `svc.` as it is in [`ZONE`], with nothing registered.
pub(crate) fn snapshot() -> Arc<Snapshot> {
    let name = ZoneName::default();
    let file = ZoneFile::parse(Path::new("svc.zone"), ZONE, &name).unwrap();
    let zone = ZoneSettings { name, file: Some(Arc::new(file)), ..Default::default() };
    let mut catalogue = Catalogue::new(&[zone], &[], &[]);
    catalogue
        .apply(Origin::NATIVE, &Delta { revision: 1, epoch: 0, whole: true, news: Vec::new() });
    catalogue.compile(&|| Duration::ZERO).snapshot
}

/// Forwarding to these.
pub(crate) fn to(upstreams: &[SocketAddr]) -> forward::Settings {
    let upstreams = Upstreams::Listed(upstreams.to_vec());
    // Longer than any test takes; those of silence say otherwise.
    let timeout = Duration::from_secs(60);
    forward::Settings { upstreams, timeout, ..Default::default() }
}

/// A server that forwards so.
pub(crate) fn forwarding(forward: forward::Settings) -> Server {
    with(Settings { forward: Some(forward), ..served::settings() })
}

/// A server with those settings.
pub(crate) fn with(settings: Settings) -> Server {
    Server::start(settings, snapshot())
}

/// The octets of a query with these flags, as in the cases.
pub(crate) fn query(name: &str, rtype: &str, flags: &[&str]) -> Vec<u8> {
    let mut query = Query::default();
    flags.iter().for_each(|flag| query.flag(flag).unwrap());
    query.octets(name, rtype, "IN").unwrap()
}

/// Asks over UDP, once.
pub(crate) async fn ask_octets(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let local = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(local).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(query).await.unwrap();
    let mut reply = vec![0; 65_535];
    let len = soon("a reply", socket.recv(&mut reply)).await.unwrap();
    reply.truncate(len);
    reply
}

/// Asks with these flags, and has the reply decoded.
pub(crate) async fn ask(server: &Server, name: &str, rtype: &str, flags: &[&str]) -> Message {
    ask_at(server.address(), name, rtype, flags).await
}

/// The same of a server by its address.
pub(crate) async fn ask_at(at: SocketAddr, name: &str, rtype: &str, flags: &[&str]) -> Message {
    Message::from_vec(&ask_octets(at, &query(name, rtype, flags)).await).unwrap()
}

/// The same over TCP.
pub(crate) async fn ask_tcp(server: &Server, name: &str, rtype: &str, flags: &[&str]) -> Message {
    ask_tcp_at(server.address(), name, rtype, flags).await
}

/// The same of a server by its address.
pub(crate) async fn ask_tcp_at(at: SocketAddr, name: &str, rtype: &str, flags: &[&str]) -> Message {
    let mut connection = Connection(TcpStream::connect(at).await.unwrap());
    connection.send(&query(name, rtype, flags)).await;
    Message::from_vec(&connection.hear().await).unwrap()
}

/// A TCP connection of a client.
pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    pub(crate) async fn open(server: &Server) -> Self {
        Self(TcpStream::connect(server.address()).await.unwrap())
    }

    pub(crate) async fn send(&mut self, query: &[u8]) {
        let length = u16::try_from(query.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&length[..], query].concat()).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> Vec<u8> {
        let reply = async {
            let mut reply = vec![0; self.0.read_u16().await.unwrap().into()];
            self.0.read_exact(&mut reply).await.unwrap();
            reply
        };
        soon("a reply over TCP", reply).await
    }

    /// Waits until the server closes it, with nothing more said.
    pub(crate) async fn closed(&mut self) {
        let read = soon("the connection's end", self.0.read(&mut [0])).await;
        assert_eq!(read.unwrap_or(0), 0, "nothing more comes");
    }
}

/// The answer section, as `owner ttl type data`.
pub(crate) fn answers(message: &Message) -> Vec<String> {
    let text = |record: &hickory_proto::rr::Record| {
        format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
    };
    message.answers.iter().map(text).collect()
}
