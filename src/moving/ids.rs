//! Which label each id of another system gets: the one that an instance with this id has in answers, asked of the claims
//! themselves. So the outcome does not depend on the order in which ids are read, and names stay where they are.
//!
//! What stands before instances in a zone is not known here. An instance whose name goes to a static record or to an app
//! is served under a label derived from its id, and so under another one once its id is the label that it got here.
//!
//! Knows nothing of what the ids stand for.

use std::sync::Arc;

use crate::layout::Registration;
use crate::model::{AppName, Label};
use crate::zone;

/// The label of each, in the order given, or why it has none. None is one that is `taken` in its app.
pub(super) fn labels<'a>(
    registrations: impl IntoIterator<Item = &'a Registration>,
    taken: impl Fn(&AppName, &Label) -> bool,
) -> Vec<Result<Label, Arc<str>>> {
    let mut all: Vec<_> = registrations.into_iter().enumerate().collect();
    all.sort_by_key(|(place, one)| (&one.app, &one.id, *place));
    let mut labels = Vec::with_capacity(all.len());
    for of_app in all.chunk_by(|(_, one), (_, other)| one.app == other.app) {
        let registrations = of_app.iter().map(|(_, one)| *one);
        let app = registrations.clone().next().map(|one| &one.app);
        let found = zone::labels(registrations, |label| app.is_some_and(|app| taken(app, label)));
        labels.extend(of_app.iter().map(|(place, _)| *place).zip(found));
    }
    labels.sort_by_key(|(place, _)| *place);
    labels.into_iter().map(|(_, label)| label).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            let told =
                ids.iter().zip(labels(&all, |_, _| false)).map(|((app, id), label)| match label {
                    Ok(label) => format!("{app} {id} {label}"),
                    Err(why) => format!("{app}: {why}"),
                });
            let mut told: Vec<String> = told.collect();
            told.sort_unstable();
            told
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
            "b a-b a-b",
            "b a_b a-b-msh2tm",
            "b: instance id \"::\" must not be empty",
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

    #[test]
    fn a_label_that_is_taken_is_nobody_elses() {
        let all =
            [("a", "a-b"), ("a", "a_b"), ("a", "a_b"), ("b", "a-b")].map(|one| registration(&one));
        let a_b = |app: &AppName, label: &Label| app.as_str() == "a" && label.as_str() == "a-b";
        let labels: BTreeSet<String> =
            labels(&all, a_b).into_iter().map(|label| label.unwrap().to_string()).collect();
        // Three that are derived, each another, and that of the other app.
        assert_eq!(labels.len(), 4, "{labels:?}");
        assert!(labels.contains("a-b"), "{labels:?}");
        assert!(labels.iter().all(|label| label.starts_with("a-b")), "{labels:?}");
    }
}
