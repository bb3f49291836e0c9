//! One thread of the UDP side, with a socket, buffers and counters of its own.
//!
//! It receives, answers and sends, and nothing else: no lock, no log, no clock, no task switch and no allocation.
//!
//! Knows nothing of how datagrams are received and sent, nor of what an answer holds.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::errno::Errno;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::ahead::Ahead;
use super::{Batch, Datagrams, Replier, Single, Socket};
use crate::dns::answer::Verdict;
use crate::dns::answer::out::Out;
use crate::dns::forward::{Back, Queue};
use crate::dns::limit::{Judgement, Limiter};
use crate::dns::settings::{Settings, UdpCalls};
use crate::dns::source::{Source, View};
use crate::dns::stats::{Counters, Stats, TransportTotals};
use crate::dns::transport::Transport;
use crate::supervise::panic_message;

/// Failures to receive, with no datagram between them, after which a socket is given up.
const FAILURES_MAX: usize = 1_000;
/// Queries that wait in the socket and are still answered when the worker is told to stop.
const LAST_QUERIES_MAX: usize = 10_000;

/// What one thread needs besides its socket.
#[derive(Debug)]
pub(in crate::dns) struct Worker {
    /// Every address of this server: a reply must not go to ourselves.
    own: Arc<[SocketAddr]>,
    calls: UdpCalls,
    source: Source,
    limiter: Option<Arc<Limiter>>,
    forward: Option<Forward>,
    counters: Arc<Counters>,
    draws: fastrand::Rng,
    ahead: Ahead,
}

/// Where queries for names of others go, and who sends the replies.
#[derive(Debug)]
pub(in crate::dns) struct Forward {
    pub(in crate::dns) queue: Queue,
    pub(in crate::dns) replier: Arc<Replier>,
}

impl Worker {
    pub(in crate::dns) fn new(
        own: Arc<[SocketAddr]>,
        settings: &Settings,
        source: Source,
        limiter: Option<Arc<Limiter>>,
        stats: &Stats,
    ) -> Self {
        Self {
            own,
            calls: settings.udp_calls,
            source,
            limiter,
            forward: None,
            counters: stats.counters(Transport::Udp),
            draws: fastrand::Rng::new(),
            ahead: Ahead::new(),
        }
    }

    /// The same, but queries for names of others go there.
    pub(in crate::dns) fn with_forward(self, forward: Option<Forward>) -> Self {
        Self { forward, ..self }
    }

    /// Starts the thread. The future ends when the thread does, which is soon after the token is cancelled or
    /// the future dropped; an error or a panic of the thread is its error.
    pub(in crate::dns) fn start(
        self,
        socket: Socket,
        stop: CancellationToken,
    ) -> io::Result<impl Future<Output = Result<(), String>> + Send + 'static> {
        let reply_octets_max = usize::from(self.source.policy().udp_octets_max);
        thread(stop, move |stopping| {
            shorten_turns();
            match self.calls {
                UdpCalls::Batched => self.run(Batch::new(socket, reply_octets_max), stopping),
                UdpCalls::Single => self.run(Single::new(socket, reply_octets_max), stopping),
            }
        })
    }

    fn run(mut self, mut datagrams: impl Datagrams, stopping: &AtomicBool) -> Result<(), String> {
        let mut out = Out::new();
        let (mut failures, mut last) = (0, LAST_QUERIES_MAX);
        loop {
            let received = match datagrams.receive() {
                Ok(received) => received,
                Err(error) => match Trouble::of(&error) {
                    Trouble::Nothing if stopping.load(Relaxed) => return Ok(()),
                    Trouble::Nothing => 0,
                    Trouble::Passing if failures < FAILURES_MAX => {
                        failures += 1;
                        self.counters.failed(1);
                        0
                    }
                    Trouble::Passing | Trouble::Fatal => {
                        let address = datagrams.address();
                        return Err(format!("cannot receive on {address}: {error}"));
                    }
                },
            };
            if received > 0 {
                failures = 0;
                self.serve(&mut datagrams, received, &mut out);
            }
            // What had reached the socket before the stop is still answered.
            if stopping.load(Relaxed) {
                last -= received.clamp(1, last);
                if last == 0 {
                    return Ok(());
                }
            }
        }
    }

    /// Answers what was received, in three steps: the snapshot is held for the second alone, so that it can be
    /// freed while this thread waits, and counters that others read are touched once.
    fn serve(&mut self, datagrams: &mut impl Datagrams, received: usize, out: &mut Out) {
        let mut tally = TransportTotals::default();
        let view = self.source.view();
        self.ahead.read((0..received).map(|at| datagrams.query(at)));
        self.ahead.fetch(view.snapshot(), received);
        for at in 0..received {
            let draw = self.draws.u64(..);
            self.answer(datagrams, at, (&view, draw), out, &mut tally);
        }
        drop(view);
        // Before anybody can have seen a reply, so that who has seen one finds it counted.
        self.counters.add(&tally);
        let failed = datagrams.send();
        self.counters.failed(failed as u64);
    }

    fn answer(
        &self,
        datagrams: &mut impl Datagrams,
        at: usize,
        (view, draw): (&View<'_>, u64),
        out: &mut Out,
        tally: &mut TransportTotals,
    ) {
        let from = datagrams.from(at);
        if from.port() == 0 || self.is_own(from, || datagrams.asked(at)) {
            tally.dropped += 1;
            return;
        }
        let query = datagrams.query(at);
        let question = self.ahead.question(at);
        match view.answer_datagram(from.ip(), draw, (query, question), out) {
            Verdict::Drop => tally.dropped += 1,
            Verdict::Forward => self.forward(datagrams, at, out.is_known(), tally),
            Verdict::Reply(len) => {
                let len = match self.judge(from.ip(), draw, out, len, tally) {
                    Judgement::Pass | Judgement::Observed => len,
                    Judgement::Drop => return,
                    Judgement::Slip => match view.slip(from.ip(), query, out) {
                        Verdict::Reply(len) => len,
                        Verdict::Drop | Verdict::Forward => return,
                    },
                };
                let reply = out.octets(len);
                tally.answered(query, reply);
                datagrams.reply(at, reply);
            }
        }
    }

    /// Hands a query on; where there is no place for it, the client hears that at once.
    #[cold]
    fn forward(
        &self,
        datagrams: &mut impl Datagrams,
        at: usize,
        known: bool,
        tally: &mut TransportTotals,
    ) {
        let Some(Forward { queue, replier }) = &self.forward else {
            tally.dropped += 1;
            return;
        };
        let back = Back {
            from: datagrams.from(at),
            asked: datagrams.asked(at),
            known,
            replier: replier.clone(),
        };
        let refused = queue.put(datagrams.query(at), back);
        if let Some(reply) = refused.filter(|reply| !reply.is_empty()) {
            tally.answered(datagrams.query(at), &reply);
            datagrams.reply(at, &reply);
        }
    }

    /// What becomes of a reply, where replies are limited. A client that has brought our cookie back is where it says.
    #[inline]
    fn judge(
        &self,
        client: IpAddr,
        draw: u64,
        out: &Out,
        len: usize,
        tally: &mut TransportTotals,
    ) -> Judgement {
        let Some(limiter) = self.limiter.as_ref().filter(|_| !out.is_known()) else {
            return Judgement::Pass;
        };
        let judgement = limiter.judge(client, out.octets(len), limiter.now_micros(), draw);
        tally.judged(judgement);
        judgement
    }

    /// Whether a datagram claims to come from one of our own sockets.
    fn is_own(&self, from: SocketAddr, asked: impl Fn() -> Option<IpAddr>) -> bool {
        self.own.iter().any(|own| {
            own.port() == from.port()
                && (own.ip() == from.ip()
                    || own.ip().is_unspecified() && asked() == Some(from.ip()))
        })
    }
}

