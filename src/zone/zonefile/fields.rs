//! What a token may be: a name, a time, a class, a type.
//!
//! Knows nothing of entries and of what was read before.

use std::str::FromStr;

use domain::base::iana::{Class, Rtype};

use super::entries::Token;
use super::{Fault, types};

/// Longest time to live (RFC 2181 section 8).
const TTL_SECS_MAX: u32 = i32::MAX as u32;
/// Longest name as text: 255 octets, each an escape.
pub(super) const NAME_CHARS_MAX: usize = 4 * 255;

/// A token that is a name.
pub(super) fn name(token: &Token) -> Result<&str, Fault> {
    if token.quoted {
        return Err(Fault::new(token.place, "name in quotes"));
    }
    if token.text.len() > NAME_CHARS_MAX {
        return Err(Fault::new(token.place, "name is longer than a name may be"));
    }
    // domain 0.12 takes these in, and their octets are no name.
    if has_empty_label(&token.text) {
        return Err(Fault::new(token.place, "name has an empty label: two dots, or one in front"));
    }
    Ok(&token.text)
}

/// Whether nothing stands between two dots that are not escaped, or in front of the first.
fn has_empty_label(name: &str) -> bool {
    let mut empty = true;
    let mut octets = name.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'.' && empty {
            return name != ".";
        }
        empty = octet == b'.';
        if octet == b'\\' {
            // Of `\DDD` the digits behind are as good as other characters.
            octets.next();
        }
    }
    false
}

/// Whether a name ends in a dot that is not escaped.
pub(super) fn is_absolute(name: &str) -> bool {
    let Some(before) = name.strip_suffix('.') else { return false };
    // After `\DDD` come digits, so only a run of backslashes straight before the dot can escape it.
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    backslashes % 2 == 0
}

/// Which fields of a type's data are names, of the types that `domain` reads by their fields.
pub(super) fn is_name(rtype: u16, field: usize, data: &[Token]) -> bool {
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2..=5 | 7..=9 | 12 => field == 0,
        // SOA, MINFO, RP
        types::SOA | 14 | 17 => field < 2,
        // MX, SVCB, HTTPS
        15 | 64 | 65 => field == 1,
        // SRV
        33 => field == 3,
        // NAPTR
        35 => field == 5,
        // IPSECKEY, whose second field says what the fourth is (RFC 4025 section 2.3)
        45 => field == 3 && data[1].text == "3",
        _ => false,
    }
}

/// Whether `domain` reads a type's data by their fields, of the types that are served. All others are octets.
pub(super) fn has_text_form(rtype: u16) -> bool {
    // A to MR, HINFO to TXT but for NULL, then RP, AAAA, SRV, NAPTR, SSHFP, IPSECKEY, TLSA, OPENPGPKEY, SVCB, HTTPS,
    // CAA.
    matches!(rtype, 1..=9 | 12..=17 | 28 | 33 | 35 | 44 | 45 | 52 | 61 | 64 | 65 | 257)
}

/// The class that a token is, if it is one.
pub(super) fn class_of(text: &str) -> Option<Class> {
    // `ANY` and `NONE` are classes of questions and updates; `ANY` would be taken for a type's mnemonic.
    Class::from_str(text).ok()
}

/// The type that a token is.
pub(super) fn rtype(token: &Token) -> Result<Rtype, Fault> {
    if token.quoted {
        return Err(Fault::new(token.place, "type in quotes"));
    }
    Rtype::from_str(&token.text).map_err(|_| {
        let message = format!("{:?} is no type: unknown ones are TYPEnnn", token.text);
        Fault::new(token.place, message)
    })
}

/// A token that is a time: seconds, bare or in units of weeks to seconds (`1w2d`, `1h`).
pub(super) fn time(token: &Token) -> Result<u32, Fault> {
    duration(&token.text).ok_or_else(|| {
        let message = format!(
            "{:?} is no time: write seconds or units (90, 1h30m), at most {TTL_SECS_MAX} s (RFC 2181 section 8)",
            token.text
        );
        Fault::new(token.place, message)
    })
}

fn duration(text: &str) -> Option<u32> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        let (unit, after) = match rest[digits..].chars().next() {
            // A bare number only as the whole.
            None if digits == text.len() => (1, ""),
            Some(c) => {
                let unit = match c.to_ascii_lowercase() {
                    's' => 1,
                    'm' => 60,
                    'h' => 3_600,
                    'd' => 86_400,
                    'w' => 604_800,
                    _ => return None,
                };
                (unit, &rest[digits + c.len_utf8()..])
            }
            None => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = after;
    }
    u32::try_from(total).ok().filter(|secs| !text.is_empty() && *secs <= TTL_SECS_MAX)
}
