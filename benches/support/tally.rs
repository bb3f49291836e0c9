//! What became of queries: how many, how fast, and whether the answers were right.
//!
//! Knows nothing of sockets.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::questions::{Expect, HEADER_OCTETS, QUERY_OCTETS_MAX, question_end};

/// The longest latency that is told apart: what takes longer has been given up long before.
const LATENCY_MAX: Duration = Duration::from_secs(10);

/// How replies are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The id alone: an echo answers nothing.
    Id,
    /// Header, question and the number of records in each section.
    Answer,
}

impl Check {
    /// Whether the reply is a right answer to the query.
    pub(crate) fn holds(
        self,
        query: &[u8],
        reply: &[u8],
        expect: &Expect,
    ) -> Result<(), &'static str> {
        if self == Self::Id {
            return Ok(());
        }
        let Some((header, rest)) = reply.split_at_checked(HEADER_OCTETS) else {
            return Err("shorter than a header");
        };
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let question = &query[HEADER_OCTETS..question_end(query)];
        if header[2] & 0x80 == 0 || header[3] & 0x0f != expect.rcode {
            return Err("not a reply, or another response code");
        }
        if number(4) != 1 || !rest.starts_with(question) {
            return Err("another question");
        }
        let cut = header[2] & 0x02 != 0;
        if cut != expect.cut {
            return Err("TC is not as it should be");
        }
        if !cut && (number(6) != expect.answers || number(10) < expect.additionals) {
            return Err("another number of records");
        }
        Ok(())
    }
}

/// What was counted.
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Those of them that came while more was being asked.
    pub(crate) in_time: u64,
    /// No reply in time.
    pub(crate) lost: u64,
    /// Replies to what was given up already.
    pub(crate) late: u64,
    /// Replies that are not the right answer; they are among the answered too.
    pub(crate) wrong: u64,
    /// What was wrong first.
    pub(crate) fault: Option<String>,
    /// Octets of all replies.
    pub(crate) octets: u64,
    /// Length of the longest reply, by the query's length: what an echo must send for it.
    pub(crate) longest: [u16; QUERY_OCTETS_MAX + 1],
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let most = u64::try_from(LATENCY_MAX.as_nanos()).expect("seconds");
        Self {
            sent: 0,
            answered: 0,
            in_time: 0,
            lost: 0,
            late: 0,
            wrong: 0,
            fault: None,
            octets: 0,
            longest: [0; QUERY_OCTETS_MAX + 1],
            latency: Histogram::new_with_max(most, 3).expect("bounds that a histogram can have"),
        }
    }

    /// Counts a reply.
    pub(crate) fn answered(&mut self, query: &[u8], reply: &[u8], after: Duration) {
        self.answered += 1;
        self.octets += reply.len() as u64;
        let longest = &mut self.longest[query.len()];
        *longest = (*longest).max(reply.len() as u16);
        self.latency.saturating_record(after.as_nanos() as u64);
    }

    /// Counts a wrong one and keeps the first for the report.
    pub(crate) fn wrong(&mut self, why: &str, reply: &[u8]) {
        self.wrong += 1;
        if self.fault.is_none() {
            let head: Vec<String> =
                reply.iter().take(HEADER_OCTETS).map(|octet| format!("{octet:02x}")).collect();
            self.fault = Some(format!("{why}; {} octets, header {}", reply.len(), head.join(" ")));
        }
    }

    /// Adds another one.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.in_time += other.in_time;
        self.lost += other.lost;
        self.late += other.late;
        self.wrong += other.wrong;
        self.octets += other.octets;
        self.fault = self.fault.take().or(other.fault);
        for (longest, length) in self.longest.iter_mut().zip(other.longest) {
            *longest = (*longest).max(length);
        }
        self.latency.add(&other.latency).expect("the same bounds");
    }

    /// Octets of a reply, in the mean.
    pub(crate) fn reply_octets(&self) -> f64 {
        self.octets as f64 / self.answered.max(1) as f64
    }

    /// Latency at a quantile in microseconds.
    pub(crate) fn micros_at(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}
