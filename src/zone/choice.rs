//! A set that is emitted in another order each time: fair for equal weights, in proportion to weight for
//! others, lower priority numbers first.
//!
//! A choice is written once, into its app's block, and then only read. [`Choice::visit`] hands out members
//! until the visitor has no more room, so that what is left out varies from one reply to the next and is a
//! fair sample (law 5, docs/architecture.md). No allocation: the first [`EXACT_MAX`] members of a priority
//! are drawn one by one without replacement, exactly by weight; the others follow in rotation from a random
//! place, since nobody reads an order beyond that.
//!
//! ```text
//! choice: members u32, groups u31 and mark u1, then each group
//! group:  heavy u31 and equal u1, count u32, members u32 each; unless equal: sums u64 of the heavy
//! ```
//!
//! Knows nothing of what its members are.

use fastrand::Rng;

use super::packed;

/// Members of one priority that are drawn exactly: what is done for a draw stays within a few cache lines, and a
/// datagram of 1,232 octets holds no more SRV records and hardly more addresses (76).
pub const EXACT_MAX: usize = 64;

/// Octets in front of the groups, and of a group in front of its members.
const HEADER: usize = 8;
const MEMBER: usize = packed::NUMBER;
const SUM: usize = 8;
/// In a group's first number: all that have weight have the same.
const EQUAL: u32 = 1 << 31;

/// Members with weights, in groups of one priority.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// From its first octet on; what follows it is not its own.
    octets: &'a [u8],
}

/// What a choice is written of: member, priority, weight.
pub(super) type Given = (u32, u16, u64);

/// Appends a choice of these, and gives its place. The mark is the caller's.
pub(super) fn write(octets: &mut Vec<u8>, given: &mut [Given], mark: bool) -> u32 {
    let place = packed::place(octets);
    // Found in order as a rule, which costs one look at each.
    given.sort_unstable_by_key(|&(member, priority, weight)| (priority, weight == 0, member));
    packed::push(octets, given.len() as u32);
    // There are no more groups than priorities.
    let groups = given.chunk_by(|a, b| a.1 == b.1).count() as u32;
    packed::push(octets, groups << 1 | u32::from(mark));
    for group in given.chunk_by(|a, b| a.1 == b.1) {
        // Where nobody has weight, all are alike.
        let heavy = match group.partition_point(|(_, _, weight)| *weight > 0) {
            0 => group.len(),
            some => some,
        };
        let (with, _) = group.split_at(heavy);
        let equal = with.windows(2).all(|two| two[0].2 == two[1].2);
        packed::push(octets, heavy as u32 | if equal { EQUAL } else { 0 });
        packed::push(octets, group.len() as u32);
        group.iter().for_each(|(member, _, _)| packed::push(octets, *member));
        if !equal {
            let mut sum = 0;
            for (_, _, weight) in with {
                sum += weight;
                octets.extend_from_slice(&u64::to_le_bytes(sum));
            }
        }
    }
    place
}

/// One priority.
#[derive(Clone, Copy)]
struct Group<'a> {
    members: &'a [u8],
    /// How many have weight; they come first.
    heavy: usize,
    /// Sums of weights up to and including each that has weight; none where all have the same.
    sums: Option<&'a [u8]>,
}

impl<'a> Choice<'a> {
    /// The choice that was written there.
    pub(super) fn read(octets: &'a [u8], place: usize) -> Self {
        Self { octets: octets.get(place..).unwrap_or_default() }
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        packed::place_at(self.octets, 0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the writer marked it with.
    #[must_use]
    pub(super) fn mark(&self) -> bool {
        packed::u32_at(self.octets, 4) & 1 == 1
    }

    /// Hands out the members in an order drawn from `seed`, until `visit` says no.
    #[inline]
    pub fn visit(&self, seed: u64, mut visit: impl FnMut(u32) -> bool) {
        let mut rng = Rng::with_seed(seed);
        let _ = self.groups().all(|group| group.visit(&mut rng, &mut visit));
    }

    fn groups(&self) -> impl Iterator<Item = Group<'a>> {
        let octets = self.octets;
        let mut at = HEADER;
        (0..packed::u32_at(octets, 4) >> 1).map(move |_| {
            let first = packed::u32_at(octets, at);
            let (heavy, equal) = ((first & !EQUAL) as usize, first & EQUAL != 0);
            let count = packed::place_at(octets, at + 4);
            let members = packed::slice(octets, at + HEADER, count * MEMBER);
            at += HEADER + members.len();
            let sums = (!equal).then(|| packed::slice(octets, at, heavy * SUM));
            at += sums.map_or(0, <[u8]>::len);
            Group { members, heavy, sums }
        })
    }
}

impl Group<'_> {
    /// Whether the visitor wants more.
    #[inline]
    fn visit(&self, rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
        let go_on = match (self.sums, self.heavy) {
            (None, 0..=EXACT_MAX) => self.shuffle(rng, visit),
            (None, _) => self.sample_equal(rng, visit),
            (Some(_), 0..=EXACT_MAX) => {
                let mut weights = [0; EXACT_MAX];
                let weights = weights.get_mut(..self.heavy).unwrap_or_default();
                (0..).zip(&mut *weights).for_each(|(at, weight)| *weight = self.weight(at));
                draw_all(weights, |at| self.member(at), rng, visit)
            }
            (Some(_), _) => self.sample_weighted(rng, visit),
        };
        let count = self.members.len() / MEMBER;
        go_on && rotate(self.heavy..count, rng, |at| visit(self.member(at)))
    }

