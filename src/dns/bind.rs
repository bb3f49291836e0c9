//! From settings to bound sockets, and from those to running servers: first everything is bound, so that a
//! start either has all its sockets or says in one line which one it could not get.
//!
//! Knows nothing of messages.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::encrypted::Doors;
use super::forward::{self, Queue};
use super::limit::Limiter;
use super::settings::Settings;
use super::source::Source;
use super::stats::Stats;
use super::transport::Transport;
use super::{tcp, udp};
use crate::host::bind_advice;
use crate::supervise::Tasks;

/// Attempts to find a port that is free for both UDP and TCP.
const FREE_PORT_ATTEMPTS: usize = 64;
/// Connections that wait to be accepted; the system cuts it to its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 1_024;
/// Octets of the receive buffer, for queries that wait while the core does something else; the system cuts it
/// to its own limit (`net.core.rmem_max`), doubles it, and takes 768 octets and more of it for each.
///
/// It is also how late answers get under more load than the core can carry, when the buffer is always full: some
/// 2,500 queries are 10 ms at 250,000 a second, and so soon after such load ends they come at once again. What
/// finds the buffer full is dropped by the system, at less cost than an answer.
const RECEIVE_BUFFER_OCTETS: usize = 1 << 20;
/// Octets of the send buffer: replies that wait for the network, some batches of them. What finds it full is
/// dropped and counted, and not waited for: whoever asks in the name of neighbours that do not exist keeps
/// replies waiting for seconds.
const SEND_BUFFER_OCTETS: usize = 1 << 20;

/// The largest reply that no path splits (DNS Flag Day 2020): 1,280 octets less the headers of IPv6 and UDP.
const WHOLE_OCTETS_MAX: u16 = 1_232;

/// A listener can't be bound, or can't be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind dns listener {address}: {}", bind_advice(source))]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Sockets on all addresses of the settings, not yet read from.
#[derive(Debug)]
pub struct Bound {
    settings: Settings,
    listeners: Vec<Listener>,
    doors: Doors,
}

/// The sockets of one address.
#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    udp: Vec<udp::Socket>,
    tcp: TcpListener,
}

/// Binds a UDP socket for each worker and a TCP socket on every address of the settings, and one socket on every
/// address of another transport.
///
/// # Errors
/// The first address that can't be bound.
pub fn bind(settings: &Settings) -> Result<Bound, BindError> {
    let workers = match settings.udp_workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        some => some,
    };
    let listeners = settings
        .listen
        .iter()
        .map(|address| {
            listener(*address, workers, settings.udp_octets_max)
                .map_err(|source| BindError { address: *address, source })
        })
        .collect::<Result<_, _>>()?;
    Ok(Bound { settings: settings.clone(), listeners, doors: Doors::bind(settings)? })
}

impl Bound {
    /// The addresses, with the ports that were taken where the settings say 0.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Those of a transport besides UDP and TCP.
    #[must_use]
    pub fn addresses_of(&self, transport: Transport) -> Vec<SocketAddr> {
        self.doors.addresses(transport)
    }

    /// Answers on all sockets until the group of tasks is stopped. Must be called within a runtime.
    ///
    /// # Errors
    /// A thread that can't be started or a socket that the runtime does not take.
    pub fn run(self, source: &Source, stats: &Arc<Stats>, tasks: &Tasks) -> Result<(), BindError> {
        let own: Arc<[SocketAddr]> = self.addresses().into();
        let limiter = Limiter::new(&self.settings.limits).map(Arc::new);
        let (transport, stop) = (Transport::Tcp, tasks.stop_token());
        let service = tcp::Service::new(transport, &self.settings, source.clone(), stats, stop);
        let queue = forwarding(source, limiter.clone(), stats, tasks);
        for Listener { address, udp, tcp } in self.listeners {
            let failed = |source| BindError { address, source };
            for (number, socket) in udp.into_iter().enumerate() {
                let (own, source, limiter) = (own.clone(), source.clone(), limiter.clone());
                let forward = queue.clone().map(|queue| {
                    let replier = Arc::new(socket.replier()?);
                    Ok(udp::Forward { queue, replier })
                });
                let forward = forward.transpose().map_err(failed)?;
                let worker = udp::Worker::new(own, &self.settings, source, limiter, stats)
                    .with_forward(forward);
                let ended = worker.start(socket, tasks.stop_token()).map_err(failed)?;
                tasks.spawn(format!("dns udp {address} worker {number}"), ended);
            }
            let listener = tokio::net::TcpListener::from_std(tcp).map_err(failed)?;
            tasks.spawn(format!("dns tcp {address}"), tcp::serve(listener, service.clone()));
        }
        self.doors.run(&self.settings, source, stats, tasks)
    }
}

