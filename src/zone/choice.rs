//! A set that is emitted in another order each time: fair for equal weights, in proportion to weight for
//! others, lower priority numbers first.
//!
//! A [`Choice`] is built once with its app's block and then only read. [`Choice::visit`] hands out members
//! until the visitor has no more room, so that what is left out varies from one reply to the next and is a
//! fair sample (law 5, docs/architecture.md). No allocation: up to [`EXACT_MAX`] members of one priority are
//! drawn one by one without replacement; of larger sets the first [`EXACT_MAX`] are drawn so, and the
//! others follow in rotation from a random place, since nobody reads an order beyond that.
//!
//! Knows nothing of what its members are.

use fastrand::Rng;

/// Members of one priority that are drawn exactly: the scan for each draw stays within a few cache lines, and
/// 64 records fill any datagram.
pub const EXACT_MAX: usize = 64;
/// Draws that may hit a member already taken before the next free one is taken instead.
const REDRAWS_MAX: usize = 8;

/// Members with weights, in groups of one priority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The members, group by group; within a group those with weight first.
    members: Box<[u32]>,
    /// Sums of weights up to and including each member, anew in each group.
    sums: Box<[u64]>,
    groups: Box<[Group]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Group {
    /// Where its members without weight begin.
    weightless: u32,
    /// Where its members end.
    end: u32,
    /// Whether all that have weight have the same.
    equal: bool,
}