    fn member(&self, at: usize) -> u32 {
        packed::u32_at(self.members, at * MEMBER)
    }

    /// The sum of weights in front of one that has weight.
    fn sum_before(&self, at: usize) -> u64 {
        if at == 0 { 0 } else { packed::u64_at(self.sums.unwrap_or_default(), (at - 1) * SUM) }
    }

    fn weight(&self, at: usize) -> u64 {
        self.sum_before(at + 1) - self.sum_before(at)
    }

    /// Fisher and Yates, as far as the visitor goes.
    #[inline]
    fn shuffle(&self, rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
        let mut order = identity();
        (0..self.heavy).all(|next| {
            order.swap(next, rng.usize(next..self.heavy));
            visit(self.member(order[next].into()))
        })
    }

    /// Draws the first few of many with one weight, then hands out the others in rotation.
    fn sample_equal(&self, rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
        let mut taken = Taken::default();
        for next in 0..EXACT_MAX {
            let mut at = rng.usize(0..self.heavy - next);
            // Those taken are stepped over, in order.
            at += taken.ranks().take_while(|(rank, taken)| *taken <= at + rank).count();
            taken.insert(at, 0, 0);
            if !visit(self.member(at)) {
                return false;
            }
        }
        self.rest(&taken, rng, visit)
    }

    /// Draws the first few of many by weight, then hands out the others in rotation.
    fn sample_weighted(&self, rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
        let mut left = self.sum_before(self.heavy);
        let mut taken = Taken::default();
        for _ in 0..EXACT_MAX {
            let draw = taken.step_over(rng.u64(0..left));
            let at = self.drawn(draw);
            let weight = self.weight(at);
            left -= weight;
            taken.insert(at, self.sum_before(at), weight);
            if !visit(self.member(at)) {
                return false;
            }
        }
        self.rest(&taken, rng, visit)
    }

