//! A persistent radix tree of numbers: what is at one, and whether anything is at those that begin as it does.
//!
//! ```text
//! Fork at the highest digit that differs [up to 16 children] -> Fork -> Leaf: number, value
//! ```
//!
//! Digits have four bits. A fork stands only where numbers part, so that far-off numbers cost no more than near ones.
//! A change copies the forks on its way, which are narrow, and shares the others with the tree before; a look-up
//! allocates nothing.
//!
//! Knows nothing of what the numbers are.

use std::sync::Arc;

/// Bits of a digit.
const DIGIT_BITS: u32 = 4;

/// Values by number.
#[derive(Debug, Clone)]
pub(super) struct Radix<T> {
    root: Option<Node<T>>,
}

#[derive(Debug, Clone)]
enum Node<T> {
    Leaf(Arc<Leaf<T>>),
    Fork(Arc<Fork<T>>),
}

#[derive(Debug)]
struct Leaf<T> {
    number: u128,
    value: T,
}

#[derive(Debug, Clone)]
struct Fork<T> {
    /// Which digit the children differ in, counted from the lowest.
    digit: u32,
    /// A number that has those above it, as all below this fork have.
    number: u128,
    /// At least two, by their digit.
    children: Vec<(u8, Node<T>)>,
}

impl<T> Default for Radix<T> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<T: Clone> Radix<T> {
    /// What is at a number.
    pub(super) fn get(&self, number: u128) -> Option<&T> {
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf.number == number).then_some(&leaf.value),
                Node::Fork(fork) => node = fork.child(number)?,
            }
        }
    }

    /// Whether anything is at a number that differs from this one in its lowest `free` digits at most.
    pub(super) fn has_any(&self, number: u128, free: u32) -> bool {
        let mut node = self.root.as_ref();
        while let Some(Node::Fork(fork)) = node
            && fork.digit >= free
        {
            node = fork.child(number);
        }
        // What all below a fork have in common reaches down to its digit.
        node.is_some_and(|node| parting(node.number(), number).is_none_or(|digit| digit < free))
    }

    /// Puts a value in the place of what is at a number.
    pub(super) fn put(&mut self, number: u128, value: T) {
        let leaf = Node::Leaf(Arc::new(Leaf { number, value }));
        match &mut self.root {
            Some(root) => insert(root, leaf),
            root => *root = Some(leaf),
        }
    }

    /// Takes away what is at a number.
    pub(super) fn remove(&mut self, number: u128) {
        match &mut self.root {
            Some(Node::Leaf(leaf)) if leaf.number == number => self.root = None,
            Some(root) => remove(root, number),
            None => {}
        }
    }

    /// All of it.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<(u128, T)> {
        fn gather<T: Clone>(node: &Node<T>, all: &mut Vec<(u128, T)>) {
            match node {
                Node::Leaf(leaf) => all.push((leaf.number, leaf.value.clone())),
                Node::Fork(fork) => fork.children.iter().for_each(|(_, child)| gather(child, all)),
            }
        }
        let mut all = Vec::new();
        self.root.iter().for_each(|root| gather(root, &mut all));
        all
    }
}

impl<T> Node<T> {
    fn number(&self) -> u128 {
        match self {
            Self::Leaf(leaf) => leaf.number,
            Self::Fork(fork) => fork.number,
        }
    }
}

impl<T> Fork<T> {
    /// Where a number's digit is among the children, or would be.
    fn place(&self, number: u128) -> Result<usize, usize> {
        let wanted = digit_of(number, self.digit);
        self.children.binary_search_by_key(&wanted, |(digit, _)| *digit)
    }

    fn child(&self, number: u128) -> Option<&Node<T>> {
        let at = self.place(number).ok()?;
        self.children.get(at).map(|(_, child)| child)
    }
}

fn digit_of(number: u128, digit: u32) -> u8 {
    // Four bits are left.
    (number.checked_shr(digit * DIGIT_BITS).unwrap_or(0) & 0xf) as u8
}