/// A thread that answers is let in before others that compute, where there are fewer cores than threads. Else it
/// waits for their whole turn, some milliseconds.
fn shorten_turns() {
    #[cfg(target_os = "linux")]
    if let Err(error) = super::batch::turns::shorten() {
        tracing::debug!(%error, "answers wait for longer turns of other threads: cannot ask for short ones");
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
    use crate::dns::answer::policy::Policy;
    use crate::zone::Published;

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

    /// Datagrams that come from no socket, in one turn, and the replies to them.
    #[derive(Default)]
    struct Script {
        senders: Vec<SocketAddr>,
        asked: Option<IpAddr>,
        replied: Vec<usize>,
        sent: bool,
    }

    const QUERY: [u8; 12] = [0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    impl Datagrams for Script {
        fn address(&self) -> SocketAddr {
            unreachable!("only named when receiving fails")
        }

        fn receive(&mut self) -> io::Result<usize> {
            Ok(self.senders.len())
        }

        fn query(&self, _: usize) -> &[u8] {
            &QUERY
        }

        fn from(&self, at: usize) -> SocketAddr {
            self.senders[at]
        }

        fn asked(&self, _: usize) -> Option<IpAddr> {
            self.asked
        }

        fn reply(&mut self, at: usize, octets: &[u8]) {
            assert!(octets.len() >= 12 && octets[..2] == QUERY[..2]);
            self.replied.push(at);
        }

        fn send(&mut self) -> usize {
            self.sent = true;
            2
        }
    }

    #[test]
    fn port_0_and_our_own_addresses_get_no_reply() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = [at("127.0.0.1:53"), at("192.0.2.1:53"), at("[::]:5353")].into();
        let published = Arc::new(Published::new(Arc::default()));
        let source = Source::new(published, Policy::default(), || 0);
        let stats = Stats::default();
        let mut worker = Worker::new(own, &Settings::default(), source, None, &stats);
        let mut script = Script {
            senders: vec![
                at("192.0.2.9:0"),
                at("192.0.2.1:53"),
                at("192.0.2.1:54"),
                at("127.0.0.1:53"),
                // The address asked, of a listener on all addresses: only we can have it.
                at("[2001:db8::1]:5353"),
                at("[2001:db8::2]:5353"),
            ],
            asked: Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
            ..Script::default()
        };
        worker.serve(&mut script, 6, &mut Out::new());
        assert_eq!((script.replied, script.sent), (vec![2, 5], true));
        let totals = stats.totals();
        let udp = totals.of(Transport::Udp);
        assert_eq!((udp.dropped, udp.failed, udp.responses.iter().sum::<u64>()), (4, 2, 2));
    }
}
