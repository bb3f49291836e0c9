//! The Tars encoding: a structure is its fields one behind the other, each of a head and what the head's type asks for
//! (TarsCloud/TarsDocs_en, base/tars-protocol.md section 2.1; TarsCloud/TarsCpp, servant/tup/Tars.h).
//!
//! ```text
//! head:  tag (4 bits) | type (4 bits) [| tag (8 bits), where the first is 15]
//!
//!  0 to 3  integer of 1, 2, 4, 8 octets        8  map: its size, as an integer with a head, then keys (tag 0) and values (1)
//!       4  float, 4 octets                     9  list: its size likewise, then elements (tag 0)
//!       5  double, 8 octets                   10  structure: its fields, up to a head of type 11
//!       6  text behind 1 octet of length      12  the integer 0
//!       7  text behind 4 octets of length     13  octets: a head of type 0, their number likewise, and they
//! ```
//!
//! Numbers are big-endian, and written in as few octets as hold them. A field that is not known is passed over.
//!
//! Whatever the octets are, reading them ends: every value takes one at least, and values lie in each other to a fixed
//! depth. Nothing is copied and nothing is allocated for a size that is only claimed.
//!
//! Knows nothing of what structures there are.

const INT1: u8 = 0;
const INT2: u8 = 1;
const INT4: u8 = 2;
const INT8: u8 = 3;
const FLOAT: u8 = 4;
const DOUBLE: u8 = 5;
const TEXT1: u8 = 6;
const TEXT4: u8 = 7;
const MAP: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 10;
const STRUCT_END: u8 = 11;
const ZERO: u8 = 12;
const OCTETS: u8 = 13;

/// What a head can't hold in its first octet: it stands in one of its own then.
const TAG_LONG: u8 = 15;
/// How deep values may lie in each other: what servers send to their node has 2 levels, and what later versions may add is
/// passed over.
const DEPTH_MAX: u8 = 16;

const TRUNCATED: &str = "it ends within a field";