impl Choice {
    /// A choice of these: member, priority, weight.
    pub(super) fn new(given: impl IntoIterator<Item = (u32, u16, u64)>) -> Self {
        let mut given: Vec<_> = given.into_iter().collect();
        given.sort_unstable_by_key(|&(member, priority, weight)| (priority, weight == 0, member));
        let mut sums = Vec::with_capacity(given.len());
        let mut groups = Vec::new();
        let mut at = 0;
        for group in given.chunk_by(|a, b| a.1 == b.1) {
            let heavy = group.iter().take_while(|(_, _, weight)| *weight > 0).count();
            let mut sum = 0;
            sums.extend(group.iter().map(|(_, _, weight)| {
                sum += weight;
                sum
            }));
            let equal = group[..heavy].iter().all(|(_, _, weight)| *weight == group[0].2);
            groups.push(Group {
                weightless: (at + heavy) as u32,
                end: (at + group.len()) as u32,
                equal,
            });
            at += group.len();
        }
        let members = given.into_iter().map(|(member, _, _)| member).collect();
        Self { members, sums: sums.into(), groups: groups.into() }
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Hands out the members in an order drawn from `seed`, until `visit` says no.
    pub fn visit(&self, seed: u64, mut visit: impl FnMut(u32) -> bool) {
        let mut rng = Rng::with_seed(seed);
        let mut start = 0;
        for group in &self.groups {
            let (weightless, end) = (group.weightless as usize, group.end as usize);
            let heavy = &self.members[start..weightless];
            let sums = &self.sums[start..weightless];
            let go_on = match heavy.len() {
                0..=EXACT_MAX if group.equal => shuffle(heavy, &mut rng, &mut visit),
                0..=EXACT_MAX => draw_all(heavy, |i| weight(sums, i), &mut rng, &mut visit),
                _ => draw_some(heavy, sums, &mut rng, &mut visit),
            };
            if !go_on || !rotate(&self.members[weightless..end], &mut rng, &mut visit) {
                return;
            }
            start = end;
        }
    }
}

/// Hands out at most [`EXACT_MAX`] members with their weights, as [`Choice::visit`] does within a group; for
/// sets that are too small to prepare.
pub fn visit_few(few: &[(u32, u64)], seed: u64, mut visit: impl FnMut(u32) -> bool) {
    let mut rng = Rng::with_seed(seed);
    let few = &few[..few.len().min(EXACT_MAX)];
    let mut members = [0; EXACT_MAX];
    let mut weights = [0; EXACT_MAX];
    // Those with weight first, as in a group.
    let ordered = few
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .chain(few.iter().filter(|(_, weight)| *weight == 0));
    for ((member, weight), &(m, w)) in members.iter_mut().zip(&mut weights).zip(ordered) {
        (*member, *weight) = (m, w);
    }
    let heavy = weights.iter().take_while(|weight| **weight > 0).count();
    if draw_all(&members[..heavy], |i| weights[i], &mut rng, &mut visit) {
        rotate(&members[heavy..few.len()], &mut rng, &mut visit);
    }
}

fn weight(sums: &[u64], i: usize) -> u64 {
    sums[i] - if i == 0 { 0 } else { sums[i - 1] }
}

/// Fisher and Yates, as far as the visitor goes.
fn shuffle(members: &[u32], rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
    let mut order = identity();
    for next in 0..members.len() {
        order.swap(next, rng.usize(next..members.len()));
        if !visit(members[usize::from(order[next])]) {
            return false;
        }
    }
    true
}

/// Draws without replacement, each time in proportion to the weights that are left (RFC 2782, page 4).
fn draw_all(
    members: &[u32],
    weight: impl Fn(usize) -> u64,
    rng: &mut Rng,
    visit: &mut impl FnMut(u32) -> bool,
) -> bool {
    let mut order = identity();
    let mut left: u64 = (0..members.len()).map(&weight).sum();
    for next in 0..members.len() {
        let mut at = rng.u64(0..left);
        let mut drawn = next;
        while drawn + 1 < members.len() {
            let weight = weight(order[drawn].into());
            if at < weight {
                break;
            }
            at -= weight;
            drawn += 1;
        }
        order.swap(next, drawn);
        let taken = usize::from(order[next]);
        left -= weight(taken);
        if !visit(members[taken]) {
            return false;
        }
    }
    true
}

/// Draws the first few by weight, then hands out the others in rotation.
fn draw_some(
    members: &[u32],
    sums: &[u64],
    rng: &mut Rng,
    visit: &mut impl FnMut(u32) -> bool,
) -> bool {
    let total = sums.last().copied().unwrap_or_default();
    let mut taken = [u32::MAX; EXACT_MAX];
    for next in 0..EXACT_MAX {
        let mut at = 0;
        for _ in 0..=REDRAWS_MAX {
            let draw = rng.u64(0..total);
            at = sums.partition_point(|sum| *sum <= draw);
            if !taken[..next].contains(&(at as u32)) {
                break;
            }
        }
        // More members than are ever taken: a free one follows.
        while taken[..next].contains(&(at as u32)) {
            at = (at + 1) % members.len();
        }
        taken[next] = at as u32;
        if !visit(members[at]) {
            return false;
        }
    }
    let start = rng.usize(0..members.len());
    (start..members.len())
        .chain(0..start)
        .filter(|at| !taken.contains(&(*at as u32)))
        .all(|at| visit(members[at]))
}

fn rotate(members: &[u32], rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
    if members.is_empty() {
        return true;
    }
    let (behind, front) = members.split_at(rng.usize(0..members.len()));
    front.iter().chain(behind).all(|member| visit(*member))
}

fn identity() -> [u8; EXACT_MAX] {
    std::array::from_fn(|i| i as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(choice: &Choice, seed: u64) -> Vec<u32> {
        let mut order = Vec::new();
        choice.visit(seed, |member| {
            order.push(member);
            true
        });
        order
    }

    #[test]
    fn every_member_comes_once_whatever_the_size() {
        for n in [0, 1, 2, 63, 64, 65, 66, 200, 5_000] {
            for heavy in [1, 3, 1_000_000] {
                let choice = Choice::new(
                    (0..n).map(|i| (i, (i % 3) as u16, if i % 5 == 0 { heavy } else { 1 })),
                );
                let mut all = order(&choice, 7);
                all.sort_unstable();
                assert_eq!(all, (0..n).collect::<Vec<_>>(), "{n} members, heavy {heavy}");
            }
        }
    }

    #[test]
    fn lower_priority_first_and_weightless_last_within_it() {
        let choice = Choice::new([(0, 20, 5), (1, 10, 0), (2, 10, 1), (3, 20, 0), (4, 10, 9)]);
        for seed in 0..100 {
            let order = order(&choice, seed);
            assert_eq!(order[2], 1, "the weightless one is the last of priority 10");
            assert_eq!(order[3..], [0, 3]);
        }
    }

    #[test]
    fn the_first_place_follows_the_weights() {
        const ROUNDS: u64 = 10_000;
        let weights = [1_u64, 2, 7];
        let prepared = Choice::new(weights.iter().enumerate().map(|(i, w)| (i as u32, 0, *w)));
        let few: Vec<(u32, u64)> =
            weights.iter().enumerate().map(|(i, w)| (i as u32, *w)).collect();
        for which in ["prepared", "few"] {
            let mut first = [0_u64; 3];
            for seed in 0..ROUNDS {
                let mut visit = |member: u32| {
                    first[member as usize] += 1;
                    false
                };
                if which == "few" {
                    visit_few(&few, seed, &mut visit);
                } else {
                    prepared.visit(seed, &mut visit);
                }
            }
            for (seen, weight) in first.iter().zip(weights) {
                let expected = ROUNDS * weight / 10;
                // Fixed seeds: no chance involved. Four standard deviations of the widest count are 200.
                assert!(seen.abs_diff(expected) < 200, "{which}: {first:?}");
            }
        }
    }

    #[test]
    fn a_large_set_is_sampled_by_weight_and_without_bias_by_place() {
        // 200 members, the first half four times as heavy; 20 fit.
        let choice = Choice::new((0..200).map(|i| (i, 0, if i < 100 { 4 } else { 1 })));
        let mut seen = [0_u32; 200];
        for seed in 0..5_000 {
            let mut room = 20;
            choice.visit(seed, |member| {
                room -= 1;
                seen[member as usize] += 1;
                room > 0
            });
        }
        let heavy: u32 = seen[..100].iter().sum();
        let light: u32 = seen[100..].iter().sum();
        assert_eq!(heavy + light, 100_000);
        assert!((3 * light..5 * light).contains(&heavy), "{heavy} to {light}");
        assert!(seen[..100].iter().all(|n| (600..1_000).contains(n)), "{seen:?}");
        assert!(seen[100..].iter().all(|n| (120..320).contains(n)), "{seen:?}");
    }

    #[test]
    fn few_hold_weightless_ones_back() {
        for seed in 0..50 {
            let mut order = Vec::new();
            visit_few(&[(0, 0), (1, 5), (2, 0), (3, 1)], seed, |member| {
                order.push(member);
                true
            });
            assert!(order[..2].contains(&1) && order[..2].contains(&3), "{order:?}");
            assert_eq!(order.len(), 4);
        }
    }
}
