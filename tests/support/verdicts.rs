//! Whether orders and samples that were seen may be chance (Pearson's chi-square).
//!
//! An order is a list of members by number; members have weights.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::seed;

/// What is seen may not be less likely than this by chance.
const P_MIN: f64 = 0.001;
/// Cells in which fewer are expected are looked at as one: chi-square wants at least that many.
const EXPECTED_MIN: f64 = 5.0;

/// What was looked at, and what of it is too unlikely to be chance.
#[derive(Default)]
pub(crate) struct Verdicts {
    pub(crate) noted: usize,
    pub(crate) unlikely: Vec<String>,
}

impl Verdicts {
    /// Whoever is first is so in proportion to weight.
    pub(crate) fn first(&mut self, what: &str, orders: &[Vec<u16>], weights: &[u16]) {
        let total = sum(weights);
        let mut counts = vec![0; weights.len()];
        for order in orders {
            counts[usize::from(order[0])] += 1;
        }
        let draws = orders.len() as f64;
        let expected: Vec<f64> =
            weights.iter().map(|weight| draws * f64::from(*weight) / total).collect();
        self.note(&format!("{what}: first"), &counts, &expected);
    }

    /// Whoever is second is so in proportion to the weights that are left: how far from the first, for all pairs
    /// taken together, and each pair by itself where there are few.
    pub(crate) fn second(&mut self, what: &str, orders: &[Vec<u16>], weights: &[u16]) {
        let (size, total, draws) = (weights.len(), sum(weights), orders.len() as f64);
        let expected = |first: usize, second: usize| {
            let (one, other) = (f64::from(weights[first]), f64::from(weights[second]));
            if first == second || one == 0.0 || other == 0.0 {
                return 0.0;
            }
            draws * one / total * other / (total - one)
        };
        let mut steps = (vec![0; size], vec![0.0; size]);
        let mut pairs = (vec![0; size * size], vec![0.0; size * size]);
        for order in orders {
            let (first, second) = (usize::from(order[0]), usize::from(order[1]));
            steps.0[(second + size - first) % size] += 1;
            pairs.0[first * size + second] += 1;
        }
        for first in 0..size {
            for second in 0..size {
                steps.1[(second + size - first) % size] += expected(first, second);
                pairs.1[first * size + second] = expected(first, second);
            }
        }
        self.note(&format!("{what}: from first to second"), &steps.0, &steps.1);
        if size <= 10 {
            self.note(&format!("{what}: second given the first"), &pairs.0, &pairs.1);
        }
    }

    /// At every place each of the members is as often as another.
    pub(crate) fn places(&mut self, what: &str, orders: &[Vec<u16>], size: usize) {
        let places = orders[0].len();
        let expected = vec![orders.len() as f64 / size as f64; size];
        let each = (0..places).map(|place| {
            let mut counts = vec![0; size];
            for order in orders {
                counts[usize::from(order[place])] += 1;
            }
            probability(&counts, &expected)
        });
        let least = each.min_by(f64::total_cmp).unwrap();
        // The least of so many is small by chance (Bonferroni's bound).
        self.conclude(&format!("{what}: each place"), least * places as f64);
    }

    /// Each of the members is in as many replies as another, and one place of each reply, another each time, is
    /// as often its own.
    pub(crate) fn sample(&mut self, what: &str, orders: &[Vec<u16>], size: usize) {
        let (mut within, mut somewhere) = (vec![0; size], vec![0; size]);
        for (n, order) in orders.iter().enumerate() {
            somewhere[usize::from(order[n % order.len()])] += 1;
            for member in order {
                within[usize::from(*member)] += 1;
            }
        }
        let (draws, size) = (orders.len() as f64, size as f64);
        let expected = vec![draws / size; somewhere.len()];
        self.note(&format!("{what}: somewhere"), &somewhere, &expected);
        // Members of one reply exclude each other: their counts vary less than independent ones (by the share that
        // is left out, and by one degree of freedom in `size`).
        let share = orders[0].len() as f64 / size;
        let spread: f64 =
            within.iter().map(|count| (f64::from(*count) - draws * share).powi(2)).sum();
        let distance = spread / (draws * share * (1.0 - share)) * (size - 1.0) / size;
        self.conclude(&format!("{what}: within"), beyond(distance, within.len()));
    }

    pub(crate) fn note(&mut self, what: &str, counts: &[u32], expected: &[f64]) {
        self.conclude(what, probability(counts, expected));
    }

    fn conclude(&mut self, what: &str, probability: f64) {
        self.noted += 1;
        if probability <= P_MIN {
            self.unlikely.push(format!("{what}: p = {probability:.1e}"));
        }
    }

    pub(crate) fn end(self) {
        let (bad, all, seed) = (self.unlikely.len(), self.noted, seed::seed());
        assert!(bad == 0, "{bad} of {all}, seed {seed}:\n{}", self.unlikely.join("\n"));
    }
}

fn sum(weights: &[u16]) -> f64 {
    weights.iter().copied().map(f64::from).sum()
}

/// How likely counts are at least that far from what is expected (Pearson's chi-square).
fn probability(counts: &[u32], expected: &[f64]) -> f64 {
    let cells = counts.iter().map(|count| f64::from(*count)).zip(expected.iter().copied());
    let mut cells: Vec<(f64, f64)> = cells.collect();
    if cells.iter().any(|(seen, expected)| *expected == 0.0 && *seen > 0.0) {
        return 0.0;
    }
    cells.retain(|(_, expected)| *expected > 0.0);
    cells.sort_by(|one, other| other.1.total_cmp(&one.1));
    // The rarest together, until there are enough of them.
    while let [.., next, last] = &mut cells[..] {
        if last.1 >= EXPECTED_MIN {
            break;
        }
        *next = (next.0 + last.0, next.1 + last.1);
        cells.pop();
    }
    if cells.len() < 2 {
        return 1.0;
    }
    let distance: f64 =
        cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
    beyond(distance, cells.len())
}

/// How likely that many cells are that far from what is expected, or farther.
fn beyond(distance: f64, cells: usize) -> f64 {
    ChiSquared::new((cells - 1) as f64).unwrap().sf(distance)
}