/// A value, with its octets where they arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Integer(i64),
    /// A float or a double: nothing that is read here is one.
    Fraction,
    Text(&'a [u8]),
    Octets(&'a [u8]),
    /// Keys and values by turns, with tags 0 and 1.
    Map(Fields<'a>),
    List,
    Struct(Fields<'a>),
}

/// Fields that are still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The next field's tag and value; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u8, Value<'a>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (kind, tag) = self.head()?;
        Ok(Some((tag, self.value(kind, 0)?)))
    }

    /// The value of one field, wherever it stands.
    pub(super) fn find(mut self, wanted: u8) -> Result<Option<Value<'a>>, String> {
        while let Some((tag, value)) = self.next()? {
            if tag == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The value of one key, of a map with texts for keys.
    pub(super) fn find_key(mut self, wanted: &str) -> Result<Option<Value<'a>>, String> {
        while let Some((_, key)) = self.next()? {
            let Some((_, value)) = self.next()? else { break };
            if key == Value::Text(wanted.as_bytes()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn head(&mut self) -> Result<(u8, u8), String> {
        let [first] = self.array()?;
        let (tag, kind) = (first >> 4, first & 0x0f);
        if tag < TAG_LONG {
            return Ok((kind, tag));
        }
        let [tag] = self.array()?;
        Ok((kind, tag))
    }

    fn value(&mut self, kind: u8, depth: u8) -> Result<Value<'a>, String> {
        if depth > DEPTH_MAX {
            return Err(format!("values lie more than {DEPTH_MAX} deep in each other"));
        }
        Ok(match kind {
            INT1 | INT2 | INT4 | INT8 | ZERO => Value::Integer(self.integer(kind)?),
            FLOAT => self.octets(4).map(|_| Value::Fraction)?,
            DOUBLE => self.octets(8).map(|_| Value::Fraction)?,
            TEXT1 => {
                let [octets] = self.array()?;
                Value::Text(self.octets(octets.into())?)
            }
            TEXT4 => {
                let octets = u32::from_be_bytes(self.array()?);
                Value::Text(self.octets(octets.try_into().map_err(|_| TRUNCATED)?)?)
            }
            MAP => {
                let size = self.size()?;
                let start = *self;
                for _ in 0..size {
                    self.pass_over(depth)?;
                    self.pass_over(depth)?;
                }
                Value::Map(start.before(*self))
            }
            LIST => {
                for _ in 0..self.size()? {
                    self.pass_over(depth)?;
                }
                Value::List
            }
            STRUCT => {
                let start = *self;
                loop {
                    let inside = start.before(*self);
                    let (kind, _) = self.head()?;
                    if kind == STRUCT_END {
                        break Value::Struct(inside);
                    }
                    self.value(kind, depth + 1)?;
                }
            }
            OCTETS => {
                let (kind, _) = self.head()?;
                if kind != INT1 {
                    return Err(format!("a list of type {kind} is written as one of octets"));
                }
                let size = self.size()?;
                Value::Octets(self.octets(size)?)
            }
            STRUCT_END => return Err("a structure ends that has not begun".to_owned()),
            _ => return Err(format!("there is no type {kind}")),
        })
    }

    /// Reads a field that lies in a value, to know where it ends.
    fn pass_over(&mut self, depth: u8) -> Result<(), String> {
        let (kind, _) = self.head()?;
        self.value(kind, depth + 1).map(drop)
    }

    /// The size of a list or a map.
    fn size(&mut self) -> Result<usize, String> {
        let (kind, _) = self.head()?;
        let size = self.integer(kind)?;
        size.try_into().map_err(|_| format!("{size} can't be the size of anything"))
    }

    fn integer(&mut self, kind: u8) -> Result<i64, String> {
        Ok(match kind {
            ZERO => 0,
            INT1 => i8::from_be_bytes(self.array()?).into(),
            INT2 => i16::from_be_bytes(self.array()?).into(),
            INT4 => i32::from_be_bytes(self.array()?).into(),
            INT8 => i64::from_be_bytes(self.array()?),
            _ => return Err(format!("type {kind} stands where an integer must")),
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*array)
    }

    fn octets(&mut self, octets: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(octets).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    /// What has been read since: `later` is `self`, read further.
    fn before(self, later: Self) -> Self {
        let octets = self.rest.len().saturating_sub(later.rest.len());
        Self { rest: self.rest.get(..octets).unwrap_or_default() }
    }
}

/// Fields as they are written, in the order of their tags.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn integer(&mut self, tag: u8, number: i64) {
        if number == 0 {
            self.head(ZERO, tag);
        } else if let Ok(number) = i8::try_from(number) {
            self.head(INT1, tag);
            self.0.extend(number.to_be_bytes());
        } else if let Ok(number) = i16::try_from(number) {
            self.head(INT2, tag);
            self.0.extend(number.to_be_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            self.head(INT4, tag);
            self.0.extend(number.to_be_bytes());
        } else {
            self.head(INT8, tag);
            self.0.extend(number.to_be_bytes());
        }
    }

    pub(super) fn text(&mut self, tag: u8, text: &[u8]) {
        if let Ok(octets) = u8::try_from(text.len()) {
            self.head(TEXT1, tag);
            self.0.push(octets);
        } else {
            self.head(TEXT4, tag);
            self.0.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        self.0.extend(text);
    }

    pub(super) fn octets(&mut self, tag: u8, octets: &[u8]) {
        self.head(OCTETS, tag);
        self.head(INT1, 0);
        self.size(octets.len());
        self.0.extend(octets);
    }

    /// The head of a map, whose keys (tag 0) and values (tag 1) are written next.
    pub(super) fn map(&mut self, tag: u8, size: usize) {
        self.head(MAP, tag);
        self.size(size);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn size(&mut self, size: usize) {
        self.integer(0, size.try_into().unwrap_or(i64::MAX));
    }

    fn head(&mut self, kind: u8, tag: u8) {
        if tag < TAG_LONG {
            self.0.push((tag << 4) | kind);
        } else {
            self.0.extend([(TAG_LONG << 4) | kind, tag]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of `octets` in one line, or what is wrong with them.
    fn told(octets: &[u8]) -> String {
        fn tell(mut fields: Fields<'_>) -> Result<String, String> {
            let mut told = Vec::new();
            while let Some((tag, value)) = fields.next()? {
                told.push(match value {
                    Value::Map(inside) => format!("{tag}:map({})", tell(inside)?),
                    Value::Struct(inside) => format!("{tag}:struct({})", tell(inside)?),
                    Value::Text(text) => format!("{tag}:{:?}", String::from_utf8_lossy(text)),
                    Value::Integer(number) => format!("{tag}:{number}"),
                    Value::Octets(octets) => format!("{tag}:{octets:?}"),
                    other => format!("{tag}:{other:?}"),
                });
            }
            Ok(told.join(" "))
        }
        tell(Fields::new(octets)).unwrap_or_else(|fault| format!("fault: {fault}"))
    }

    #[test]
    fn every_type_is_read() {
        for (octets, is) in [
            (&[][..], ""),
            (&[0x10, 0xff], "1:-1"),
            (&[0x11, 0x01, 0x00], "1:256"),
            (&[0x12, 0xff, 0xff, 0x00, 0x00], "1:-65536"),
            (&[0x13, 0, 0, 0, 1, 0, 0, 0, 0], "1:4294967296"),
            (&[0x14, 0, 0, 0, 0, 0x2c], "1:Fraction 2:0"),
            (&[0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0x2c], "1:Fraction 2:0"),
            (&[0x06, 2, b'h', b'i', 0x16, 0], "0:\"hi\" 1:\"\""),
            (&[0x07, 0, 0, 0, 2, b'h', b'i'], "0:\"hi\""),
            (&[0x08, 0x00, 1, 0x06, 1, b'k', 0x1c, 0x2c], "0:map(0:\"k\" 1:0) 2:0"),
            (&[0x98, 0x0c], "9:map()"),
            (&[0x09, 0x00, 2, 0x0c, 0x06, 1, b'x', 0x1c], "0:List 1:0"),
            (&[0x0a, 0x0c, 0x1a, 0x0b, 0x0b, 0x2c], "0:struct(0:0 1:struct()) 2:0"),
            (&[0x0d, 0x00, 0x00, 2, 7, 8], "0:[7, 8]"),
            (&[0x0d, 0x00, 0x0c], "0:[]"),
            (&[0xfc, 0x0f, 0xf0, 0xff, 3], "15:0 255:3"),
        ] {
            assert_eq!(told(octets), is, "{octets:02x?}");
        }
    }

    #[test]
    fn what_is_no_encoding_is_refused() {
        for (octets, why) in [
            (&[0x10][..], "ends within"),
            (&[0xf0], "ends within"),
            (&[0x13, 0, 0], "ends within"),
            (&[0x14, 0, 0, 0], "ends within"),
            (&[0x06, 3, b'h', b'i'], "ends within"),
            (&[0x07, 0xff, 0xff, 0xff, 0xff, b'h'], "ends within"),
            (&[0x08, 0x00, 1, 0x0c], "ends within"),
            (&[0x08, 0x02, 0x7f, 0xff, 0xff, 0xff, 0x0c, 0x1c], "ends within"),
            (&[0x08, 0x00, 0xff], "-1 can't be the size"),
            (&[0x09, 0x06, 0], "type 6 stands where an integer"),
            (&[0x0a, 0x0c], "ends within"),
            (&[0x0b], "has not begun"),
            (&[0x0d, 0x02, 0x0c], "a list of type 2"),
            (&[0x0d, 0x00, 0x00, 9, 1], "ends within"),
            (&[0x0e], "no type 14"),
            (&[0x0f], "no type 15"),
        ] {
            assert!(told(octets).contains(why), "{octets:02x?}: {}", told(octets));
        }
    }

    #[test]
    fn values_lie_in_each_other_to_a_fixed_depth() {
        let nested = |depth| [vec![0x0a; depth], vec![0x0b; depth]].concat();
        let deepest = usize::from(DEPTH_MAX) + 1;
        assert!(Fields::new(&nested(deepest)).find(0).is_ok());
        for deep in [nested(deepest + 1), vec![0x0a; 60_000], [0x09, 0x00, 1].repeat(20_000)] {
            let fault = Fields::new(&deep).find(9).unwrap_err();
            assert!(fault.contains("deep in each other"), "{fault}");
        }
    }

    #[test]
    fn fields_are_found_by_tag_and_by_key() {
        let fields = Fields::new(&[0x2c, 0x10, 7, 0x16, 0]);
        assert_eq!(fields.find(1), Ok(Some(Value::Integer(7))));
        assert_eq!(fields.find(3), Ok(None));
        let entries = Fields::new(&[0x06, 1, b'a', 0x1c, 0x06, 1, b'b', 0x10, 9]);
        assert_eq!(entries.find_key("b"), Ok(Some(Value::Integer(9))));
        assert_eq!(entries.find_key("c"), Ok(None));
    }

    #[test]
    fn what_is_written_reads_the_same_and_is_as_short_as_can_be() {
        let mut writer = Writer::default();
        for (tag, number) in
            [(0, 0), (1, -128), (2, 128), (3, -32768), (4, 32768), (14, i64::from(u32::MAX))]
        {
            writer.integer(tag, number);
        }
        writer.text(15, &[b'x'; 255]);
        writer.text(16, &[b'y'; 256]);
        writer.octets(17, &[1, 2]);
        writer.map(18, 1);
        writer.text(0, b"k");
        writer.integer(1, 0);
        let octets = writer.finish();
        let numbers = "0:0 1:-128 2:128 3:-32768 4:32768 14:4294967295";
        let texts = format!("15:{:?} 16:{:?}", "x".repeat(255), "y".repeat(256));
        assert_eq!(told(&octets), format!("{numbers} {texts} 17:[1, 2] 18:map(0:\"k\" 1:0)"));
        let heads_and_numbers = 1 + 2 + 3 + 3 + 5 + 9;
        let texts = (2 + 1 + 255) + (2 + 4 + 256);
        assert_eq!(octets.len(), heads_and_numbers + texts + (2 + 1 + 2 + 2) + (2 + 2 + 3 + 1));
    }
}
