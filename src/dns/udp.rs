//! DNS in datagrams: one thread for each worker, with a socket and buffers of its own.
//!
//! A worker receives, answers and sends, and nothing else: no lock, no log and no allocation for a packet
//! (save a few octets of control message on a wildcard socket, inside the crate `nix`), and no task switch.
//! Workers share the port by SO_REUSEPORT; the system spreads clients over them.
//!
//! Knows nothing of what an answer holds.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::errno::Errno;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::answer::{Ask, Transport, Verdict, answer};
use super::datagram::{Datagrams, Received};
use super::reply::Out;
use super::stats::{Counters, Stats};
use crate::supervise::panic_message;
use crate::zone::Published;

/// Largest datagram: UDP itself allows no more, so that nothing is ever cut on its way in.
const DATAGRAM_OCTETS_MAX: usize = 65_535;
/// Failures to receive, with no datagram between them, after which a socket is given up.
const FAILURES_MAX: usize = 1_000;
/// Queries that wait in the socket and are still answered when the worker is told to stop.
const LAST_QUERIES_MAX: usize = 10_000;

/// What one thread needs.
#[derive(Debug)]
pub(super) struct Worker {
    datagrams: Datagrams,
    /// Every address of this server: a reply must not go to ourselves.
    own: Arc<[SocketAddr]>,
    udp_octets_max: u16,
    published: Arc<Published>,
    counters: Arc<Counters>,
    draws: fastrand::Rng,
}

impl Worker {
    pub(super) fn new(
        datagrams: Datagrams,
        own: Arc<[SocketAddr]>,
        udp_octets_max: u16,
        published: Arc<Published>,
        stats: &Stats,
    ) -> Self {
        let counters = stats.counters(Transport::Udp);
        let draws = fastrand::Rng::new();
        Self { datagrams, own, udp_octets_max, published, counters, draws }
    }

    /// Starts the thread. The future ends when the thread does, which is soon after the token is cancelled or
    /// the future dropped; an error or a panic of the thread is its error.
    pub(super) fn start(
        self,
        stop: CancellationToken,
    ) -> io::Result<impl Future<Output = Result<(), String>> + Send + 'static> {
        thread(stop, |stopping| self.run(stopping))
    }

    fn run(mut self, stopping: &AtomicBool) -> Result<(), String> {
        let mut query = vec![0; DATAGRAM_OCTETS_MAX];
        let mut out = Out::new();
        let (mut failures, mut last) = (0, LAST_QUERIES_MAX);
        loop {
            // What had reached the socket before the stop is still answered.
            if stopping.load(Relaxed) {
                last -= 1;
                if last == 0 {
                    return Ok(());
                }
            }
            match self.datagrams.receive(&mut query) {
                Ok(received) => {
                    failures = 0;
                    self.answer(&received, &query[..received.len], &mut out);
                }
                Err(error) => match Trouble::of(&error) {
                    Trouble::Nothing if stopping.load(Relaxed) => return Ok(()),
                    Trouble::Nothing => {}
                    Trouble::Passing if failures < FAILURES_MAX => {
                        failures += 1;
                        self.counters.failed();
                    }
                    Trouble::Passing | Trouble::Fatal => {
                        return Err(format!(
                            "cannot receive on {}: {error}",
                            self.datagrams.address()
                        ));
                    }
                },
            }
        }
    }

    fn answer(&mut self, received: &Received, query: &[u8], out: &mut Out) {
        if received.from.port() == 0 || self.is_own(received) {
            self.counters.dropped();
            return;
        }
        let ask = Ask {
            client: received.from.ip(),
            transport: Transport::Udp,
            udp_octets_max: self.udp_octets_max,
            draw: self.draws.u64(..),
        };
        match answer(&self.published.load(), &ask, query, out) {
            Verdict::Drop => self.counters.dropped(),
            Verdict::Reply(len) => {
                let reply = out.octets(len);
                self.counters.answered(query, reply);
                // Whatever goes wrong here, a client can bring about: a source that has no route, a
                // firewall, a full queue. It is counted, and the next one is served.
                if self.datagrams.reply(received, reply).is_err() {
                    self.counters.failed();
                }
            }
        }
    }

    /// Whether a datagram claims to come from one of our own sockets.
    fn is_own(&self, received: &Received) -> bool {
        let from = received.from;
        self.own.iter().any(|own| {
            own.port() == from.port()
                && (own.ip() == from.ip()
                    || own.ip().is_unspecified() && received.asked() == Some(from.ip()))
        })
    }
}

