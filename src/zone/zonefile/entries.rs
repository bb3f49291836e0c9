//! A zone file's text as entries: the tokens of one record or directive, with the place of each.
//!
//! Here comments, parentheses, quotes and escapes end (RFC 1035 section 5.1): what comes after sees tokens.
//! A token keeps its escapes as written, since only its reader knows whether it is a name or a text.
//!
//! Knows nothing of what tokens mean.

use std::iter::Peekable;
use std::str::Chars;

use super::{Fault, Place};

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
    /// Where it begins.
    pub(super) place: Place,
}

/// Cuts a text into entries. After an error it goes on with the next one.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    chars: Peekable<Chars<'a>>,
    /// The place of the next character.
    here: Place,
    /// Where the parenthesis stands that is open.
    open: Option<Place>,
}

impl<'a> Entries<'a> {
    /// The entries of that file's text.
    pub(super) fn new(file: u16, text: &'a str) -> Self {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            chars: text.chars().peekable(),
            here: Place { file, line: 1, column: 1 },
            open: None,
        }
    }

    /// The next entry, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        let entry = self.entry();
        if entry.is_err() {
            self.recover();
        }
        entry
    }

    fn entry(&mut self) -> Result<Option<Entry>, Fault> {
        let mut entry = Entry { indented: false, tokens: Vec::new() };
        let mut at_start = true;
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.bump();
                    if self.open.is_none() {
                        if !entry.tokens.is_empty() {
                            return Ok(Some(entry));
                        }
                        entry.indented = false;
                        at_start = true;
                        continue;
                    }
                }
                ' ' | '\t' | '\r' | '\x0c' => {
                    self.bump();
                    entry.indented |= at_start;
                }
                ';' => self.skip_comment(),
                '(' if self.open.is_some() => {
                    return Err(self.fault("'(' inside parentheses: they do not nest"));
                }
                '(' => {
                    self.open = Some(self.here);
                    self.bump();
                }
                ')' if self.open.is_none() => return Err(self.fault("')' without '('")),
                ')' => {
                    self.bump();
                    self.open = None;
                }
                '"' => entry.tokens.push(self.quoted()?),
                _ => entry.tokens.push(self.word()?),
            }
            at_start = false;
        }
        if let Some(place) = self.open {
            return Err(Fault::new(place, "'(' is never closed"));
        }
        Ok((!entry.tokens.is_empty()).then_some(entry))
    }

    /// Goes to the end of what could not be read, parentheses included, lest the rest be read amiss.
    fn recover(&mut self) {
        let mut open = self.open.take().is_some();
        while let Some(c) = self.bump_if(|c| open || c != '\n') {
            match c {
                ';' => self.skip_comment(),
                c => open &= c != ')',
            }
        }
    }

    fn skip_comment(&mut self) {
        while self.bump_if(|c| c != '\n').is_some() {}
    }

    /// A token in quotes. Octets outside ASCII become escapes: a text may hold any octets.
    fn quoted(&mut self) -> Result<Token, Fault> {
        let place = self.here;
        let mut text = String::new();
        self.bump();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    let message = "quote is not closed before the end of the line";
                    return Err(Fault::new(place, message));
                }
                Some('\\') => {
                    self.escape(&mut text)?;
                    continue;
                }
                Some('"') => {
                    self.bump();
                    break;
                }
                Some('\t') => text.push_str("\\009"),
                Some(c) if c.is_ascii_control() => return Err(self.control(c)),
                Some(c) if !c.is_ascii() => {
                    for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                        push_decimal(&mut text, octet);
                    }
                }
                Some(c) => text.push(c),
            }
            self.bump();
        }
        Ok(Token { text, quoted: true, place })
    }

    /// A token without quotes.
    fn word(&mut self) -> Result<Token, Fault> {
        let place = self.here;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\n' | ' ' | '\t' | '\r' | '\x0c' | ';' | '(' | ')' => break,
                '"' => {
                    return Err(self.fault(
                        "quote inside a word: put the whole word in quotes, or write the quote as \\\"",
                    ));
                }
                '\\' => self.escape(&mut text)?,
                c if c.is_ascii_control() => return Err(self.control(c)),
                c if !c.is_ascii() => {
                    return Err(self.fault(format!(
                        "{c:?} outside quotes: write names in their xn-- form and other octets as \\DDD"
                    )));
                }
                c => {
                    self.bump();
                    text.push(c);
                }
            }
        }
        Ok(Token { text, quoted: false, place })
    }

    /// A backslash and what follows it: three digits up to 255, or one character that stands for itself.
    fn escape(&mut self, text: &mut String) -> Result<(), Fault> {
        let place = self.here;
        self.bump();
        let Some(first) = self.bump_if(|c| c != '\n') else {
            return Err(Fault::new(place, "backslash at the end of a line escapes nothing"));
        };
        if !first.is_ascii_digit() {
            return match first {
                ' '..='~' => {
                    text.push('\\');
                    text.push(first);
                    Ok(())
                }
                _ => {
                    let message = format!("\\{first:?} is no escape: write octets as \\DDD");
                    Err(Fault::new(place, message))
                }
            };
        }
        let mut value = first as u32 - '0' as u32;
        for _ in 0..2 {
            let Some(digit) = self.bump_if(|c| c.is_ascii_digit()) else {
                let message = "escape has fewer than three digits: write it as \\DDD";
                return Err(Fault::new(place, message));
            };
            value = value * 10 + digit as u32 - '0' as u32;
        }
        let Ok(octet) = u8::try_from(value) else {
            return Err(Fault::new(place, format!("escape \\{value} is above \\255")));
        };
        push_decimal(text, octet);
        Ok(())
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().copied()
    }

    fn bump(&mut self) -> Option<char> {
        self.bump_if(|_| true)
    }

    fn bump_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let c = self.chars.next_if(|c| wanted(*c))?;
        if c == '\n' {
            self.here.line += 1;
            self.here.column = 1;
        } else {
            self.here.column += 1;
        }
        Some(c)
    }

    fn control(&self, c: char) -> Fault {
        self.fault(format!("control character {c:?}: write it as \\DDD"))
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.here, message)
    }
}

fn push_decimal(text: &mut String, octet: u8) {
    use std::fmt::Write;
    // Writing to a string does not fail.
    let _ = write!(text, "\\{octet:03}");
}
