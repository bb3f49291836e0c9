//! What a failed call means for the next step.
//!
//! The question that matters: may a write be repeated? Only if it certainly was not done, that is, if no
//! connection was made or etcd says that it turned the call away before proposing it. Any other broken
//! answer leaves it open, and the caller must be told so.
//!
//! Knows nothing of members.

use std::error::Error as _;

use tonic::{Code, ConnectError, Status};

use crate::registry::Error;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Certainly not done: any call may be repeated.
    NotDone(String),
    /// Perhaps done.
    Lost(String),
    /// Not done, for want of a valid token: log in and repeat.
    LoggedOut(String),
    /// Repeating it changes nothing.
    Final(Error),
}

impl Failure {
    /// The same failure of a step that writes nothing.
    pub(super) fn without_effect(self) -> Self {
        match self {
            Self::Lost(why) => Self::NotDone(why),
            other => other,
        }
    }
}

/// What this error means.
pub(super) fn of(error: &etcd_client::Error) -> Failure {
    use etcd_client::Error as Client;
    match error {
        Client::GRpcStatus(status) => of_status(status),
        // The client's words for a lease's TTL of 0.
        Client::LeaseKeepAliveError(why) if why.contains("lease not found") => {
            Failure::Final(Error::LeaseNotFound)
        }
        Client::InvalidArgs(_) | Client::InvalidUri(_) | Client::InvalidMetadataValue(_) => {
            Failure::Final(Error::Refused(error.to_string()))
        }
        _ => Failure::Lost(error.to_string()),
    }
}

/// The answer did not fit into one message: ask for less.
pub(super) fn too_large(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else { return false };
    status.code() == Code::OutOfRange && status.message().contains("message length too large")
}

/// The lease that was asked for by its id is there already.
pub(super) fn lease_exists(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else { return false };
    status.code() == Code::FailedPrecondition && status.message().contains("lease already exists")
}

fn of_status(status: &Status) -> Failure {
    let said = status.message();
    let why = text_of(status);
    match status.code() {
        Code::Unavailable if was_never_sent(status) => Failure::NotDone(why),
        // Turned away at the door, before anything is proposed.
        Code::Unavailable if said == "etcdserver: no leader" => Failure::NotDone(why),
        Code::ResourceExhausted if said == "etcdserver: too many requests" => Failure::NotDone(why),
        Code::Unauthenticated => Failure::LoggedOut(why),
        Code::InvalidArgument
            if said == "etcdserver: user name is empty"
                || said == "etcdserver: revision of auth store is old" =>
        {
            Failure::LoggedOut(why)
        }
        Code::OutOfRange if said.contains("has been compacted") => {
            // etcd does not say here what is still there; 1 claims nothing.
            Failure::Final(Error::Compacted { oldest: 1 })
        }
        Code::NotFound if said.contains("lease not found") => Failure::Final(Error::LeaseNotFound),
        Code::PermissionDenied
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::ResourceExhausted
        | Code::DataLoss => Failure::Final(Error::Refused(why)),
        // Timeouts show as Cancelled, a killed server as Unknown.
        _ => Failure::Lost(why),
    }
}

/// No connection, so nothing went out.
fn was_never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What was said, and the causes that add something to it, on one line.
fn text_of(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: Code, message: &str) -> Failure {
        of(&etcd_client::Error::GRpcStatus(Status::new(code, message)))
    }

    #[test]
    fn only_what_was_never_sent_or_turned_away_counts_as_not_done() {
        let refused = std::io::Error::other("connection refused");
        let unsent = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        let why = "connection refused".to_owned();
        assert_eq!(of(&etcd_client::Error::GRpcStatus(unsent)), Failure::NotDone(why));
        for (code, message) in [
            (Code::Unavailable, "etcdserver: no leader"),
            (Code::ResourceExhausted, "etcdserver: too many requests"),
        ] {
            assert_eq!(said(code, message), Failure::NotDone(message.to_owned()));
        }
        for (code, message) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "error reading a body from connection"),
            (Code::Unknown, "h2 protocol error"),
            (Code::Cancelled, "Timeout expired"),
            (Code::DeadlineExceeded, "context deadline exceeded"),
        ] {
            assert_eq!(said(code, message), Failure::Lost(message.to_owned()));
        }
    }

    #[test]
    fn a_missing_or_old_token_asks_for_a_login() {
        for (code, message) in [
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
            (Code::InvalidArgument, "etcdserver: revision of auth store is old"),
        ] {
            assert_eq!(said(code, message), Failure::LoggedOut(message.to_owned()));
        }
    }

    #[test]
    fn what_an_operator_must_mend_is_refused() {
        for (code, message) in [
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::InvalidArgument, "etcdserver: request is too large"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision"),
        ] {
            assert_eq!(said(code, message), Failure::Final(Error::Refused(message.to_owned())));
        }
    }

    #[test]
    fn leases_and_compactions_have_their_own_errors() {
        let lease = Failure::Final(Error::LeaseNotFound);
        assert_eq!(said(Code::NotFound, "etcdserver: requested lease not found"), lease);
        let ended = etcd_client::Error::LeaseKeepAliveError("lease not found".to_owned());
        assert_eq!(of(&ended), lease);
        let compacted = said(Code::OutOfRange, "mvcc: required revision has been compacted");
        assert!(matches!(compacted, Failure::Final(Error::Compacted { .. })), "{compacted:?}");
    }

    #[test]
    fn too_large_is_told_from_other_ranges() {
        let status =
            |message: &str| etcd_client::Error::GRpcStatus(Status::new(Code::OutOfRange, message));
        assert!(too_large(&status("Error, decoded message length too large: found 5 bytes")));
        assert!(!too_large(&status("etcdserver: mvcc: required revision has been compacted")));
    }
}
