//! How long a certificate is good, and what to say once it is not, or soon will not be.
//!
//! Knows nothing of files, and reads no clock.

use std::time::{Duration, SystemTime};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// Whoever renews by hand wants to know so long before: the certificate is not good any more when this has passed.
const SOON_DAYS: i64 = 14;
const DAY_SECS: i64 = 86_400;
/// The last second that can be written (RFC 5280 section 4.1.2.5), for certificates that have no end.
const LAST_SECS: i64 = 253_402_300_799;

/// How long a certificate is good, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before_secs: i64,
    /// The last one.
    pub not_after_secs: i64,
}

impl Validity {
    /// That of a certificate, if it is one that TLS takes; otherwise why it is not, and what to do.
    pub(super) fn of(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|_| "is no certificate that can be used: it is cut or broken".to_owned())?;
        let version = certificate.version();
        if version != X509Version::V3 {
            // Counted from 0 where it is written.
            let number = version.0.saturating_add(1);
            return Err(format!(
                "is X.509 version {number}: make it with a subjectAltName (version 3)"
            ));
        }
        let validity = certificate.validity();
        Ok(Self {
            not_before_secs: validity.not_before.timestamp(),
            not_after_secs: validity.not_after.timestamp(),
        })
    }

    /// What is wrong with a certificate at that time, or soon will be, in words that follow its file's name.
    #[must_use]
    pub fn trouble(&self, now: SystemTime) -> Option<String> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(LAST_SECS);
        let left = self.not_after_secs.saturating_sub(now);
        let end = date(self.not_after_secs);
        if left < 0 {
            Some(format!("the certificate expired on {end}: clients refuse it, renew it"))
        } else if now < self.not_before_secs {
            let begin = date(self.not_before_secs);
            Some(format!(
                "the certificate is not valid before {begin}: clients refuse it until then, unless it is the clock \
                 of this machine that is wrong"
            ))
        } else if left < SOON_DAYS * DAY_SECS {
            let days = left / DAY_SECS;
            Some(format!("the certificate expires on {end}, in {days} days: renew it"))
        } else {
            None
        }
    }
}

/// A time as people read it.
fn date(secs: i64) -> String {
    let since = Duration::from_secs(secs.clamp(0, LAST_SECS).unsigned_abs());
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_or_soon_will_be_is_told() {
        let validity = Validity { not_before_secs: 1_000_000_000, not_after_secs: 1_100_000_000 };
        let trouble = |secs: i64| {
            let since = Duration::from_secs(secs.unsigned_abs());
            validity.trouble(SystemTime::UNIX_EPOCH + since).unwrap_or_default()
        };
        assert!(trouble(999_999_999).contains("not valid before 2001-09-09T01:46:40Z"));
        assert_eq!(trouble(1_000_000_000), "");
        assert_eq!(trouble(1_100_000_000 - SOON_DAYS * DAY_SECS), "");
        let soon = trouble(1_100_000_000 - SOON_DAYS * DAY_SECS + 1);
        assert!(soon.contains("expires on 2004-11-09T11:33:20Z, in 13 days"), "{soon}");
        assert!(trouble(1_100_000_000).contains("in 0 days"), "its last second");
        let over = trouble(1_100_000_001);
        assert!(over.contains("expired on 2004-11-09T11:33:20Z"), "{over}");
        let endless = Validity { not_before_secs: -1, not_after_secs: i64::MAX };
        assert_eq!(endless.trouble(SystemTime::UNIX_EPOCH), None);
        assert_eq!(date(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
