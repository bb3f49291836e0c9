//! What a benchmark has to say: printed as it comes, and written to `target/bench/NAME.txt` and `NAME.json`.
//!
//! Tables are Markdown, so that they can stand in docs/performance.md as they are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, ContentArrangement, Table as Layout, presets::ASCII_MARKDOWN};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::machine;

/// The folder of results and of what benchmarks leave behind.
pub(crate) fn folder() -> PathBuf {
    // Cargo names target/tmp, wherever target is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent");
    target.join("bench")
}

/// The report of one benchmark.
pub(crate) struct Report {
    name: &'static str,
    text: String,
    values: Map<String, Value>,
}

impl Report {
    /// Begins with the machine, the day, and the command that makes this report.
    pub(crate) fn new(name: &'static str, arguments: &[String]) -> Self {
        let mut report = Self { name, text: String::new(), values: Map::new() };
        let command = match arguments {
            [] => format!("./dev bench {name}"),
            some => format!("./dev bench {name} -- {}", some.join(" ")),
        };
        report.line(&format!("{command}, {}, {}", machine::today(), machine::describe()));
        report.set("command", command);
        report.set("date", machine::today());
        report.set("machine", machine::describe());
        report
    }

    /// A line for people.
    pub(crate) fn line(&mut self, line: &str) {
        say(line);
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A table for people, under its title; for programs a list of objects, under the key.
    pub(crate) fn table(&mut self, key: &str, title: &str, table: &Table) {
        self.line(&format!("\n{title}\n\n{}", table.layout()));
        self.values.insert(key.to_owned(), table.values());
    }

    /// A value for programs only.
    pub(crate) fn set(&mut self, key: &str, value: impl Serialize) {
        self.values.insert(key.to_owned(), json!(value));
    }

    /// Writes both files.
    pub(crate) fn finish(self) {
        let write = |ending: &str, octets: &[u8]| {
            let name = format!("{}.{ending}", self.name);
            std::fs::create_dir_all(folder()).expect("target/ can be written to");
            std::fs::write(folder().join(&name), octets).expect("target/bench/ can be written to");
            name
        };
        let mut values = serde_json::to_vec_pretty(&self.values).expect("values are plain");
        values.push(b'\n');
        let (text, values) = (write("txt", self.text.as_bytes()), write("json", &values));
        say(&format!("\nwritten to target/bench: {text}, {values}"));
    }
}

/// Rows of cells under headings.
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { headings: headings.iter().map(|&text| text.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.headings.len(), "a cell for each heading");
        self.rows.push(cells);
    }

    fn layout(&self) -> Layout {
        let mut layout = Layout::new();
        layout.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        layout.set_header(&self.headings);
        for row in &self.rows {
            layout.add_row(row.iter().map(|cell| {
                let right = cell.value.is_number() || cell.value.is_null();
                let side = if right { CellAlignment::Right } else { CellAlignment::Left };
                comfy_table::Cell::new(&cell.text).set_alignment(side)
            }));
        }
        layout
    }

    fn values(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let values = row.iter().map(|cell| cell.value.clone());
            Value::Object(self.headings.iter().cloned().zip(values).collect())
        };
        self.rows.iter().map(object).collect()
    }
}

/// What stands in a table: a text for people, a value for programs.
#[derive(Clone)]
pub(crate) struct Cell {
    text: String,
    value: Value,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { value: Value::String(text.clone()), text }
    }

    /// A number, with so many digits behind the point and a space between thousands.
    pub(crate) fn number(value: f64, digits: usize) -> Self {
        let plain = format!("{value:.digits$}");
        let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
        let mut text = String::new();
        for (i, digit) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % 3 == 0 && !text.ends_with('-') {
                text.push(' ');
            }
            text.push(digit);
        }
        let _ = write!(text, "{rest}");
        Self { text, value: json!(plain.parse::<f64>().unwrap_or(value)) }
    }

    /// Nothing to tell.
    pub(crate) fn none() -> Self {
        Self { text: "-".to_owned(), value: Value::Null }
    }
}

/// Writes a line to standard output, or what goes on while a report is made.
#[allow(clippy::print_stdout, reason = "a benchmark's report")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Writes a line that belongs to no report: progress, and what could not be measured.
#[allow(clippy::print_stderr, reason = "progress does not belong into the report")]
pub(crate) fn note(line: &str) {
    eprintln!("bench: {line}");
}
