//! Which label each id of another system gets, by the rule that answers have, too: a raw id that is legal keeps its label;
//! of others that map to one label the smallest keeps that label if it is free; every other gets a derived one. So the
//! outcome does not depend on the order in which they are read.
//!
//! Knows nothing of what the ids stand for.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AppName, Label, RawId, derived_label, map_label};

/// The labels of all ids of each app; none for one in which no letter or digit is.
pub(super) fn labels<'a>(
    ids: impl IntoIterator<Item = (&'a AppName, &'a RawId)>,
) -> BTreeMap<(&'a AppName, &'a RawId), Label> {
    let mut labels = BTreeMap::new();
    let mut taken = BTreeSet::new();
    // In the order of their octets, and each once.
    let ids: BTreeSet<_> = ids.into_iter().collect();
    let (legal, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(|(_, id)| is_legal(id));
    for (app, id) in legal.into_iter().chain(others) {
        let Ok(plain) = map_label(id.as_bytes()) else { continue };
        let label = if taken.contains(&(app, plain.clone())) {
            derived_label(plain.as_str(), id.as_bytes())
        } else {
            plain
        };
        taken.insert((app, label.clone()));
        labels.insert((app, id), label);
    }
    labels
}

fn is_legal(id: &RawId) -> bool {
    Label::new(id).is_ok_and(|label| label.as_str() == id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_depend_on_the_order() {
        let (a, b) = (AppName::new("a").unwrap(), AppName::new("b").unwrap());
        let [x_y, x_dot, x_under, none] = ["x-y", "x.y", "x_y", "::"].map(RawId::from);
        let of = |ids: &[(&AppName, &RawId)]| -> Vec<String> {
            let labels = labels(ids.iter().copied());
            labels.iter().map(|((app, id), label)| format!("{app} {id} {label}")).collect()
        };
        let ids =
            [(&a, &x_y), (&a, &x_dot), (&a, &x_under), (&b, &x_under), (&b, &x_dot), (&b, &none)];
        let expected = ["a x-y x-y", "a x.y x-y-", "a x_y x-y-", "b x.y x-y", "b x_y x-y-"];
        let forward = of(&ids);
        assert_eq!(forward.len(), expected.len(), "{forward:?}");
        for (label, expected) in forward.iter().zip(expected) {
            assert!(label.starts_with(expected), "{label}: {expected}");
        }
        let mut back = ids;
        back.reverse();
        assert_eq!(of(&back), forward);
    }
}
