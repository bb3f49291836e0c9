//! Durations as Go's `time.ParseDuration` reads them, and as Consul takes them: `10s`, `1m0s`, `60000ms`, `1.5h`.
//!
//! In bodies a field of a check is such a text, or a number, which is then of nanoseconds (hashicorp/consul,
//! agent/structs/check_definition.go); in a query (`wait=`) it is a text alone (agent/http.go). A bare number in a text has no
//! unit and is refused, 0 apart. What is below 0 is refused here: Go has such durations, and a check with one never ends.
//!
//! Knows nothing of what a duration is for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration as Go and Consul write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map_err(|why| format!("{why}, got {text:?}"))
    }
}

impl fmt::Display for GoDuration {
    /// As Go writes it: `1m0s`, `1.5s`, `20ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let small = [(1_000_000_u32, "ms"), (1_000, "us"), (1, "ns")];
        if secs == 0 && nanos > 0 {
            let (unit, name) =
                small.into_iter().find(|(unit, _)| nanos >= *unit).unwrap_or((1, "ns"));
            return write!(f, "{}{name}", f64::from(nanos) / f64::from(unit));
        }
        let (hours, minutes) = (secs / 3_600, secs / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let rest = Duration::new(secs % 60, nanos);
        write!(f, "{}s", rest.as_secs_f64())
    }
}

/// `[+-](number unit)...`, each number with a fraction or without.
fn parse(text: &str) -> Result<GoDuration, &'static str> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(GoDuration(Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(WANTED);
    }
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let (whole, behind) = split_where(rest, |c| !c.is_ascii_digit());
        let (fraction, behind) = match behind.strip_prefix('.') {
            Some(behind) => split_where(behind, |c| !c.is_ascii_digit()),
            None => ("", behind),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(WANTED);
        }
        let (unit, behind) = split_where(behind, |c| c == '.' || c.is_ascii_digit());
        let unit = nanos_of(unit)?;
        nanos = whole_nanos(whole, unit)
            .and_then(|whole| nanos.checked_add(whole + fraction_nanos(fraction, unit)))
            .filter(|nanos| *nanos <= NANOS_MAX)
            .ok_or("a duration must be less than 292 years")?;
        rest = behind;
    }
    if negative && nanos > 0 {
        return Err("a duration must not be below 0");
    }
    u64::try_from(nanos).map(|nanos| GoDuration(Duration::from_nanos(nanos))).map_err(|_| WANTED)
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at_checked(text.find(ends).unwrap_or(text.len())).unwrap_or((text, ""))
}

fn nanos_of(unit: &str) -> Result<u64, &'static str> {
    const MICRO: u64 = 1_000;
    const MILLI: u64 = 1_000 * MICRO;
    const SECOND: u64 = 1_000 * MILLI;
    Ok(match unit {
        "ns" => 1,
        // With the sign for micro, and with the Greek letter that looks like it.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICRO,
        "ms" => MILLI,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "" => return Err("a duration must have a unit (ns, us, ms, s, m, h)"),
        _ => return Err("a duration must have a unit that is known (ns, us, ms, s, m, h)"),
    })
}

/// None for more than a duration can be.
fn whole_nanos(digits: &str, unit: u64) -> Option<u128> {
    let number: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(u128::from(number) * u128::from(unit))
}

