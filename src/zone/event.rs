//! What happened to instances, for those who watch.

use std::fmt;
use std::sync::Arc;

use crate::layout::{Note, Registration};
use crate::model::{AppName, Namespace, RawId};
use crate::registry::{LeaseId, Revision};

/// Why an instance came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Registered under an id that was free.
    Registered,
    /// Its registration was written anew with another content or lease.
    Changed,
    /// Deregistered by its owner or an operator.
    Departed,
    /// Its lease ended, or its key was deleted by another program.
    Expired,
    /// Marked offline. Without an id: the whole app.
    Offline,
    /// The mark was taken away. Without an id: from the whole app.
    Online,
}

impl Cause {
    /// Its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Changed => "changed",
            Self::Departed => "departed",
            Self::Expired => "expired",
            Self::Offline => "offline",
            Self::Online => "online",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One change of one instance, or of a whole app's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The revision that made it.
    pub revision: Revision,
    /// Why.
    pub cause: Cause,
    /// Where the app lives.
    pub namespace: Namespace,
    /// The app.
    pub app: AppName,
    /// The instance's raw id; none: the whole app.
    pub id: Option<RawId>,
    /// The registration: the new one, or that which went. None for marks on what is not registered.
    pub registration: Option<Arc<Registration>>,
    /// The lease that holds (or held) the registration.
    pub lease: Option<LeaseId>,
    /// Who and why, where it was said.
    pub note: Option<Note>,
}