    /// Whose share of all weights a number falls in.
    fn drawn(&self, draw: u64) -> usize {
        let (mut low, mut high) = (0, self.heavy);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.sum_before(middle + 1) <= draw {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn rest(&self, taken: &Taken, rng: &mut Rng, visit: &mut impl FnMut(u32) -> bool) -> bool {
        rotate(0..self.heavy, rng, |at| taken.has(at) || visit(self.member(at)))
    }
}

/// The members drawn so far, in the order of their places.
struct Taken {
    count: usize,
    places: [u32; EXACT_MAX],
    /// Sum of weights in front of each, and its own weight.
    shares: [(u64, u64); EXACT_MAX],
}

impl Default for Taken {
    fn default() -> Self {
        Self { count: 0, places: [0; EXACT_MAX], shares: [(0, 0); EXACT_MAX] }
    }
}

impl Taken {
    /// Each with how many are in front of it.
    fn ranks(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places[..self.count].iter().map(|at| *at as usize).enumerate()
    }

    fn has(&self, at: usize) -> bool {
        self.places[..self.count].binary_search(&(at as u32)).is_ok()
    }

    /// A number drawn from the weights that are left, as one among all weights.
    fn step_over(&self, mut draw: u64) -> u64 {
        for (before, weight) in &self.shares[..self.count] {
            if *before > draw {
                break;
            }
            draw += weight;
        }
        draw
    }

    fn insert(&mut self, at: usize, before: u64, weight: u64) {
        let rank = self.places[..self.count].partition_point(|other| *other < at as u32);
        self.places.copy_within(rank..self.count, rank + 1);
        self.shares.copy_within(rank..self.count, rank + 1);
        (self.places[rank], self.shares[rank]) = (at as u32, (before, weight));
        self.count += 1;
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
    if weights.first() == Some(&0) {
        // Where nobody has weight, all are alike.
        weights = [1; EXACT_MAX];
    }
    let heavy = weights.iter().take(few.len()).take_while(|weight| **weight > 0).count();
    if draw_all(&weights[..heavy], |at| members[at], &mut rng, &mut visit) {
        rotate(heavy..few.len(), &mut rng, |at| visit(members[at]));
    }
}

/// Draws without replacement, each time in proportion to the weights that are left (RFC 2782, page 4).
fn draw_all(
    weights: &[u64],
    member: impl Fn(usize) -> u32,
    rng: &mut Rng,
    visit: &mut impl FnMut(u32) -> bool,
) -> bool {
    let mut order = identity();
    let mut left: u64 = weights.iter().sum();
    (0..weights.len()).all(|next| {
        let mut at = rng.u64(0..left);
        let mut drawn = next;
        while drawn + 1 < weights.len() {
            let weight = weights[usize::from(order[drawn])];
            if at < weight {
                break;
            }
            at -= weight;
            drawn += 1;
        }
        order.swap(next, drawn);
        let taken = usize::from(order[next]);
        left -= weights[taken];
        visit(member(taken))
    })
}

/// All places of a range, from a random one on.
fn rotate(places: std::ops::Range<usize>, rng: &mut Rng, visit: impl FnMut(usize) -> bool) -> bool {
    if places.is_empty() {
        return true;
    }
    let start = rng.usize(places.clone());
    (start..places.end).chain(places.start..start).all(visit)
}

fn identity() -> [u8; EXACT_MAX] {
    std::array::from_fn(|i| i as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(given: impl IntoIterator<Item = Given>) -> Vec<u8> {
        let mut octets = Vec::new();
        write(&mut octets, &mut given.into_iter().collect::<Vec<_>>(), false);
        octets
    }

    fn order(choice: &[u8], seed: u64) -> Vec<u32> {
        let mut order = Vec::new();
        Choice::read(choice, 0).visit(seed, |member| {
            order.push(member);
            true
        });
        order
    }

    #[test]
    fn every_member_comes_once_whatever_the_size() {
        for n in [0, 1, 2, 63, 64, 65, 66, 200, 5_000] {
            for heavy in [1, 3, 1_000_000] {
                let choice =
                    choice((0..n).map(|i| (i, (i % 3) as u16, if i % 5 == 0 { heavy } else { 1 })));
                let mut all = order(&choice, 7);
                all.sort_unstable();
                assert_eq!(all, (0..n).collect::<Vec<_>>(), "{n} members, heavy {heavy}");
            }
        }
    }

    #[test]
    fn lower_priority_first_and_weightless_last_within_it() {
        let choice = choice([(0, 20, 5), (1, 10, 0), (2, 10, 1), (3, 20, 0), (4, 10, 9)]);
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
        let prepared = choice(weights.iter().enumerate().map(|(i, w)| (i as u32, 0, *w)));
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
                    Choice::read(&prepared, 0).visit(seed, &mut visit);
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
        let choice = choice((0..200).map(|i| (i, 0, if i < 100 { 4 } else { 1 })));
        let mut seen = [0_u32; 200];
        for seed in 0..5_000 {
            let mut room = 20;
            Choice::read(&choice, 0).visit(seed, |member| {
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
    fn where_nobody_has_weight_the_order_is_open() {
        let choice = choice((0..10).map(|member| (member, 0, 0)));
        let few: Vec<(u32, u64)> = (0..10).map(|member| (member, 0)).collect();
        let (mut behind, mut behind_few) = ([0; 10], [0; 10]);
        for seed in 0..1_000 {
            let order = order(&choice, seed);
            behind[((order[1] + 10 - order[0]) % 10) as usize] += 1;
            let mut order = Vec::new();
            visit_few(&few, seed, |member| {
                order.push(member);
                true
            });
            assert_eq!(order.len(), 10);
            behind_few[((order[1] + 10 - order[0]) % 10) as usize] += 1;
        }
        for behind in [behind, behind_few] {
            assert!(behind[1..].iter().all(|times| (60..170).contains(times)), "{behind:?}");
        }
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
