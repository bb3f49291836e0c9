//! All that is printed: results on standard output, everything else on standard error.
//!
//! Text from the registry may hold anything; control characters in it are escaped before they reach a
//! terminal. JSON escapes them by itself.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use super::error::{Error, Outcome};

/// Characters of a cell that are shown; JSON has all.
const CELL_CHARS_MAX: usize = 1_000;

/// A line of the result.
pub(super) fn line(text: &str) -> Result<(), Error> {
    put(|out| writeln!(out, "{}", printable(text)))
}

/// A text of several lines that is ours, as it is.
pub(super) fn text(text: &[u8]) -> Result<(), Error> {
    put(|out| out.write_all(text))
}

/// One JSON object on one line.
pub(super) fn json(value: &Value) -> Result<(), Error> {
    put(|out| writeln!(out, "{value}"))
}

/// A table for people.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> Result<(), Error> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_FULL_CONDENSED).set_header(header.to_vec());
    table.add_rows(rows.iter().map(|row| row.iter().map(|text| cell(text)).collect::<Vec<_>>()));
    put(|out| writeln!(out, "{table}"))
}

/// Something to know besides the result. If nobody can hear it, nothing is lost by that.
pub(super) fn note(text: &str) {
    for text in text.lines() {
        let _ = writeln!(io::stderr().lock(), "rollcall: {}", printable(text));
    }
}

/// Why a command failed.
pub(super) fn failure(error: &Error) {
    if !matches!(error, Error::OutputClosed) {
        note(&error.to_string());
    }
}

/// Help, the version, or what is wrong with the command line.
pub(super) fn usage(error: &clap::Error) -> Outcome {
    match error.print() {
        Ok(()) => Ok(u8::try_from(error.exit_code()).unwrap_or(2)),
        Err(error) => Err(from_io(&error)),
    }
}

fn put(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    write(&mut out).and_then(|()| out.flush()).map_err(|error| from_io(&error))
}

fn from_io(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Error::OutputClosed
    } else {
        Error::Output(format!("cannot write the output: {error}"))
    }
}

/// A cell of a table, which makes all rows as wide as itself.
fn cell(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}...", printable(text.get(..end).unwrap_or_default())),
        None => printable(text),
    }
}

fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_makes_a_table_wider_than_anybody_reads() {
        assert_eq!(cell(&"ü".repeat(CELL_CHARS_MAX)), "ü".repeat(CELL_CHARS_MAX));
        let long = cell(&"ü".repeat(1_000_000));
        assert_eq!(long, format!("{}...", "ü".repeat(CELL_CHARS_MAX)));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\nü"), "a\\u{1b}[31m\\nü");
    }
}
