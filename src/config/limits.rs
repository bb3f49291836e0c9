//! The section of reply-rate limiting, and the secrets of cookies.
//!
//! The bounds of a setting stand where it is read, and in the comments of `default.toml`.

use super::problem::Problem;
use super::reader::Section;
use super::secrets::read_text;
use super::sections::{path, secret};
use super::values::{ValueError, flag, list, parsed, whole, word};
use crate::dns;
use crate::dns::answer::cookie::{SECRET_OCTETS, Secrets};
use crate::dns::limit::{Limits, Mode};
use crate::model::{Nets, net};

/// Networks that an operator lists by hand.
const NETS_MAX: usize = 100;
/// A rate above this limits nobody.
const RATE_MAX: i64 = 1_000_000;

/// Reads `[dns.rate_limit]`.
pub(super) fn rate_limit(section: Section<'_>, limits: &mut Limits) {
    section.set(
        "mode",
        &mut limits.mode,
        word(&[("off", Mode::Off), ("observe", Mode::Observe), ("on", Mode::On)]),
    );
    section.set("replies_per_second", &mut limits.replies_per_second, whole(1..=RATE_MAX));
    section.set("negatives_per_second", &mut limits.negatives_per_second, whole(1..=RATE_MAX));
    section.set("all_per_second", &mut limits.all_per_second, whole(1..=RATE_MAX));
    section.set("slip", &mut limits.slip, whole(0..=100));
    section.set("ipv4_prefix", &mut limits.ipv4_prefix, whole(8..=32));
    section.set("ipv6_prefix", &mut limits.ipv6_prefix, whole(16..=128));
    section.set("exempt", &mut limits.exempt, |value| {
        let nets = list(NETS_MAX, |value| {
            let text = parsed::<String>(value)?;
            net(&text).map_err(|rule| ValueError::new(format!("{text:?} {rule}")))
        })(value)?;
        Ok(Nets::new(nets))
    });
    section.set("accounts", &mut limits.accounts, whole(1_024..=16_777_216));
    section.finish();
}

/// Reads what cookies are made with.
pub(super) fn cookies(section: &Section<'_>, dns: &mut dns::Settings, warnings: &mut Vec<Problem>) {
    section.set("cookies", &mut dns.cookies, flag);
    let files = section.get("cookie_secret_files", |value| {
        let files = list(2, path)(value)?;
        if files.is_empty() { Err(ValueError::new("must hold at least one")) } else { Ok(files) }
    });
    let mut secrets = Vec::new();
    for file in files.iter().flatten() {
        let key = "cookie_secret_files";
        let Some(text) = secret(section, key, (file, read_text), warnings) else { return };
        let octets = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        match octets.and_then(|octets| <[u8; SECRET_OCTETS]>::try_from(octets).ok()) {
            Some(octets) => secrets.push(octets),
            None => section.report(
                key,
                format!(
                    "{}: is no secret for cookies: give 32 hexadecimal digits and nothing else, such as \
                     'openssl rand -hex 16' makes",
                    file.display()
                ),
            ),
        }
    }
    if let [newest, rest @ ..] = secrets.as_slice() {
        dns.cookie_secrets = Some(Secrets::new(*newest, rest.first().copied()));
    }
}
