//! What operators hear of certificates: before and at the start, and by metrics as long as the server runs.
//!
//! Knows nothing of what a certificate holds, but how long it is good.

use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::parts::wall_time;
use crate::config::{Config, Problem};
use crate::tls::Identity;

/// What clients will not take of a configuration's certificates, now or soon; each file once.
#[must_use]
pub fn certificate_warnings(config: &Config) -> Vec<Problem> {
    let now = wall_time();
    let mut told = BTreeSet::new();
    let of = |own: &Arc<Identity>| {
        let cert = &own.files().cert;
        let trouble = own.validity().trouble(now)?;
        told.insert(cert.clone()).then(|| Problem::at(cert, 0, trouble))
    };
    config.identities.iter().filter_map(of).collect()
}

/// Says the same in the log.
pub(super) fn warn(config: &Config) {
    for warning in certificate_warnings(config) {
        tracing::warn!("{warning}");
    }
}

/// The certificates of all listeners that have any.
#[derive(Debug)]
pub(super) struct Certificates {
    listeners: Vec<(&'static str, Arc<Identity>)>,
}

/// One figure of a certificate.
type Figure = fn(&Identity) -> f64;

impl Certificates {
    pub(super) fn of(config: &Config) -> Self {
        let (dns, http) = (&config.dns, &config.http);
        let secure = |secure: &Option<crate::dns::Secure>| {
            secure.as_ref().map(|secure| secure.identity.clone())
        };
        let https = dns.https.as_ref().and_then(|https| https.identity.clone());
        let all = [
            ("tls", secure(&dns.tls)),
            ("https", https),
            ("quic", secure(&dns.quic)),
            ("h3", secure(&dns.h3)),
            ("http", http.identity.clone()),
        ];
        let listeners = all.into_iter().filter_map(|(name, own)| Some((name, own?)));
        Self { listeners: listeners.collect() }
    }
}

impl Collector for Certificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures: [(&str, &str, Figure); 2] = [
            (
                "rollcall_tls_certificate_not_after_seconds",
                "When the certificate of a listener ends, in seconds since 1970",
                |own| own.validity().not_after_secs as f64,
            ),
            (
                "rollcall_tls_last_reload_successful",
                "Whether the certificate files of a listener could be used when they were read last",
                |own| f64::from(u8::from(own.is_as_its_files())),
            ),
        ];
        for (name, help, figure) in figures {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (listener, own) in &self.listeners {
                metric.encode_family(&[("listener", *listener)])?.encode_gauge(&figure(own))?;
            }
        }
        Ok(())
    }
}
