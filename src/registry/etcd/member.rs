//! One member: its connection, and the login on it.
//!
//! Knows nothing of the other members.

use std::sync::atomic::{AtomicBool, Ordering};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::sync::Mutex;

use super::failure::{self, Failure};
use crate::registry::{Error, EtcdSettings, Tls};

/// A member, with a connection of its own, made when first used and again when it broke.
pub(super) struct Member {
    url: String,
    client: Client,
    credentials: Option<(String, String)>,
    logged_in: AtomicBool,
    /// Held while logging in, so that calls which need it at once log in once.
    login: Mutex<()>,
}

impl Member {
    pub(super) async fn new(
        url: &str,
        settings: &EtcdSettings,
        tls: Option<TlsOptions>,
    ) -> Result<Self, Error> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(settings.connect_timeout)
            .with_keep_alive(settings.keep_alive_interval, settings.keep_alive_timeout)
            // Ends watches on a member that is cut off from its leader; they would go stale in silence.
            .with_require_leader(true);
        if let Some(tls) = tls {
            options = options.with_tls(tls);
        }
        // Without the user: with it, the client would log in now, and fail if etcd is down.
        let client = Client::connect([url], Some(options)).await.map_err(|error| {
            Error::Refused(format!("cannot use etcd endpoint {url}: {}", with_causes(&error)))
        })?;
        Ok(Self {
            url: url.to_owned(),
            client,
            credentials: settings.credentials.clone(),
            logged_in: AtomicBool::new(settings.credentials.is_none()),
            login: Mutex::new(()),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Presents the credentials, if there are any and etcd has not taken them yet.
    pub(super) async fn log_in(&self) -> Result<(), Failure> {
        if self.logged_in.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one_at_a_time = self.login.lock().await;
        if self.logged_in.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.client.clone().update_user(self.credentials.clone()).await {
            Ok(()) => {}
            // Credentials may be configured before authentication is switched on. Once it is, calls without
            // a token are turned away, and that brings us here again.
            Err(error) if error.to_string().contains("authentication is not enabled") => {}
            Err(error) => return Err(failure::of(&error).without_effect()),
        }
        self.logged_in.store(true, Ordering::Release);
        Ok(())
    }

    /// The token was not accepted: the next call logs in anew. False if there is nothing to log in with.
    pub(super) fn log_out(&self) -> bool {
        let has_credentials = self.credentials.is_some();
        self.logged_in.store(!has_credentials, Ordering::Release);
        has_credentials
    }
}

/// TLS as the settings want it; none if no URL asks for it.
pub(super) async fn tls_options(settings: &EtcdSettings) -> Result<Option<TlsOptions>, Error> {
    // A handshake that hangs would otherwise hold up all calls to come, not only its own.
    let bounded = TlsOptions::new().timeout(settings.connect_timeout);
    let Some(tls) = &settings.tls else {
        let any = settings.endpoints.iter().any(|url| url.starts_with("https://"));
        return Ok(any.then(|| bounded.with_native_roots()));
    };
    let Tls { ca_file, cert_file, key_file, server_name } = tls;
    let mut options = match ca_file {
        // Given a CA, no other is trusted.
        Some(file) => bounded.ca_certificate(Certificate::from_pem(read(file).await?)),
        None => bounded.with_native_roots(),
    };
    match (cert_file, key_file) {
        (Some(cert), Some(key)) => {
            options = options.identity(Identity::from_pem(read(cert).await?, read(key).await?));
        }
        (None, None) => {}
        _ => {
            let why = "etcd tls: cert_file and key_file belong together: give both or neither";
            return Err(Error::Refused(why.to_owned()));
        }
    }
    if let Some(name) = server_name {
        options = options.domain_name(name);
    }
    Ok(Some(options))
}

async fn read(file: &std::path::Path) -> Result<Vec<u8>, Error> {
    let failed =
        |why| Error::Refused(format!("cannot read etcd tls file {}: {why}", file.display()));
    tokio::fs::read(file).await.map_err(failed)
}

/// An error and, since the client's transport errors keep what happened to themselves, its causes.
fn with_causes(error: &etcd_client::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let etcd_client::Error::TransportError(outer) = error else { return text };
    let mut cause = outer.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
