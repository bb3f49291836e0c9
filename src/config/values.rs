//! Single values of a configuration file: what each kind may look like, and what is said when it does not.
//!
//! Knows nothing of which setting it reads.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

/// Why a value can't be taken.
#[derive(Debug)]
pub(super) struct ValueError {
    /// Its place in an array.
    pub(super) item: Option<usize>,
    /// Where it is, if not where the key's value begins.
    pub(super) span: Option<Range<usize>>,
    /// The rule, in words that follow the key's name.
    pub(super) message: String,
}

impl ValueError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { item: None, span: None, message: message.into() }
    }
}

/// A text.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, ValueError> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        other => Err(wrong_type("a text in quotes", other)),
    }
}

/// A text that is not empty.
pub(super) fn filled(value: &DeValue<'_>) -> Result<String, ValueError> {
    let text = text(value)?;
    if text.is_empty() { Err(ValueError::new("must not be empty")) } else { Ok(text) }
}

/// True or false.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, ValueError> {
    match value {
        DeValue::Boolean(flag) => Ok(*flag),
        other => Err(wrong_type("true or false", other)),
    }
}

/// A text that the type itself can read; its error follows the key's name.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Result<T, ValueError> {
    let text = text(value)?;
    text.parse().map_err(|error| ValueError::new(format!("{error}, got {text:?}")))
}

/// An address with port.
pub(super) fn socket_address(value: &DeValue<'_>) -> Result<std::net::SocketAddr, ValueError> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        ValueError::new(format!(
            "must be an IP address with port such as \"127.0.0.1:1053\" or \"[::1]:1053\", got {text:?}"
        ))
    })
}

/// A whole number within bounds.
pub(super) fn whole<T: TryFrom<i64>>(
    bounds: RangeInclusive<i64>,
) -> impl Fn(&DeValue<'_>) -> Result<T, ValueError> {
    move |value| {
        let DeValue::Integer(digits) = value else {
            return Err(wrong_type("a whole number", value));
        };
        i64::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .filter(|number| bounds.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let (min, max) = (bounds.start(), bounds.end());
                ValueError::new(format!("must be {min} to {max}, got {digits}"))
            })
    }
}

/// A length of time within bounds, such as "5s" or "500ms".
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Result<Duration, ValueError> {
    move |value| {
        let DeValue::String(text) = value else {
            return Err(wrong_type("a length of time such as \"5s\"", value));
        };
        let length = humantime::parse_duration(text).map_err(|_| {
            let message =
                format!("must be a length of time such as \"500ms\" or \"5s\", got {text:?}");
            ValueError::new(message)
        })?;
        if bounds.contains(&length) {
            return Ok(length);
        }
        let shown = |length: &Duration| humantime::format_duration(*length).to_string();
        let (min, max) = (shown(bounds.start()), shown(bounds.end()));
        Err(ValueError::new(format!("must be {min} to {max}, got {text}")))
    }
}

/// A length of time in whole seconds.
pub(super) fn whole_secs(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Result<u32, ValueError> {
    let read = duration(bounds);
    move |value| {
        let length = read(value)?;
        u32::try_from(length.as_secs())
            .ok()
            .filter(|_| length.subsec_nanos() == 0)
            .ok_or_else(|| ValueError::new("must be whole seconds"))
    }
}

/// A list of at most `max` values.
pub(super) fn list<T>(
    max: usize,
    read: impl Fn(&DeValue<'_>) -> Result<T, ValueError>,
) -> impl Fn(&DeValue<'_>) -> Result<Vec<T>, ValueError> {
    move |value| {
        let items = match value {
            DeValue::Array(items) => items,
            DeValue::String(text) => {
                return Err(wrong_type(&format!("a list such as [{text:?}]"), value));
            }
            _ => return Err(wrong_type("a list", value)),
        };
        if items.len() > max {
            return Err(ValueError::new(format!("must hold at most {max}, got {}", items.len())));
        }
        let mut all = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            all.push(read(item.get_ref()).map_err(|error| ValueError {
                item: Some(i),
                span: Some(item.span()),
                ..error
            })?);
        }
        Ok(all)
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Result<T, ValueError> {
    move |value| {
        let text = text(value)?;
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            ValueError::new(format!("must be {}, got {text:?}", known.join(" or ")))
        })
    }
}

fn wrong_type(wanted: &str, got: &DeValue<'_>) -> ValueError {
    let got = match got {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    ValueError::new(format!("must be {wanted}, got {got}"))
}