/// The highest digit that two numbers differ in.
fn parting(one: u128, other: u128) -> Option<u32> {
    (one ^ other).checked_ilog2().map(|bit| bit / DIGIT_BITS)
}

/// At most as many steps as a number has digits.
fn insert<T: Clone>(node: &mut Node<T>, leaf: Node<T>) {
    let number = leaf.number();
    match (parting(node.number(), number), &mut *node) {
        (None, Node::Leaf(_)) => *node = leaf,
        (parting, Node::Fork(fork)) if parting.is_none_or(|digit| digit <= fork.digit) => {
            let fork = Arc::make_mut(fork);
            match fork.place(number) {
                Ok(at) => insert(&mut fork.children[at].1, leaf),
                Err(at) => {
                    fork.children.reserve_exact(1);
                    fork.children.insert(at, (digit_of(number, fork.digit), leaf));
                }
            }
        }
        (Some(digit), _) => {
            let mut children = vec![
                (digit_of(node.number(), digit), node.clone()),
                (digit_of(number, digit), leaf),
            ];
            children.sort_by_key(|(digit, _)| *digit);
            *node = Node::Fork(Arc::new(Fork { digit, number, children }));
        }
        // A fork has numbers that part at its digit.
        (None, Node::Fork(_)) => {}
    }
}

fn remove<T: Clone>(node: &mut Node<T>, number: u128) {
    let Node::Fork(fork) = node else { return };
    let Ok(at) = fork.place(number) else { return };
    match &fork.children[at].1 {
        Node::Leaf(leaf) if leaf.number != number => return,
        Node::Leaf(_) => _ = Arc::make_mut(fork).children.remove(at),
        Node::Fork(_) => remove(&mut Arc::make_mut(fork).children[at].1, number),
    }
    if let [(_, only)] = &*fork.children {
        *node = only.clone();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Numbers that share beginnings and ends of all lengths.
    fn number() -> impl Strategy<Value = u128> {
        prop_oneof![
            0_u128..40,
            (0_u128..4, 0_u32..32).prop_map(|(digit, at)| digit << (4 * at)),
            (0_u128..4, 0_u32..32).prop_map(|(digit, at)| u128::MAX ^ digit << (4 * at)),
            any::<u128>(),
        ]
    }

    fn forks(node: &Node<u32>) -> usize {
        match node {
            Node::Leaf(_) => 0,
            Node::Fork(fork) => {
                assert!(fork.children.len() > 1);
                1 + fork.children.iter().map(|(_, child)| forks(child)).sum::<usize>()
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_its_copies_do_not_change(
            steps in proptest::collection::vec((number(), proptest::option::of(any::<u32>())), 1..200),
            asked in proptest::collection::vec((number(), 0_u32..33), 50),
        ) {
            let (mut radix, mut model) = (Radix::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (at, (number, value)) in steps.iter().enumerate() {
                match value {
                    Some(value) => {
                        radix.put(*number, *value);
                        model.insert(*number, *value);
                    }
                    None => {
                        radix.remove(*number);
                        model.remove(number);
                    }
                }
                // Take some of those away that are there.
                if at % 3 == 2 && let Some(first) = model.keys().next().copied() {
                    radix.remove(first);
                    model.remove(&first);
                }
                if at % 20 == 0 {
                    copies.push((radix.clone(), model.clone()));
                }
            }
            copies.push((radix, model));
            for (radix, model) in copies {
                prop_assert!(radix.all().into_iter().eq(model.clone()));
                prop_assert!(radix.root.as_ref().map_or(0, forks) <= model.len().saturating_sub(1));
                let known = steps.iter().map(|(number, _)| *number).zip((0..33).cycle());
                for (number, free) in asked.iter().copied().chain(known) {
                    prop_assert_eq!(radix.get(number), model.get(&number));
                    let alike = |other: &u128| (number ^ other).checked_shr(4 * free).unwrap_or(0) == 0;
                    prop_assert_eq!(radix.has_any(number, free), model.keys().any(alike));
                }
            }
        }
    }
}