/// Starts what looks up names of others, if anything does; the queue to it.
fn forwarding(
    source: &Source,
    limiter: Option<Arc<Limiter>>,
    stats: &Stats,
    tasks: &Tasks,
) -> Option<Queue> {
    let forwarder = source.forwarder()?;
    let (queue, jobs) = Queue::new(forwarder.clone());
    let outlet = forward::Outlet::new(stats.counters(Transport::Udp), limiter);
    let serve = forward::serve(forwarder.clone(), jobs, outlet, tasks.stop_token());
    tasks.spawn("dns forward", serve);
    Some(queue)
}

fn listener(address: SocketAddr, workers: usize, octets_max: u16) -> io::Result<Listener> {
    let free = address.port() == 0;
    let mut attempts = FREE_PORT_ATTEMPTS;
    loop {
        // TCP first: its port belongs to one program only, whereas a UDP port with SO_REUSEPORT would be
        // shared with an older server of the same user, without a word.
        let tcp = tcp_socket(address)?;
        let address = tcp.local_addr()?;
        match udp_sockets(address, workers, octets_max) {
            Ok(udp) => return Ok(Listener { address, udp, tcp }),
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 1 && free => {}
            Err(error) => return Err(error),
        }
        attempts -= 1;
    }
}

pub(super) fn tcp_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // So that a restart need not wait for old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// One socket of its own, for what is not plain DNS.
pub(super) fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn udp_sockets(
    address: SocketAddr,
    workers: usize,
    octets_max: u16,
) -> io::Result<Vec<udp::Socket>> {
    // Without SO_REUSEPORT, to see whether another program has the port; closed again at once.
    socket(address, Type::DGRAM, Protocol::UDP)?.bind(&SockAddr::from(address))?;
    (0..workers)
        .map(|_| {
            let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
            socket.set_reuse_port(true)?;
            socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS)?;
            socket.set_send_buffer_size(SEND_BUFFER_OCTETS)?;
            ignore_path_mtu(&socket, address, octets_max)?;
            socket.bind(&SockAddr::from(address))?;
            udp::Socket::new(socket.into())
        })
        .collect()
}

/// Believes nobody who says that a path takes only small datagrams: a reply in fragments can be forged in part,
/// and whoever forges such a message would have them fragmented (RFC 9715). Replies that every path carries
/// whole are marked as not to be fragmented, and cost 6 % less, since they need no identification; where an
/// operator allows larger ones, those are fragmented here if they must be.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ignore_path_mtu(socket: &Socket, address: SocketAddr, octets_max: u16) -> io::Result<()> {
    use rustix::net::sockopt;
    let whole = octets_max <= WHOLE_OCTETS_MAX;
    if address.is_ipv4() {
        let (probe, omit) =
            (sockopt::Ipv4PathMtuDiscovery::PROBE, sockopt::Ipv4PathMtuDiscovery::OMIT);
        sockopt::set_ip_mtu_discover(socket, if whole { probe } else { omit })?;
    } else {
        let (probe, omit) =
            (sockopt::Ipv6PathMtuDiscovery::PROBE, sockopt::Ipv6PathMtuDiscovery::OMIT);
        sockopt::set_ipv6_mtu_discover(socket, if whole { probe } else { omit })?;
    }
    Ok(())
}

/// Left as the system has it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn ignore_path_mtu(_: &Socket, _: SocketAddr, _: u16) -> io::Result<()> {
    Ok(())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has listeners of its own, so that no client shows as ::ffff:192.0.2.1.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_reads_says_what_to_do() {
        let error = |kind: ErrorKind| {
            let address = SocketAddr::from(([192, 0, 2, 1], 53));
            BindError { address, source: kind.into() }.to_string()
        };
        assert_eq!(
            error(ErrorKind::PermissionDenied),
            "cannot bind dns listener 192.0.2.1:53: permission denied: give rollcall CAP_NET_BIND_SERVICE \
             (AmbientCapabilities= of a systemd unit, or setcap), or choose a port above 1023"
        );
        assert!(error(ErrorKind::OutOfMemory).ends_with("out of memory: choose another address"));
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn nobody_makes_a_udp_socket_split_small_replies() {
        use rustix::net::sockopt;
        let v4 = |octets_max| {
            let sockets = udp_sockets(SocketAddr::from(([127, 0, 0, 1], 0)), 1, octets_max);
            sockopt::ip_mtu_discover(&sockets.unwrap()[0].socket).unwrap()
        };
        assert_eq!(v4(1_232), sockopt::Ipv4PathMtuDiscovery::PROBE);
        assert_eq!(v4(1_233), sockopt::Ipv4PathMtuDiscovery::OMIT);
        let v6 = |octets_max| {
            let sockets = udp_sockets("[::1]:0".parse().unwrap(), 1, octets_max);
            sockopt::ipv6_mtu_discover(&sockets.unwrap()[0].socket).unwrap()
        };
        assert_eq!(v6(1_232), sockopt::Ipv6PathMtuDiscovery::PROBE);
        assert_eq!(v6(1_233), sockopt::Ipv6PathMtuDiscovery::OMIT);
    }
}
