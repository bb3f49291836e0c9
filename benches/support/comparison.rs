//! Servers side by side on one mix: turns of all in every round, ratios within a round, medians over rounds.

use std::io;
use std::time::Duration;

use super::figures::{median, spread_percent};
use super::load::Load;
use super::questions::Mix;
use super::report::{Cell, Report, Table};
use super::servers::Server;
use super::tally::Tally;

/// What one server did in one turn.
struct Turn {
    tally: Tally,
    cpu: Duration,
    length: Duration,
}

/// All turns of one server.
pub(crate) struct Row {
    server: &'static str,
    turns: Vec<Turn>,
    /// At a fixed rate, where it was measured.
    paced: Option<Tally>,
    memory: u64,
}

impl Row {
    fn new(server: &'static str) -> Self {
        Self { server, turns: Vec::new(), paced: None, memory: 0 }
    }

    /// Lets it answer as fast as it can for that long.
    pub(crate) fn take_turn(
        &mut self,
        server: &Server,
        mut load: Load,
        mix: &Mix,
        length: Duration,
    ) -> io::Result<()> {
        let used = server.cpu();
        let tally = load.run(mix, length)?;
        self.turns.push(Turn { tally, cpu: server.cpu() - used, length });
        Ok(())
    }

    /// Adds what was counted at a fixed rate.
    pub(crate) fn add_paced(&mut self, tally: Tally) {
        match &mut self.paced {
            Some(paced) => paced.add(tally),
            None => self.paced = Some(tally),
        }
    }

    /// Microseconds of server CPU for an answer, turn by turn.
    fn costs(&self) -> Vec<f64> {
        let cost = |turn: &Turn| turn.cpu.as_secs_f64() * 1e6 / turn.tally.answered.max(1) as f64;
        self.turns.iter().map(cost).collect()
    }

    fn cost(&self) -> f64 {
        median(&self.costs())
    }

    fn median_of(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        median(&self.turns.iter().map(of).collect::<Vec<_>>())
    }

    /// How often its answer costs what the other's does, round by round.
    fn ratios_to(&self, other: &Self) -> Vec<f64> {
        self.costs().into_iter().zip(other.costs()).map(|(own, other)| own / other).collect()
    }

    fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.turns.iter().map(|turn| &turn.tally).chain(&self.paced).map(of).sum()
    }

    fn fault(&self) -> Option<&String> {
        let tallies = self.turns.iter().map(|turn| &turn.tally).chain(&self.paced);
        tallies.filter_map(|tally| tally.fault.as_ref()).next()
    }
}

/// All servers on one kind of load; the first is rollcall.
pub(crate) struct Comparison {
    key: &'static str,
    title: &'static str,
    rows: Vec<Row>,
}

impl Comparison {
    pub(crate) fn new(key: &'static str, title: &'static str, servers: &[&Server]) -> Self {
        Self { key, title, rows: servers.iter().map(|server| Row::new(server.name)).collect() }
    }

    /// Gives every server its turn in each round; forward in one, backward in the next, so that nobody always
    /// comes after the same one.
    pub(crate) fn play(
        &mut self,
        servers: &[&Server],
        rounds: usize,
        mut turn: impl FnMut(&Server, &mut Row) -> io::Result<()>,
    ) -> io::Result<()> {
        for round in 0..rounds {
            for i in 0..servers.len() {
                let place = if round % 2 == 0 { i } else { servers.len() - 1 - i };
                let (server, row) = (servers[place], &mut self.rows[place]);
                turn(server, row).map_err(|e| io::Error::other(format!("{}: {e}", server.name)))?;
            }
        }
        for (row, server) in self.rows.iter_mut().zip(servers) {
            row.memory = server.memory();
        }
        Ok(())
    }

    fn echo(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.server == "echo")
    }

    /// The cheapest of the peers.
    fn best_peer(&self) -> Option<&Row> {
        let peers = self.rows.iter().skip(1).filter(|row| !row.server.starts_with("echo"));
        peers.min_by(|a, b| a.cost().total_cmp(&b.cost()))
    }

    /// Writes a row for each server.
    pub(crate) fn tell(&self, report: &mut Report) {
        let mut table = Table::new(&[
            "server",
            "µs CPU",
            "to echo",
            "to best peer",
            "spread %",
            "per CPU-s",
            "per s",
            "busy %",
            "octets",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "lost",
            "wrong",
            "MB",
        ]);
        for row in &self.rows {
            let ratio = |to: Option<&Row>| {
                to.map_or_else(Cell::none, |to| Cell::number(median(&row.ratios_to(to)), 2))
            };
            let at = |quantile: f64| {
                let micros = row.paced.as_ref().map(|paced| paced.micros_at(quantile));
                micros.map_or_else(Cell::none, |micros| Cell::number(micros, 0))
            };
            let cost = row.cost();
            let per_second = |turn: &Turn| turn.tally.in_time as f64 / turn.length.as_secs_f64();
            // Of what it took to answer all, the part that fell into the turn.
            let busy = |turn: &Turn| {
                let part = turn.tally.in_time as f64 / turn.tally.answered.max(1) as f64;
                turn.cpu.as_secs_f64() * part / turn.length.as_secs_f64() * 100.0
            };
            table.row(vec![
                Cell::text(row.server),
                Cell::number(cost, 2),
                ratio(self.echo()),
                ratio(self.best_peer()),
                Cell::number(spread_percent(&row.costs()), 0),
                Cell::number(1e6 / cost, 0),
                Cell::number(row.median_of(per_second), 0),
                Cell::number(row.median_of(busy), 0),
                Cell::number(row.median_of(|turn| turn.tally.reply_octets()), 0),
                at(0.5),
                at(0.99),
                at(0.999),
                Cell::number(row.sum(|tally| tally.lost) as f64, 0),
                Cell::number(row.sum(|tally| tally.wrong) as f64, 0),
                Cell::number(row.memory as f64 / 1e6, 1),
            ]);
        }
        report.table(self.key, &format!("{} ({})", self.title, self.key), &table);
        for row in &self.rows {
            if let Some(fault) = row.fault() {
                report.line(&format!("{}: the first wrong one: {fault}", row.server));
            }
        }
    }
}

/// One line a mix: rollcall beside the echo and beside its best peer.
pub(crate) fn summary(all: &[Comparison], report: &mut Report) {
    let mut table = Table::new(&[
        "mix",
        "what",
        "rollcall µs",
        "echo µs",
        "to echo",
        "best peer",
        "its µs",
        "to best peer",
    ]);
    for one in all {
        let Some(own) = one.rows.first() else { continue };
        let cost =
            |row: Option<&Row>| row.map_or_else(Cell::none, |row| Cell::number(row.cost(), 2));
        let ratio = |row: Option<&Row>| {
            row.map_or_else(Cell::none, |row| Cell::number(median(&own.ratios_to(row)), 2))
        };
        let best = one.best_peer();
        table.row(vec![
            Cell::text(one.key),
            Cell::text(one.title),
            cost(Some(own)),
            cost(one.echo()),
            ratio(one.echo()),
            best.map_or_else(Cell::none, |row| Cell::text(row.server)),
            cost(best),
            ratio(best),
        ]);
    }
    report.table(
        "summary",
        "Server CPU for one answer, and its ratio to the echo's and the best peer's",
        &table,
    );
}
