//! An app as registered, and which of its instances are this host's.
//!
//! Knows nothing of what is to be done with them.

use std::net::IpAddr;

use hyper::{Method, StatusCode};

use super::client::{Client, ClientError, Target};
use super::error::Error;
use super::ls::read;
use super::replies::{App, Instance};
use crate::host;

/// The app, if there is one.
pub(super) async fn find(client: &Client, app: &str) -> Result<Option<App>, Error> {
    match client.send(Method::GET, Target::new(&["apps", app]), None).await {
        Ok(reply) => read(reply).map(Some),
        // A mark may be made before the first registration.
        Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What commands call the instances with an address of this host. Loopback counts only where the server is on this
/// host too: in another's registry it is the other's.
pub(super) async fn here(
    client: &Client,
    app: &str,
    instances: &[Instance],
) -> Result<Vec<String>, Error> {
    let loopback = client.local_address().await?.is_loopback();
    let mut own = host::own_addresses();
    own.retain(|address| loopback || !address.is_loopback());
    let is_own = |text: &String| text.parse::<IpAddr>().is_ok_and(|address| own.contains(&address));
    let is_here = |instance: &&Instance| {
        let endpoints = instance.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        instance.addresses.iter().chain(endpoints).any(is_own)
    };
    let ids: Vec<_> =
        instances.iter().filter(is_here).map(|instance| instance.name().to_owned()).collect();
    if ids.is_empty() {
        let own: Vec<_> = own.iter().map(ToString::to_string).collect();
        let own = own.join(", ");
        return Err(Error::Refused(format!(
            "{app} has no instance with an address of this host ({own})"
        )));
    }
    Ok(ids)
}
