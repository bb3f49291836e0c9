//! `[[layout]]`: what other systems write into the same registry.
//!
//! Knows nothing of how their keys are read.

use super::problem::Problem;
use super::reader::Section;
use super::values::{parsed, text};
use crate::layout::foreign::{Foreign, System, is_everything};
use crate::registry::Origin;
use crate::zone::ZoneSettings;

/// Each is a watch of its own, and a thread.
const LAYOUTS_MAX: usize = 64;

/// Reads all of them; `native` is the prefix of our own layout.
pub(super) fn layouts(
    root: &Section<'_>,
    zones: &[ZoneSettings],
    native: &str,
    warnings: &mut Vec<Problem>,
) -> Vec<Foreign> {
    let mut layouts: Vec<Foreign> = Vec::new();
    for (section, number) in root.sections("layout").into_iter().zip(1_u16..) {
        let system: Option<System> = section.need("kind", "\"go-micro\"", parsed);
        let prefix = match system.map(System::prefix_default) {
            Some(Some(usual)) => {
                Some(section.get("prefix", text).unwrap_or_else(|| usual.to_owned()))
            }
            Some(None) => section.need("prefix", "\"/services/\"", text),
            // Whether it needs one is not known.
            None => section.get("prefix", text),
        };
        let namespace = section.get("namespace", parsed).unwrap_or_default();
        if !zones.iter().any(|zone| zone.namespace.as_ref() == Some(&namespace)) {
            let message =
                format!("no zone here serves namespace {namespace}: add a [[zone]] for it");
            section.report("namespace", message);
        }
        if usize::from(number) > LAYOUTS_MAX {
            section.report("kind", format!("there are more than {LAYOUTS_MAX} layouts"));
        }
        if let (Some(system), Some(prefix)) = (system, prefix) {
            let prefix = system.whole_prefix(&prefix);
            if let Some(clash) = clash(system, &prefix, &layouts, native) {
                section.report("prefix", clash);
            }
            let usual = system.prefix_default().unwrap_or_default();
            if usual.starts_with('/') && !prefix.starts_with('/') {
                let message = format!(
                    "prefix {prefix:?} has no slash in front, and the keys of {system} begin with {usual}: add it"
                );
                warnings.push(section.warning(&message));
            }
            let origin = Origin(number);
            layouts.push(Foreign { origin, system, prefix: prefix.into(), namespace });
        }
        section.finish();
    }
    layouts
}

/// Who else reads what is under a prefix: of one key there would be two accounts.
fn clash(system: System, prefix: &str, layouts: &[Foreign], native: &str) -> Option<String> {
    let nested = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
    // What reads everything leaves alone what is not its system's.
    let apart = |other: &str| is_everything(prefix) || is_everything(other);
    let clashes = |other: &str| other == prefix || !apart(other) && nested(prefix, other);
    if clashes(native) {
        return Some(format!("{prefix:?} overlaps with our own layout's, {native:?}"));
    }
    let same = |other: &Foreign| other.system == system && nested(prefix, &other.prefix);
    let other = layouts.iter().find(|other| same(other) || clashes(&other.prefix))?;
    let Foreign { system, prefix: others, .. } = other;
    Some(format!("{prefix:?} overlaps with that of layout {system}, {others:?}: give each its own"))
}
