//! `[[layout]]`: what other systems write into the same registry.
//!
//! Knows nothing of how their keys are read.

use super::reader::Section;
use super::values::{parsed, text};
use crate::layout::foreign::{Foreign, System};
use crate::registry::Origin;
use crate::zone::ZoneSettings;

/// Each is a watch of its own, and a thread.
const LAYOUTS_MAX: usize = 64;

/// Reads all of them; `native` is the prefix of our own layout.
pub(super) fn layouts(root: &Section<'_>, zones: &[ZoneSettings], native: &str) -> Vec<Foreign> {
    let mut layouts: Vec<Foreign> = Vec::new();
    for (section, number) in root.sections("layout").into_iter().zip(1_u16..) {
        let system: Option<System> = section.need("kind", "\"go-micro\"", parsed);
        let usual = system.and_then(System::prefix_default);
        let prefix = match usual {
            Some(usual) => section.get("prefix", text).or_else(|| Some(usual.to_owned())),
            None => section.need("prefix", "\"/services/\"", text),
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
            if let Some(clash) = clash(&prefix, &layouts, native) {
                section.report("prefix", clash);
            }
            let origin = Origin(number);
            layouts.push(Foreign { origin, system, prefix: prefix.into(), namespace });
        }
        section.finish();
    }
    layouts
}

/// Who else reads what is under a prefix: of one key there would be two accounts.
fn clash(prefix: &str, layouts: &[Foreign], native: &str) -> Option<String> {
    let nested = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
    // What reads everything knows its own keys and leaves the others alone.
    let reads_all = |prefix: &str| matches!(prefix, "" | "/");
    let clashes = |other: &str| {
        other == prefix || !reads_all(prefix) && !reads_all(other) && nested(prefix, other)
    };
    if clashes(native) {
        return Some(format!("{prefix:?} overlaps with our own layout's, {native:?}"));
    }
    let other = layouts.iter().find(|other| clashes(&other.prefix))?;
    let Foreign { system, prefix: others, .. } = other;
    Some(format!("{prefix:?} overlaps with that of layout {system}, {others:?}: give each its own"))
}
