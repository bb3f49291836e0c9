//! Server-sent events, as far as the API uses them (WHATWG HTML section 9.2.6).
//!
//! Knows nothing of what events mean.

use std::mem;

/// Longest line, and most data of one event: an instance with all it may hold is far below.
const OCTETS_MAX: usize = 1 << 20;

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Where to resume after it.
    pub(super) id: Option<String>,
    /// Its type.
    pub(super) kind: String,
    /// Its content.
    pub(super) data: String,
}

/// Cuts octets, as they come, into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    event: Event,
}

/// A line, or an event, is longer than any that the API writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes the next octets and gives the events that they complete. One without data is no event: it only
    /// says where to resume.
    pub(super) fn feed(&mut self, octets: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut rest = octets;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.extend(&rest[..end])?;
            rest = &rest[end + 1..];
            let line = mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.end_line(line.trim_end_matches('\r'))?);
        }
        self.extend(rest)?;
        Ok(events)
    }

    fn extend(&mut self, octets: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + octets.len() > OCTETS_MAX {
            return Err(TooLong);
        }
        self.line.extend_from_slice(octets);
        Ok(())
    }

    fn end_line(&mut self, line: &str) -> Result<Option<Event>, TooLong> {
        if line.is_empty() {
            let event = mem::take(&mut self.event);
            return Ok((!event.data.is_empty() || event.id.is_some()).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.kind),
            "data" if self.event.data.is_empty() => value.clone_into(&mut self.event.data),
            "data" if self.event.data.len() + value.len() >= OCTETS_MAX => return Err(TooLong),
            "data" => {
                self.event.data.push('\n');
                self.event.data.push_str(value);
            }
            // A comment has an empty field name; unknown fields are to be ignored.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b": watching from 7\nid: 1.7.0\n\nid: 1.8.0\nevent: registered\ndata: {\"a\":\ndata: 1}\n\n\
                            : \n\nevent: reset\r\ndata:{}\r\n\r\nretry: 9\n\n";

    fn expected() -> Vec<Event> {
        let event = |id: Option<&str>, kind: &str, data: &str| Event {
            id: id.map(Into::into),
            kind: kind.into(),
            data: data.into(),
        };
        vec![
            event(Some("1.7.0"), "", ""),
            event(Some("1.8.0"), "registered", "{\"a\":\n1}"),
            event(None, "reset", "{}"),
        ]
    }

    #[test]
    fn events_are_cut_wherever_the_octets_are() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let pieces = STREAM.chunks(size).flat_map(|piece| parser.feed(piece).unwrap());
            assert_eq!(pieces.collect::<Vec<_>>(), expected(), "pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let line = format!("data: {}\n", "x".repeat(OCTETS_MAX / 4));
        let mut parser = Parser::default();
        assert_eq!((0..5).find_map(|_| parser.feed(line.as_bytes()).err()), Some(TooLong));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; OCTETS_MAX]), Ok(vec![]));
        assert_eq!(parser.feed(b"x"), Err(TooLong));
    }
}