/// Runs something on a thread of its own until it ends or sees the flag, which is set when the token is
/// cancelled or the future dropped.
fn thread(
    stop: CancellationToken,
    run: impl FnOnce(&AtomicBool) -> Result<(), String> + Send + 'static,
) -> io::Result<impl Future<Output = Result<(), String>> + Send + 'static> {
    let stopping = Arc::new(AtomicBool::new(false));
    let on_drop = StopOnDrop(stopping.clone());
    let (report, mut ended) = oneshot::channel();
    std::thread::Builder::new().name("dns-udp".into()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| run(&stopping)))
            .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_message(&*panic))));
        // Nobody listens where the whole group is gone already.
        let _ = report.send(result);
    })?;
    let gone = |_| Err("thread ended without a report".to_owned());
    Ok(async move {
        tokio::select! {
            result = &mut ended => return result.unwrap_or_else(gone),
            () = stop.cancelled() => on_drop.stop(),
        }
        ended.await.unwrap_or_else(gone)
    })
}

/// Tells a thread to stop when its future is done with or dropped.
struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    fn stop(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What an error in receiving means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// No datagram yet.
    Nothing,
    /// Of one datagram, or of a moment; a stranger's ICMP message may be the cause.
    Passing,
    /// Of the socket itself.
    Fatal,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        if matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
        ) {
            return Self::Nothing;
        }
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBADF | Errno::ENOTSOCK | Errno::EINVAL | Errno::EFAULT) => Self::Fatal,
            _ => Self::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_a_stranger_can_cause_are_passing() {
        for errno in [Errno::ECONNREFUSED, Errno::ENOBUFS, Errno::EPERM, Errno::EHOSTUNREACH] {
            assert_eq!(Trouble::of(&errno.into()), Trouble::Passing, "{errno}");
        }
        for errno in [Errno::EAGAIN, Errno::EINTR] {
            assert_eq!(Trouble::of(&errno.into()), Trouble::Nothing, "{errno}");
        }
        assert_eq!(Trouble::of(&Errno::EBADF.into()), Trouble::Fatal);
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_heard() {
        let thread = thread(CancellationToken::new(), |_| panic!("on purpose")).unwrap();
        assert_eq!(thread.await, Err("panicked: on purpose".to_owned()));
    }

    #[tokio::test]
    async fn a_thread_is_told_to_stop_by_token_and_by_drop() {
        let until_told = |told: oneshot::Sender<()>| {
            move |stopping: &AtomicBool| {
                while !stopping.load(Relaxed) {
                    std::thread::yield_now();
                }
                told.send(()).map_err(|()| "nobody waits".to_owned())
            }
        };
        let stop = CancellationToken::new();
        let (told, hears) = oneshot::channel();
        let running = thread(stop.clone(), until_told(told)).unwrap();
        stop.cancel();
        assert_eq!(running.await, Ok(()));
        hears.await.unwrap();
        let (told, hears) = oneshot::channel();
        drop(thread(CancellationToken::new(), until_told(told)).unwrap());
        hears.await.unwrap();
    }

    #[test]
    fn port_0_and_our_own_addresses_get_no_reply() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let stats = Stats::default();
        let mut worker = Worker::new(
            Datagrams::new(socket, address).unwrap(),
            [address, SocketAddr::from(([192, 0, 2, 1], address.port()))].into(),
            1232,
            Arc::new(Published::new(Arc::default())),
            &stats,
        );
        let query = [0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut out = Out::new();
        let mut ask = |from| worker.answer(&Received::plain(12, from), &query, &mut out);
        ask(SocketAddr::from(([127, 0, 0, 1], 0)));
        ask(address);
        ask(SocketAddr::from(([192, 0, 2, 1], address.port())));
        // Only this one is answered, and so its reply is the first that comes.
        ask(client.local_addr().unwrap());
        let mut reply = [0; 512];
        let (len, from) = client.recv_from(&mut reply).unwrap();
        assert!(len >= 12 && reply[..2] == query[..2] && from == address);
        assert_eq!(stats.totals().udp.dropped, 3);
    }
}
