//! A configuration file as written, read key by key.
//!
//! Whoever reads a section asks it for the keys that exist; what nobody has asked for by the end is
//! unknown, and refused with the nearest key that somebody did ask for. So the list of known keys is the
//! code that uses them, and can't fall behind it. (serde's `deny_unknown_fields` was tried first: it stops at the
//! first problem and its message lists every field there is.)
//!
//! Knows nothing of what the keys mean.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::values::ValueError;

/// Furthest that a mistyped key may be from the one suggested (Damerau-Levenshtein), and of how many characters it has
/// to have each: among short words everything is near.
const TYPO_DISTANCE_MAX: usize = 3;
const TYPO_CHARACTERS: usize = 3;
/// What other programs call what is called otherwise here.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("address", "listen"),
    ("addresses", "listen"),
    ("bind", "listen"),
    ("port", "listen"),
    ("nameservers", "upstreams"),
    ("servers", "upstreams"),
    ("url", "endpoints"),
    ("urls", "endpoints"),
];

/// One file being read: where its lines are, and what was found wrong so far.
pub(super) struct Document {
    path: PathBuf,
    line_starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<String>>,
}

/// One table of the file, or the absence of it: then every key is absent.
pub(super) struct Section<'d> {
    document: &'d Document,
    name: String,
    line: usize,
    table: Option<&'d DeTable<'d>>,
    /// Something else stands in its place, which was reported: what it lacks is no news.
    misplaced: bool,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl Document {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self {
            path: path.to_owned(),
            line_starts: std::iter::once(0).chain(breaks).collect(),
            problems: RefCell::default(),
            known: RefCell::default(),
        }
    }

    pub(super) fn root<'d>(&'d self, table: &'d DeTable<'d>) -> Section<'d> {
        self.section(String::new(), 1, Some(table))
    }

    pub(super) fn report(&self, line: usize, message: String) {
        self.problems.borrow_mut().push(Problem::at(&self.path, line, message));
    }

    /// A problem that has a place of its own, such as a zone file's line.
    pub(super) fn report_elsewhere(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Whether nothing wrong was found so far.
    pub(super) fn is_good(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// The line, from 1, of an octet.
    pub(super) fn line_of(&self, span: Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    /// What was found wrong, in the order of lines, then what is wrong in other files; and every key that was
    /// asked for, for the test that holds the documentation complete.
    pub(super) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        // Those of other files stay in the order in which they were found.
        problems.sort_by_key(|problem| match problem.file.as_deref() == Some(&self.path) {
            true => (false, problem.line),
            false => (true, 0),
        });
        (problems, self.known.into_inner())
    }

    fn section<'d>(
        &'d self,
        name: String,
        line: usize,
        table: Option<&'d DeTable<'d>>,
    ) -> Section<'d> {
        let asked = RefCell::default();
        Section { document: self, name, line, table, misplaced: false, asked }
    }
}

impl<'d> Section<'d> {
    /// Puts the key's value into its slot, if it is there and `read` likes it.
    pub(super) fn set<T>(
        &self,
        key: &'static str,
        slot: &mut T,
        read: impl Fn(&DeValue<'_>) -> Result<T, ValueError>,
    ) {
        if let Some(value) = self.get(key, read) {
            *slot = value;
        }
    }

    /// The key's value, if it is there and `read` likes it. If `read` does not, that is reported, and the
    /// key counts as absent, so that reading goes on to the next problem.
    pub(super) fn get<T>(
        &self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, ValueError>,
    ) -> Option<T> {
        let value = self.value(key)?;
        read(value.get_ref())
            .map_err(|error| {
                let line = self.document.line_of(error.span.unwrap_or_else(|| value.span()));
                let item = error.item.map_or_else(String::new, |item| format!("[{item}]"));
                let message = format!("{}{item}: {}", self.path(key), error.message);
                self.document.report(line, message);
            })
            .ok()
    }

    /// Like [`Self::get`], for a key that must be there.
    pub(super) fn need<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, ValueError>,
    ) -> Option<T> {
        if !self.has(key) && !self.misplaced {
            let message = format!("{}: is missing, for example: {key} = {example}", self.path(key));
            self.document.report(self.line, message);
        }
        self.get(key, read)
    }

