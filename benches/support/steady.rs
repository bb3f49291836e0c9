//! Asks a DNS server at a steady, moderate rate, and times each answer: what clients notice of the server
//! while it does something else.
//!
//! The rate does not wait for answers, so a server that stands still is measured as long as it does. Replies
//! carry the time at which the kernel had them: how late this process looks at them does not count. What it is
//! too late to send is left out, and said, lest a burst be measured in the place of the server.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::io::IoSliceMut;

/// Answers may come this long after the last question.
const LINGER: Duration = Duration::from_secs(2);
/// Questions that wait for an answer at one time, as many as there are ids.
const IDS: usize = 1 << 16;

/// A questioner at work.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Seen>,
}

/// What it saw.
pub(crate) struct Seen {
    /// Nanoseconds from question to answer.
    pub(crate) latency: Histogram<u64>,
    pub(crate) asked: u64,
    /// Without an answer.
    pub(crate) lost: u64,
    /// Answered with something else than records.
    pub(crate) wrong: u64,
    /// Questions left out because this process came too late to send them.
    pub(crate) skipped: u64,
}

impl Steady {
    /// Asks these in turn, so many times a second.
    pub(crate) fn begin(server: SocketAddr, questions: Vec<Vec<u8>>, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let asking = std::thread::spawn(move || {
            Asking::new(server, questions, Duration::from_secs(1) / rate).run(&stopped)
        });
        Self { stop, asking }
    }

    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Relaxed);
        self.asking.join().expect("the questioner ends")
    }

    /// What is seen within that time.
    pub(crate) async fn during(
        server: SocketAddr,
        questions: &[Vec<u8>],
        rate: u32,
        time: Duration,
    ) -> Seen {
        let steady = Self::begin(server, questions.to_vec(), rate);
        tokio::time::sleep(time).await;
        steady.end()
    }
}

impl Seen {
    /// A percentile, in microseconds.
    pub(crate) fn micros(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1_000.0
    }

    /// The longest, in microseconds.
    pub(crate) fn max_micros(&self) -> f64 {
        self.latency.max() as f64 / 1_000.0
    }

    /// Says what was not as it should be; nothing where all was.
    pub(crate) fn faults(&self) -> Option<String> {
        let Self { lost, wrong, skipped, asked, .. } = self;
        (lost + wrong > 0 || *skipped > asked / 20).then(|| {
            format!(
                "of {asked} questions {lost} lost, {wrong} answered wrong, {skipped} more not sent"
            )
        })
    }
}

struct Asking {
    socket: UdpSocket,
    questions: Vec<Vec<u8>>,
    every: Duration,
    /// When the question with that id was sent, if it waits for its answer.
    sent: Vec<Option<Duration>>,
    seen: Seen,
}

impl Asking {
    fn new(server: SocketAddr, questions: Vec<Vec<u8>>, every: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("loopback");
        socket.set_nonblocking(true).expect("a socket that does not block");
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("times of arrival");
        let latency = Histogram::new(3).expect("three digits");
        let seen = Seen { latency, asked: 0, lost: 0, wrong: 0, skipped: 0 };
        Self { socket, questions, every, sent: vec![None; IDS], seen }
    }

    fn run(mut self, stopped: &AtomicBool) -> Seen {
        // The system wakes sleepers up to 50 µs late unless they ask for better.
        let _ = nix::sys::prctl::set_timerslack(1_000);
        let mut next = now();
        let mut until = None;
        loop {
            let at = now();
            if stopped.load(Relaxed) {
                let end = *until.get_or_insert(at + LINGER);
                if at >= end || self.sent.iter().all(Option::is_none) {
                    break;
                }
                next = end;
            } else if at >= next {
                self.ask();
                next += self.every;
                let late = at.saturating_sub(next).as_nanos() / self.every.as_nanos();
                let late = u32::try_from(late).unwrap_or(u32::MAX);
                self.seen.skipped += u64::from(late);
                next += self.every * late;
            }
            while self.receive() {}
            let pause = TimeSpec::from(next.saturating_sub(now()));
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let _ = ppoll(&mut fds, Some(pause), None);
        }
        self.seen.lost += self.sent.iter().flatten().count() as u64;
        self.seen
    }

    fn ask(&mut self) {
        let turn = self.seen.asked as usize;
        let id = turn % IDS;
        let at = turn % self.questions.len();
        let question = &mut self.questions[at];
        question[..2].copy_from_slice(&(id as u16).to_be_bytes());
        self.seen.asked += 1;
        // Whoever had that id before has had seconds.
        self.seen.lost += u64::from(self.sent[id].replace(now()).is_some());
        if self.socket.send(question).is_err() {
            self.sent[id] = None;
            self.seen.lost += 1;
        }
    }

    /// Whether there was something to receive.
    fn receive(&mut self) -> bool {
        let mut octets = [0; 512];
        let mut space = nix::cmsg_space!(TimeSpec);
        let mut parts = [IoSliceMut::new(&mut octets)];
        let fd = self.socket.as_raw_fd();
        let received = recvmsg::<()>(fd, &mut parts, Some(&mut space), MsgFlags::empty());
        let (len, came) = match received {
            Ok(message) => {
                let times = message.cmsgs().into_iter().flatten();
                let came = times.filter_map(|one| match one {
                    ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                    _ => None,
                });
                (message.bytes, came.last())
            }
            Err(Errno::EAGAIN) => return false,
            // The server has gone: what is lost is counted at the end.
            Err(_) => return false,
        };
        let reply = &octets[..len.min(octets.len())];
        let Some(header) = reply.first_chunk::<12>() else { return true };
        let id = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if let Some(sent) = self.sent[id].take() {
            let took = came.unwrap_or_else(now).saturating_sub(sent);
            self.seen.latency.record(took.as_nanos() as u64).expect("a histogram that grows");
            let (code, answers) = (header[3] & 0x0f, u16::from_be_bytes([header[6], header[7]]));
            self.seen.wrong += u64::from(code != 0 || answers == 0);
        }
        true
    }
}

/// The clock that the kernel's times of arrival are of.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).expect("a clock that every system has").into()
}
