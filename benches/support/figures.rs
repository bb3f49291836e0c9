//! Many measurements to one figure.

/// The middle one; of an even number, the mean of the two in the middle. 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// How far apart the middle half lies, in percent of the median: a run of a noisy machine has a wide one.
pub(crate) fn spread_percent(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = median(&sorted);
    if sorted.len() < 2 || middle == 0.0 {
        return 0.0;
    }
    let (low, high) =
        (sorted[sorted.len() / 4], sorted[(sorted.len() * 3 / 4).min(sorted.len() - 1)]);
    (high - low) / middle * 100.0
}
