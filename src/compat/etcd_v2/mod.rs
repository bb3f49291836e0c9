//! The part of etcd's v2 keys that clients of other systems call (Zan PHP, yeqown's, registrator's): `GET`, `PUT`, `DELETE`
//! and waits on `/v2/keys/...`, since etcd itself has dropped it. What they write lies in our registry under the same
//! octets, where the layouts of other systems read it (`layout::foreign`).
//!
//! ```text
//! octets --request--> Request --keys, write--> registry --follow--> history --wait--> event
//!                        |        decide          |
//!                        +------- fault ----------+-- node --> JSON
//! ```
//!
//! Where it differs from etcd 2, since our registry is like etcd 3:
//!
//! - `X-Etcd-Index` is the registry's revision, and `modifiedIndex` the revision that wrote a key; other users of the
//!   registry let it grow, too. `createdIndex` is always `modifiedIndex` (`node`).
//! - A refresh leaves `modifiedIndex` as it is (`write`).
//! - Only below the prefix of a configured layout there are keys (`places`). Elsewhere reads find nothing, and writes are
//!   refused with error 110.
//! - Folders are implied by keys; empty ones are only remembered (`folders`), and have no time to live.
//! - What others write is told as `set` (`intents`), and what they delete as `expire` if its lease ends with it (`wait`).
//! - A revision that changes several keys at once can't be told (`history`): 401, as where history is gone. That is only
//!   gone when the registry's own is (`recall`).
//! - Keys that the server names (`POST`), `stream`, and waits above several layouts are refused.
//!
//! Knows nothing of sockets, of DNS, and of what values mean.

mod decide;
pub mod fault;
mod folders;
mod follow;
mod history;
mod intents;
mod keys;
mod leases;
mod listener;
mod node;
mod places;
mod recall;
pub mod request;
#[cfg(test)]
mod tests;
mod wait;
mod write;

pub(super) use listener::router;