    /// The table under a key.
    pub(super) fn section(&self, key: &'static str) -> Self {
        let path = self.path(key);
        let Some(value) = self.value(key) else {
            return self.document.section(path, self.line, None);
        };
        let line = self.document.line_of(value.span());
        if let DeValue::Table(table) = value.get_ref() {
            return self.document.section(path, line, Some(table));
        }
        let message = format!("{path}: must be a section, as in [{}]", without_numbers(&path));
        self.document.report(line, message);
        Self { misplaced: true, ..self.document.section(path, line, None) }
    }

    /// The tables under a key that may stand several times.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let not_sections = |span| {
            let path = self.path(key);
            let message = format!("{path}: must be sections, as in [[{}]]", without_numbers(&path));
            self.document.report(self.document.line_of(span), message);
        };
        let DeValue::Array(items) = value.get_ref() else {
            not_sections(value.span());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let line = self.document.line_of(item.span());
                    let name = format!("{}[{i}]", self.path(key));
                    sections.push(self.document.section(name, line, Some(table)));
                }
                _ => not_sections(item.span()),
            }
        }
        sections
    }

    /// Whether the section is there.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Reports something that only the meaning of a key shows.
    pub(super) fn report(&self, key: &'static str, message: impl std::fmt::Display) {
        if self.misplaced {
            return;
        }
        let message = format!("{}: {message}", self.path(key));
        self.document.report(self.line_of(key), message);
    }

    /// What is legal and unwise about the section as a whole.
    pub(super) fn warning(&self, message: &str) -> Problem {
        Problem::at(&self.document.path, self.line, format!("{}: {message}", self.name))
    }

    /// The key's line, or the section's where the key is absent.
    pub(super) fn line_of(&self, key: &'static str) -> usize {
        self.value(key).map_or(self.line, |value| self.document.line_of(value.span()))
    }

    /// The line of what stands at that path of keys, of a list its item's; none where nothing does. Nobody has
    /// asked for it by that.
    pub(super) fn line_at(&self, path: &[&str], item: usize) -> Option<usize> {
        let find = |table: &'d DeTable<'d>, key: &str| {
            table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
        };
        let (last, sections) = path.split_last()?;
        let table = sections.iter().try_fold(self.table?, |table, key| {
            match find(table, key)?.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            }
        })?;
        let value = find(table, last)?;
        let span = match value.get_ref() {
            DeValue::Array(items) => items.get(item)?.span(),
            _ => value.span(),
        };
        Some(self.document.line_of(span))
    }

    /// A problem in that line, or in none.
    pub(super) fn problem(&self, line: Option<usize>, message: String) -> Problem {
        match line {
            Some(line) => Problem::at(&self.document.path, line, message),
            None => Problem::nowhere(message),
        }
    }

    /// The document, for problems with a place of their own.
    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    /// Refuses what nobody has asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.table.into_iter().flatten() {
            let text: &str = key.get_ref();
            if asked.contains(text) {
                continue;
            }
            let nearest = meant(text, &asked)
                .map_or_else(String::new, |meant| format!(", did you mean '{meant}'?"));
            let path = if self.name.is_empty() {
                text.escape_debug().to_string()
            } else {
                format!("{}.{}", self.name, text.escape_debug())
            };
            self.document.report(
                self.document.line_of(key.span()),
                format!("{path}: there is no such setting{nearest}"),
            );
        }
    }

    fn value(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().insert(key);
        self.document.known.borrow_mut().insert(without_numbers(&self.path(key)));
        self.table?.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// A key's path as documentation has it: `zone.name` of `zone[1].name`.
fn without_numbers(path: &str) -> String {
    let (first, rest) = path.split_once('[').unwrap_or((path, ""));
    let rest = rest.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
    std::iter::once(first).chain(rest).collect()
}

/// The key that somebody who wrote `text` most likely meant.
fn meant(text: &str, known: &BTreeSet<&'static str>) -> Option<&'static str> {
    let other = OTHER_WORDS.iter().find(|(word, ours)| *word == text && known.contains(ours));
    other.map(|(_, ours)| *ours).or_else(|| nearest(text, known))
}

/// The word that `text` most likely is a slip of.
pub(super) fn nearest<'a>(text: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    let furthest = (text.chars().count() / TYPO_CHARACTERS).clamp(1, TYPO_DISTANCE_MAX);
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= furthest && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}
