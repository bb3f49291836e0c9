//! Whether what registered still listens: a TCP connection to its port every so often.
//!
//! Some failures in a row take an instance away, one connection brings it back. Of what a server held before its
//! restart nobody knows whether it still runs: that is taken for gone until it answers, and asked at once.
//!
//! What does not answer costs the longest: it is asked less often the longer that lasts, and in places of its own, so
//! that those which are up are asked in time however many are down.
//!
//! Knows nothing of what is done about it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;

/// Time between two connections to a port.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Failures in a row after which nobody listens.
const FAILURES_MAX: u32 = 3;
/// Longest time between two connections to a port where nobody listens.
const DOWN_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Connections being made at once, to ports that are up: hosts that went take all of them to time out.
const UP_AT_ONCE_MAX: usize = 256;
/// And to ports that are down.
const DOWN_AT_ONCE_MAX: usize = 128;
/// Commands, and changes, that wait.
const WAITING_MAX: usize = 1_024;

/// A port that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat) struct Probed<K> {
    pub(in crate::compat) key: K,
    /// Whether somebody listens.
    pub(in crate::compat) up: bool,
}

enum Command<K> {
    Watch { key: K, address: SocketAddr, proven: bool },
    Forget(K),
}

/// Says what is probed. Cloning gives the same.
#[derive(Debug)]
pub(in crate::compat) struct Prober<K> {
    commands: mpsc::Sender<Command<K>>,
}

impl<K> Clone for Prober<K> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone() }
    }
}

/// How a port is, after what was seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Health {
    up: bool,
    failures: u32,
}

impl Health {
    fn new(proven: bool) -> Self {
        Self { up: proven, failures: 0 }
    }

    /// Takes in one more connection, made or not, and says what that changed.
    fn heard(&mut self, answered: bool) -> Option<bool> {
        let before = self.up;
        if answered {
            *self = Self { up: true, failures: 0 };
        } else {
            self.failures = self.failures.saturating_add(1);
            self.up = self.up && self.failures < FAILURES_MAX;
        }
        (self.up != before).then_some(self.up)
    }

    /// The time until it is asked again.
    fn interval(self) -> Duration {
        if self.up {
            return INTERVAL;
        }
        let doubled = self.failures.saturating_sub(FAILURES_MAX).min(8);
        (INTERVAL * (1 << doubled)).min(DOWN_INTERVAL_MAX)
    }
}

/// Ports that are asked alike.
struct Lane<K> {
    due: Schedule<K>,
    under_way: usize,
    at_once_max: usize,
}

impl<K: Clone + Eq + Hash> Lane<K> {
    fn new(at_once_max: usize) -> Self {
        Self { due: Schedule::default(), under_way: 0, at_once_max }
    }

    /// When the next one can be asked, if one can.
    fn next(&self) -> Option<Instant> {
        self.due.next().filter(|_| self.under_way < self.at_once_max)
    }
}

