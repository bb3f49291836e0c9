//! What is wrong (or unwise) in a configuration, and where.
//!
//! Knows nothing of what the settings mean.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing to mend. Displays on one line: `file:line: key: what, why, what to do`, a zone file's with its column
/// behind the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file it is in; none where a flag or the combination of settings is meant.
    pub file: Option<PathBuf>,
    /// The line in it, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// The character in that line, from 1; 0 where the line as a whole is meant.
    pub column: usize,
    /// What is wrong and what to do, the key's name in front.
    pub message: String,
}

impl Problem {
    /// A problem at that line of that file.
    pub fn at(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line, column: 0, message: message.into() }
    }

    /// A problem that is in no file.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { file: None, line: 0, column: 0, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), 0) => write!(f, "{}: {}", file.display(), self.message),
            (Some(file), line) if self.column == 0 => {
                write!(f, "{}:{line}: {}", file.display(), self.message)
            }
            (Some(file), line) => {
                write!(f, "{}:{line}:{}: {}", file.display(), self.column, self.message)
            }
            (None, _) => f.write_str(&self.message),
        }
    }
}

/// All that is wrong with a configuration, in the order of its lines; never empty. Displays one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

/// An I/O error in words, without the number that the standard library adds.
#[must_use]
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
