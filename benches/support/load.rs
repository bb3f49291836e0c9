//! Load on a server, from one thread that never sleeps while it lasts: a server should not pay for waking its
//! client, nor wait for it.
//!
//! Knows nothing of who serves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::datagrams::Datagrams;
use super::machine::monotonic;
use super::questions::Mix;
use super::slots::Slots;
use super::stream::Stream;
use super::tally::{Check, Tally};

/// UDP sockets: enough for a server's receive queues to be shared fairly.
const SOCKETS: usize = 8;
/// Queries under way on each, as long as the server decides the rate. All together fit the receive queue that
/// Linux gives a socket by default, 212,992 octets, in which each takes 832: not all servers ask for more.
const WINDOW: usize = 24;
/// The same where we decide it.
const WINDOW_OPEN: usize = 4_096;
/// Queries that fall due between two looks at the sockets, at most.
const BURST: usize = 32;
/// After this a query is lost.
const LOST_AFTER: Duration = Duration::from_millis(300);
/// The same where we decide the rate and have run out of room.
const LOST_AFTER_OPEN: Duration = Duration::from_millis(50);
/// How often lost ones are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How fast to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as answers come: what the server can do.
    Closed,
    /// So many a second, whatever comes back; their latency counts from the moment at which they were due.
    Open(f64),
}

/// A socket or a connection with its queries under way.
pub(crate) trait Lane {
    fn slots(&mut self) -> &mut Slots;

    /// Sends up to `count` of the mix's questions from `next` on, which it advances.
    fn send(
        &mut self,
        mix: &Mix,
        next: &mut usize,
        count: usize,
        at: Duration,
        tally: &mut Tally,
    ) -> io::Result<()>;

    /// Takes what has come, a bounded part of it, and counts it.
    fn receive(&mut self, mix: &Mix, check: Check, tally: &mut Tally) -> io::Result<()>;
}

/// The load on one server.
pub(crate) struct Load {
    lanes: Vec<Box<dyn Lane>>,
    /// Queries under way on each lane at most.
    window: usize,
    check: Check,
    pace: Pace,
    /// The next question of the mix.
    next: usize,
}

impl Load {
    /// In datagrams.
    pub(crate) fn udp(to: SocketAddr, check: Check, pace: Pace) -> io::Result<Self> {
        let window = match pace {
            Pace::Closed => WINDOW,
            Pace::Open(_) => WINDOW_OPEN,
        };
        let bundled = matches!(pace, Pace::Open(_));
        let lane = |_| Ok(Box::new(Datagrams::new(to, window, bundled)?) as Box<dyn Lane>);
        let lanes = (0..SOCKETS).map(lane).collect::<io::Result<_>>()?;
        Ok(Self { lanes, window, check, pace, next: 0 })
    }

    /// Over so many connections, each with so many queries under way.
    pub(crate) fn tcp(to: SocketAddr, connections: usize, window: usize) -> io::Result<Self> {
        let lane = |_| Ok(Box::new(Stream::new(to, window)?) as Box<dyn Lane>);
        let lanes = (0..connections).map(lane).collect::<io::Result<_>>()?;
        Ok(Self { lanes, window, check: Check::Answer, pace: Pace::Closed, next: 0 })
    }

    /// Asks for that long, then waits for what is still under way.
    pub(crate) fn run(&mut self, mix: &Mix, length: Duration) -> io::Result<Tally> {
        let mut tally = self.ask(mix, length)?;
        tally.in_time = tally.answered;
        self.drain(mix, &mut tally)?;
        Ok(tally)
    }

    /// Asks for that long; what is under way then goes on in the next call, if there is one.
    pub(crate) fn ask(&mut self, mix: &Mix, length: Duration) -> io::Result<Tally> {
        let mut tally = Tally::new();
        let begin = monotonic();
        let mut look = begin + LOOK_EVERY;
        loop {
            let now = monotonic();
            if now - begin >= length {
                return Ok(tally);
            }
            match self.pace {
                Pace::Closed => self.refill(mix, now, &mut tally)?,
                Pace::Open(rate) => self.catch_up(mix, rate, begin, now, &mut tally)?,
            }
            self.receive(mix, &mut tally)?;
            if now >= look {
                look = now + LOOK_EVERY;
                self.give_up(now.saturating_sub(LOST_AFTER), &mut tally);
            }
        }
    }

    /// Fills every window that is half empty: whole batches cost less than single queries.
    fn refill(&mut self, mix: &Mix, now: Duration, tally: &mut Tally) -> io::Result<()> {
        for lane in &mut self.lanes {
            let room = lane.slots().room();
            if room * 2 >= self.window {
                lane.send(mix, &mut self.next, room, now, tally)?;
            }
        }
        Ok(())
    }

    /// Sends what is due by now.
    fn catch_up(
        &mut self,
        mix: &Mix,
        rate: f64,
        begin: Duration,
        now: Duration,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let due = ((now - begin).as_secs_f64() * rate) as u64;
        let count = due.saturating_sub(tally.sent).min(BURST as u64) as usize;
        if count == 0 {
            return Ok(());
        }
        let at = begin + Duration::from_secs_f64(tally.sent as f64 / rate);
        let turn = (tally.sent / BURST as u64) as usize % self.lanes.len();
        let lane = &mut self.lanes[turn];
        if lane.slots().room() < count {
            lane.slots().give_up(now.saturating_sub(LOST_AFTER_OPEN), tally);
        }
        lane.send(mix, &mut self.next, count, at, tally)
    }

    fn receive(&mut self, mix: &Mix, tally: &mut Tally) -> io::Result<()> {
        for lane in &mut self.lanes {
            if lane.slots().under_way() > 0 {
                lane.receive(mix, self.check, tally)?;
            }
        }
        Ok(())
    }

    fn give_up(&mut self, before: Duration, tally: &mut Tally) {
        for lane in &mut self.lanes {
            lane.slots().give_up(before, tally);
        }
    }

    fn drain(&mut self, mix: &Mix, tally: &mut Tally) -> io::Result<()> {
        let end = monotonic() + LOST_AFTER;
        while self.lanes.iter_mut().any(|lane| lane.slots().under_way() > 0) {
            self.receive(mix, tally)?;
            if monotonic() >= end {
                self.give_up(Duration::MAX, tally);
            }
        }
        Ok(())
    }
}