/// What digits behind a point are of a unit. Those behind the 18th are less than a nanosecond of any.
fn fraction_nanos(digits: &str, unit: u64) -> u128 {
    let mut scale = 1_u128;
    let mut fraction = 0_u128;
    for digit in digits.bytes().take(18) {
        fraction = fraction * 10 + u128::from(digit.wrapping_sub(b'0'));
        scale *= 10;
    }
    fraction * u128::from(unit) / scale
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"10s\", or a number of nanoseconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, nanos: u64) -> Result<GoDuration, E> {
                if u128::from(nanos) > NANOS_MAX {
                    return Err(E::custom("a duration must be less than 292 years"));
                }
                Ok(GoDuration(Duration::from_nanos(nanos)))
            }

            fn visit_i64<E: de::Error>(self, nanos: i64) -> Result<GoDuration, E> {
                let nanos = nanos.try_into().map_err(|_| {
                    E::custom(format!("a duration must not be below 0, got {nanos}"))
                })?;
                self.visit_u64(nanos)
            }

            // 1e10, which some clients make of a large number, is an integer to JSON and a float to its readers.
            fn visit_f64<E: de::Error>(self, nanos: f64) -> Result<GoDuration, E> {
                Duration::try_from_secs_f64(nanos / 1e9)
                    .ok()
                    .filter(|duration| duration.as_nanos() <= NANOS_MAX)
                    .map(GoDuration)
                    .ok_or_else(|| E::custom(format!("{nanos} nanoseconds are no duration")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const WANTED: &str = "a duration must be written like 10s, 1m0s or 1.5h";
/// Go counts nanoseconds in 63 bits.
const NANOS_MAX: u128 = i64::MAX as u128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("10s", 10_000_000_000),
            ("+5s", 5_000_000_000),
            ("1m0s", 60_000_000_000),
            ("1m5s", 65_000_000_000),
            ("60000ms", 60_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1h15m30.918s", 4_530_918_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1s500ms", 1_500_000_000),
            ("5us", 5_000),
            ("5\u{b5}s", 5_000),
            ("5\u{3bc}s", 5_000),
            ("7ns", 7),
            ("0.9ns", 0),
            ("0.100000000000000000000h", 360_000_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("9223372036854775807ns", i64::MAX as u64),
        ] {
            let is = text.parse::<GoDuration>();
            assert_eq!(is, Ok(GoDuration(Duration::from_nanos(nanos))), "{text:?}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_and_so_is_what_never_ends() {
        for (text, why) in [
            ("", "must be written like"),
            ("-", "must be written like"),
            (".s", "must be written like"),
            ("s", "must be written like"),
            ("10", "must have a unit (ns"),
            ("1.5", "must have a unit (ns"),
            ("1s5", "must have a unit (ns"),
            ("10 s", "unit that is known"),
            ("10S", "unit that is known"),
            ("1d", "unit that is known"),
            ("10s ", "unit that is known"),
            ("1e3s", "unit that is known"),
            ("-10s", "must not be below 0, got \"-10s\""),
            ("--1s", "must be written like"),
            ("9223372036854775808ns", "less than 292 years"),
            ("9223372036854775807h", "less than 292 years"),
            ("99999999999999999999s", "less than 292 years"),
            ("2562047h48m", "less than 292 years"),
        ] {
            let refused = text.parse::<GoDuration>().unwrap_err();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for text in [
            "0s",
            "10s",
            "1m0s",
            "1m5s",
            "1h0m0s",
            "1.5s",
            "1m0.25s",
            "20ms",
            "1.5us",
            "7ns",
            "87600h0m0s",
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn numbers_of_json_are_nanoseconds() {
        let told = |json: &str| serde_json::from_str::<GoDuration>(json).map_err(|e| e.to_string());
        for (json, nanos) in [
            ("\"15s\"", 15_000_000_000),
            ("10000000000", 10_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("1e10", 10_000_000_000),
            ("1.5e9", 1_500_000_000),
        ] {
            assert_eq!(told(json), Ok(GoDuration(Duration::from_nanos(nanos))), "{json}");
        }
        for (json, why) in [
            ("-5", "must not be below 0, got -5"),
            ("-1e10", "are no duration"),
            ("1e300", "are no duration"),
            ("9223372036854775808", "less than 292 years"),
            ("\"10\"", "must have a unit"),
            ("\"\"", "must be written like"),
            ("true", "expected a duration such as"),
            ("{}", "expected a duration such as"),
        ] {
            let refused = told(json).unwrap_err();
            assert!(refused.contains(why), "{json}: {refused}");
        }
        assert_eq!(serde_json::from_str::<Option<GoDuration>>("null").unwrap(), None);
    }
}
