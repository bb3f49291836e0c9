//! Why something that was held is taken away, and what that means to whoever else holds the same.
//!
//! Knows nothing of how it is taken away.

/// Why. Notes say it in these words, and are told apart by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::compat) enum Reason {
    /// Its client says so, of an id that means the same wherever it registered.
    Unregistered,
    /// Its client says so, of what it registered here.
    Deregistered,
    /// Its port does not answer.
    Closed,
    /// Nothing was heard of it.
    Silent,
    /// Its checks take it out.
    Critical,
    /// It is registered otherwise.
    Changed,
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::Unregistered,
        Self::Deregistered,
        Self::Closed,
        Self::Silent,
        Self::Critical,
        Self::Changed,
    ];

    /// What its note says.
    pub(in crate::compat) const fn text(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Deregistered => "deregistered",
            Self::Closed => "its port does not answer",
            Self::Silent => "nothing was heard of it any more",
            Self::Critical => "its checks took it out",
            Self::Changed => "its agent changed it",
        }
    }

    /// Whether a client wants it gone. Else whoever holds the same has a word of its own on that.
    pub(super) const fn is_said(self) -> bool {
        matches!(self, Self::Unregistered | Self::Deregistered)
    }

    /// Whether an equal registration goes too that another server holds.
    pub(super) const fn is_everywhere(self) -> bool {
        matches!(self, Self::Unregistered)
    }

    /// The reason of that text, where it is one of ours.
    pub(super) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.text() == text)
    }
}
