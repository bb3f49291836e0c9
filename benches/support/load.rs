//! Load on a UDP server, from one thread that never sleeps while it lasts: a server should not pay for waking
//! its client, nor wait for it.
//!
//! Knows nothing of who serves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::lane::{BATCH, Lane};
use super::machine::monotonic;
use super::questions::Mix;
use super::tally::{Check, Tally};

/// Sockets: enough for a server's receive queues to be shared fairly.
const LANES: usize = 8;
/// Queries under way on each, as long as the server decides the rate. All together fit the receive queue that
/// Linux gives a socket by default.
const WINDOW: usize = 32;
/// The same where we decide it: what a server has not answered when all are used is given up.
const WINDOW_OPEN: usize = 4_096;
/// After this a query is lost.
const LOST_AFTER: Duration = Duration::from_millis(300);
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

/// The load on one server.
pub(crate) struct Load {
    lanes: Vec<Lane>,
    check: Check,
    pace: Pace,
    /// The next question of the mix.
    next: usize,
}

impl Load {
    pub(crate) fn new(to: SocketAddr, check: Check, pace: Pace) -> io::Result<Self> {
        let window = match pace {
            Pace::Closed => WINDOW,
            Pace::Open(_) => WINDOW_OPEN,
        };
        let lanes = (0..LANES).map(|_| Lane::new(to, window)).collect::<io::Result<_>>()?;
        Ok(Self { lanes, check, pace, next: 0 })
    }

    /// Asks for that long, then waits for what is still under way.
    pub(crate) fn run(&mut self, mix: &Mix, length: Duration) -> io::Result<Tally> {
        let mut tally = Tally::new();
        let begin = monotonic();
        let mut look = begin + LOOK_EVERY;
        loop {
            let now = monotonic();
            if now - begin >= length {
                break;
            }
            match self.pace {
                Pace::Closed => self.refill(mix, now, &mut tally)?,
                Pace::Open(rate) => self.catch_up(mix, rate, begin, now, &mut tally)?,
            }
            self.receive(mix, &mut tally)?;
            if now >= look {
                look = now + LOOK_EVERY;
                for lane in &mut self.lanes {
                    lane.give_up(now.saturating_sub(LOST_AFTER), &mut tally);
                }
            }
        }
        self.drain(mix, &mut tally)?;
        Ok(tally)
    }

    /// Fills every window that is half empty: whole batches cost less than single queries.
    fn refill(&mut self, mix: &Mix, now: Duration, tally: &mut Tally) -> io::Result<()> {
        for lane in &mut self.lanes {
            let room = lane.room();
            if room * 2 >= WINDOW {
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
        let behind = due.saturating_sub(tally.sent);
        if behind == 0 {
            return Ok(());
        }
        // What is far behind is not made up for: a load that this thread can't make is seen in `sent`.
        let count = (behind as usize).min(BATCH);
        let at = begin + Duration::from_secs_f64(tally.sent as f64 / rate);
        let turn = (tally.sent / BATCH as u64) as usize % self.lanes.len();
        let lane = &mut self.lanes[turn];
        if lane.room() < count {
            lane.give_up(now.saturating_sub(LOOK_EVERY), tally);
        }
        lane.send(mix, &mut self.next, count, at, tally)?;
        Ok(())
    }

    fn receive(&mut self, mix: &Mix, tally: &mut Tally) -> io::Result<usize> {
        let mut count = 0;
        for lane in self.lanes.iter_mut().filter(|lane| lane.under_way() > 0) {
            count += lane.receive(mix, self.check, monotonic, tally)?;
        }
        Ok(count)
    }

    fn drain(&mut self, mix: &Mix, tally: &mut Tally) -> io::Result<()> {
        let end = monotonic() + LOST_AFTER;
        while self.lanes.iter().any(|lane| lane.under_way() > 0) {
            self.receive(mix, tally)?;
            if monotonic() >= end {
                for lane in &mut self.lanes {
                    lane.give_up(Duration::MAX, tally);
                }
            }
        }
        Ok(())
    }
}
