//! The numbers in a message's header, for all who write replies.
//!
//! Knows nothing of what they stand for in a zone.

/// Response, authoritative, truncated, recursion desired and available (RFC 1035 section 4.1.1), checking disabled (RFC
/// 4035 section 3.1.6).
pub(in crate::dns) const QR: u16 = 0x8000;
pub(in crate::dns) const AA: u16 = 0x0400;
pub(in crate::dns) const TC: u16 = 0x0200;
pub(in crate::dns) const RD: u16 = 0x0100;
pub(in crate::dns) const RA: u16 = 0x0080;
pub(in crate::dns) const CD: u16 = 0x0010;
/// What a reply copies: opcode, RD, CD.
pub(in crate::dns) const COPIED: u16 = 0x7800 | RD | CD;

pub(in crate::dns) const NOERROR: u16 = 0;
pub(in crate::dns) const FORMERR: u16 = 1;
pub(in crate::dns) const SERVFAIL: u16 = 2;
pub(in crate::dns) const NXDOMAIN: u16 = 3;
pub(in crate::dns) const NOTIMP: u16 = 4;
pub(in crate::dns) const REFUSED: u16 = 5;
/// RFC 2136 section 2.2.
pub(in crate::dns) const NOTAUTH: u16 = 9;
/// RFC 6891 section 9.
pub(in crate::dns) const BADVERS: u16 = 16;
