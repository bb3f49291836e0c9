//! A zone file's text as entries: the tokens of one record or directive, with the line of each.
//!
//! Here comments, parentheses, quotes and escapes end (RFC 1035 section 5.1): what comes after sees tokens.
//! A token keeps its escapes as written, since only its reader knows whether it is a name or a text.
//!
//! Knows nothing of what tokens mean.

use std::iter::Peekable;
use std::str::CharIndices;

use super::Fault;

/// One record or directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Whether it begins with white space, and so belongs to the owner before it.
    pub(super) indented: bool,
    /// Its tokens, at least one.
    pub(super) tokens: Vec<Token>,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Printable ASCII as written, escapes included, quotes not.
    pub(super) text: String,
    /// Whether it stood in quotes.
    pub(super) quoted: bool,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// Cuts a text into entries. After an error it must not be asked again.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    chars: Peekable<CharIndices<'a>>,
    line: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { chars: text.char_indices().peekable(), line: 1 }
    }

    /// The next entry, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let mut entry = Entry { indented: false, tokens: Vec::new() };
        // Line of the parenthesis that is open.
        let mut open = None;
        let mut at_start = true;
        while let Some(&(_, c)) = self.chars.peek() {
            match c {
                '\n' => {
                    self.chars.next();
                    self.line += 1;
                    if open.is_none() {
                        if !entry.tokens.is_empty() {
                            return Ok(Some(entry));
                        }
                        entry.indented = false;
                        at_start = true;
                        continue;
                    }
                }
                ' ' | '\t' | '\r' | '\x0c' => {
                    self.chars.next();
                    entry.indented |= at_start;
                }
                ';' => self.skip_comment(),
                '(' if open.is_some() => {
                    return Err(self.fault("'(' inside parentheses: they do not nest"));
                }
                '(' => {
                    self.chars.next();
                    open = Some(self.line);
                }
                ')' if open.is_none() => return Err(self.fault("')' without '('")),
                ')' => {
                    self.chars.next();
                    open = None;
                }
                '"' => entry.tokens.push(self.quoted()?),
                _ => entry.tokens.push(self.word()?),
            }
            at_start = false;
        }
        if let Some(line) = open {
            return Err(Fault::new(line, "'(' is never closed"));
        }
        Ok((!entry.tokens.is_empty()).then_some(entry))
    }

    fn skip_comment(&mut self) {
        while self.chars.next_if(|(_, c)| *c != '\n').is_some() {}
    }

    /// A token in quotes. Octets outside ASCII become escapes: a text may hold any octets.
    fn quoted(&mut self) -> Result<Token, Fault> {
        let mut text = String::new();
        self.chars.next();
        loop {
            match self.chars.next() {
                None | Some((_, '\n')) => {
                    return Err(self.fault("quote is not closed before the end of the line"));
                }
                Some((_, '"')) => break,
                Some((_, '\\')) => self.escape(&mut text)?,
                Some((_, '\t')) => text.push_str("\\009"),
                Some((_, c)) if c.is_ascii_control() => return Err(self.control(c)),
                Some((_, c)) if !c.is_ascii() => {
                    for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                        push_decimal(&mut text, octet);
                    }
                }
                Some((_, c)) => text.push(c),
            }
        }
        Ok(Token { text, quoted: true, line: self.line })
    }

    /// A token without quotes.
    fn word(&mut self) -> Result<Token, Fault> {
        let mut text = String::new();
        while let Some(&(_, c)) = self.chars.peek() {
            match c {
                '\n' | ' ' | '\t' | '\r' | '\x0c' | ';' | '(' | ')' => break,
                '"' => {
                    return Err(self.fault(
                        "quote inside a word: put the whole word in quotes, or write the quote as \\\"",
                    ));
                }
                '\\' => {
                    self.chars.next();
                    self.escape(&mut text)?;
                }
                c if c.is_ascii_control() => return Err(self.control(c)),
                c if !c.is_ascii() => {
                    return Err(self.fault(format!(
                        "{c:?} outside quotes: write names in their xn-- form and other octets as \\DDD"
                    )));
                }
                c => {
                    self.chars.next();
                    text.push(c);
                }
            }
        }
        Ok(Token { text, quoted: false, line: self.line })
    }

    /// What follows a backslash: three digits up to 255, or one character that stands for itself.
    fn escape(&mut self, text: &mut String) -> Result<(), Fault> {
        let Some((_, first)) = self.chars.next_if(|(_, c)| *c != '\n') else {
            return Err(self.fault("backslash at the end of a line escapes nothing"));
        };
        if !first.is_ascii_digit() {
            return match first {
                ' '..='~' => {
                    text.push('\\');
                    text.push(first);
                    Ok(())
                }
                _ => Err(self.fault(format!("\\{first:?} is no escape: write octets as \\DDD"))),
            };
        }
        let mut value = first as u32 - '0' as u32;
        for _ in 0..2 {
            let Some((_, digit)) = self.chars.next_if(|(_, c)| c.is_ascii_digit()) else {
                return Err(self.fault("escape has fewer than three digits: write it as \\DDD"));
            };
            value = value * 10 + digit as u32 - '0' as u32;
        }
        let Ok(octet) = u8::try_from(value) else {
            return Err(self.fault(format!("escape \\{value} is above \\255")));
        };
        push_decimal(text, octet);
        Ok(())
    }

    fn control(&self, c: char) -> Fault {
        self.fault(format!("control character {c:?}: write it as \\DDD"))
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.line, message)
    }
}

fn push_decimal(text: &mut String, octet: u8) {
    use std::fmt::Write;
    // Writing to a string does not fail.
    let _ = write!(text, "\\{octet:03}");
}