struct Port {
    address: SocketAddr,
    health: Health,
    /// Tells a port that was forgotten and watched anew from the one before.
    watched: u64,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Prober<K> {
    /// A prober, the task that probes, and what it finds.
    pub(in crate::compat) fn new(
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = Result<(), String>> + Send + 'static, mpsc::Receiver<Probed<K>>)
    {
        let (commands, received) = mpsc::channel(WAITING_MAX);
        let (changed, changes) = mpsc::channel(WAITING_MAX);
        let task = Task {
            commands: received,
            ports: HashMap::new(),
            up: Lane::new(UP_AT_ONCE_MAX),
            down: Lane::new(DOWN_AT_ONCE_MAX),
            under_way: JoinSet::new(),
            watched: 0,
            untold: VecDeque::new(),
        };
        (Self { commands }, task.run(changed, stop), changes)
    }

    /// Probes a port from now on. `proven`: it is taken for open until it fails; else for closed until it answers.
    pub(in crate::compat) async fn watch(&self, key: K, address: SocketAddr, proven: bool) {
        let _ = self.commands.send(Command::Watch { key, address, proven }).await;
    }

    /// Probes it no more.
    pub(in crate::compat) async fn forget(&self, key: K) {
        let _ = self.commands.send(Command::Forget(key)).await;
    }
}

/// A connection that was made, or not.
struct Ended<K> {
    key: K,
    watched: u64,
    /// How it was when it was asked.
    up: bool,
    answered: bool,
}

struct Task<K> {
    commands: mpsc::Receiver<Command<K>>,
    ports: HashMap<K, Port>,
    up: Lane<K>,
    down: Lane<K>,
    under_way: JoinSet<Ended<K>>,
    watched: u64,
    /// Changes that were not told yet. While there are many of them nobody is asked, but commands are taken: who is told
    /// may be giving some.
    untold: VecDeque<Probed<K>>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Task<K> {
    async fn run(
        mut self,
        changed: mpsc::Sender<Probed<K>>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        loop {
            let room = self.untold.len() < WAITING_MAX;
            let next = [self.up.next(), self.down.next()].into_iter().flatten().min();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.under_way.join_next() => {
                    let ended = ended.map_err(|error| format!("a probe panicked: {error}"))?;
                    self.ended(ended);
                }
                Ok(permit) = changed.reserve(), if !self.untold.is_empty() => {
                    if let Some(change) = self.untold.pop_front() {
                        permit.send(change);
                    }
                }
                Some(command) = self.commands.recv() => self.command(command),
                () = due, if room => self.begin(),
            }
        }
    }

    fn command(&mut self, command: Command<K>) {
        match command {
            Command::Watch { key, address, proven } => {
                let now = Instant::now();
                if let Some(port) = self.ports.get_mut(&key).filter(|port| port.address == address)
                {
                    // It registers again: that is as good as an answer.
                    port.health = Health::new(proven);
                } else {
                    self.watched += 1;
                    let port = Port { address, health: Health::new(proven), watched: self.watched };
                    self.ports.insert(key.clone(), port);
                }
                // Not all at once, but who waits for an answer at once.
                let wait = if proven { INTERVAL.mul_f64(fastrand::f64()) } else { Duration::ZERO };
                self.set(key, proven, now + wait);
            }
            Command::Forget(key) => {
                self.ports.remove(&key);
                self.up.due.remove(&key);
                self.down.due.remove(&key);
            }
        }
    }

    fn lane(&mut self, up: bool) -> &mut Lane<K> {
        if up { &mut self.up } else { &mut self.down }
    }

    /// Has a port asked then, with those that are as it is.
    fn set(&mut self, key: K, up: bool, at: Instant) {
        self.lane(!up).due.remove(&key);
        self.lane(up).due.set(key, at);
    }

    fn begin(&mut self) {
        let now = Instant::now();
        for up in [true, false] {
            let lane = self.lane(up);
            if lane.next().is_none() {
                continue;
            }
            let Some(key) = lane.due.take(now) else { continue };
            let Some(Port { address, watched, health }) = self.ports.get(&key) else { continue };
            let (address, watched, interval) = (*address, *watched, health.interval());
            self.set(key.clone(), up, now + interval);
            self.lane(up).under_way += 1;
            self.under_way.spawn(async move {
                let connected = timeout(TIMEOUT, TcpStream::connect(address)).await;
                Ended { key, watched, up, answered: matches!(connected, Ok(Ok(_))) }
            });
        }
    }

    fn ended(&mut self, Ended { key, watched, up, answered }: Ended<K>) {
        let lane = self.lane(up);
        lane.under_way = lane.under_way.saturating_sub(1);
        let port = self.ports.get_mut(&key).filter(|port| port.watched == watched);
        let Some(up) = port.and_then(|port| port.health.heard(answered)) else { return };
        self.set(key.clone(), up, Instant::now() + INTERVAL);
        self.untold.push_back(Probed { key, up });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_take_away_and_one_answer_brings_back() {
        let told = |proven: bool, heard: &str| {
            let mut health = Health::new(proven);
            let tell = |changed: Option<bool>| match changed {
                None => '.',
                Some(true) => 'U',
                Some(false) => 'D',
            };
            heard.chars().map(|heard| tell(health.heard(heard == '+'))).collect::<String>()
        };
        assert_eq!(told(true, "+--+--+---"), ".........D");
        assert_eq!(told(true, "---------+"), "..D......U");
        assert_eq!(told(true, "---+--+---"), "..DU.....D");
        assert_eq!(told(false, "----+--"), "....U..");
    }

    #[test]
    fn what_is_down_is_asked_less_and_less_often() {
        let mut health = Health::new(true);
        let mut intervals = vec![health.interval().as_secs()];
        intervals.extend((0..8).map(|_| {
            health.heard(false);
            health.interval().as_secs()
        }));
        assert_eq!(intervals, [10, 10, 10, 10, 20, 40, 60, 60, 60]);
        for _ in 0..100 {
            health.heard(false);
        }
        assert_eq!(health.interval(), DOWN_INTERVAL_MAX);
        health.heard(true);
        assert_eq!(health.interval(), INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_is_asked_every_interval_and_what_changes_is_told() {
        let stop = CancellationToken::new();
        let (prober, task, mut changes) = Prober::new(stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        prober.watch("resumed", address, false).await;
        assert_eq!(changes.recv().await, Some(Probed { key: "resumed", up: true }));
        drop(listener);
        let closed = Instant::now();
        assert_eq!(changes.recv().await, Some(Probed { key: "resumed", up: false }));
        let took = closed.elapsed();
        assert!(INTERVAL * 3 - TIMEOUT <= took && took <= INTERVAL * 3 + TIMEOUT, "{took:?}");
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        assert_eq!(changes.recv().await, Some(Probed { key: "resumed", up: true }));
        prober.forget("resumed").await;
        drop(listener);
        let silent = timeout(INTERVAL * 6, changes.recv()).await;
        assert!(silent.is_err(), "{silent:?}");
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }

    /// A port that lets connections wait for ever: its queue is full.
    async fn silent() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(1).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(Ok(stream)) = timeout(TIMEOUT, TcpStream::connect(address)).await {
            queue.push(stream);
        }
        (socket, address, queue)
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_are_up_are_asked_in_time_however_many_are_silent() {
        let stop = CancellationToken::new();
        let (prober, task, mut changes) = Prober::new(stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        let (_socket, silent, _queue) = silent().await;
        for n in 1..=2_000 {
            prober.watch(n, silent, false).await;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        prober.watch(0, address, true).await;
        assert!(timeout(INTERVAL * 6, changes.recv()).await.is_err());
        drop(listener);
        let closed = Instant::now();
        assert_eq!(changes.recv().await, Some(Probed { key: 0, up: false }));
        let took = closed.elapsed();
        assert!(took <= INTERVAL * 3 + TIMEOUT, "{took:?}");
        let _listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let opened = Instant::now();
        assert_eq!(changes.recv().await, Some(Probed { key: 0, up: true }));
        let took = opened.elapsed();
        assert!(took <= DOWN_INTERVAL_MAX + TIMEOUT, "{took:?}");
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}
