//! Which label each id of another system gets: the one that an instance with this id has in answers, asked of the claims
//! themselves. So the outcome does not depend on the order in which ids are read, and names stay where they are.
//!
//! What stands before instances in a zone is not known here. An instance whose name goes to a static record or to an app
//! is served under a label derived from its id, and so under another one once its id is the label that it got here.
//!
//! Knows nothing of what the ids stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layout::Registration;
use crate::model::{AppName, Label, RawId};
use crate::zone;

/// The labels of all ids of each app, or why one has none.
pub(super) fn labels<'a>(
    registrations: impl IntoIterator<Item = &'a Registration>,
) -> BTreeMap<(&'a AppName, &'a RawId), Result<Label, Arc<str>>> {
    // In the order of ids, and each once: of those with one id, one is copied.
    let registrations: BTreeMap<_, _> =
        registrations.into_iter().map(|one| ((&one.app, &one.id), one)).collect();
    let all: Vec<_> = registrations.into_iter().collect();
    let mut labels = BTreeMap::new();
    for app in all.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
        let found = zone::labels(app.iter().map(|(_, registration)| *registration));
        labels.extend(app.iter().map(|(id, _)| *id).zip(found));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Namespace, Spec};
    use crate::registry::Origin;

    fn registration((app, id): &(&str, &str)) -> Registration {
        let body = r#"{"address":"10.0.0.7","port":9000}"#;
        Registration {
            namespace: Namespace::default(),
            app: AppName::new(app).unwrap(),
            id: (*id).into(),
            origin: Origin(1),
            disabled: false,
            instance: serde_json::from_str::<Spec>(body).unwrap().resolve(None).unwrap(),
        }
    }

    #[test]
    fn labels_are_those_of_answers_whatever_the_order() {
        let of = |ids: &[(&str, &str)]| -> Vec<String> {
            let all: Vec<_> = ids.iter().map(registration).collect();
            let labels = labels(&all).into_iter();
            let told = labels.map(|((app, id), label)| match label {
                Ok(label) => format!("{app} {id} {label}"),
                Err(why) => format!("{app}: {why}"),
            });
            told.collect()
        };
        // That of a_b is a-b-msh2tm where that is free.
        let ids = [
            ("a", "a-b"),
            ("b", "a_b"),
            ("b", "a-b"),
            ("a", "a_b"),
            ("a", "a-b-msh2tm"),
            ("b", "::"),
        ];
        let expected = [
            "a a-b a-b",
            "a a-b-msh2tm a-b-msh2tm",
            "a a_b a-b-",
            "b: instance id \"::\" must not be empty",
            "b a-b a-b",
            "b a_b a-b-msh2tm",
        ];
        let forward = of(&ids);
        assert_eq!(forward.len(), expected.len(), "{forward:?}");
        for (label, expected) in forward.iter().zip(expected) {
            assert!(label.starts_with(expected), "{label}: {expected}");
        }
        assert_ne!(forward[1], forward[2].replace("a_b", "a-b-msh2tm"));
        let mut back = ids;
        back.reverse();
        assert_eq!(of(&back), forward);
    }
}
