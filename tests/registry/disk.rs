//! A disk that can lose its power or fail: what was written since the last sync may then be there, or not, or
//! in part, and in any order.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;
use tokio::sync::Notify;

/// Handles of one disk share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    platter: Arc<Mutex<Platter>>,
    gate: Arc<Gate>,
}

/// Where syncs wait while they are held.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
    arrived: Notify,
}

/// Holds syncs until it is dropped.
pub(crate) struct Held(Arc<Gate>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.is_closed.lock().unwrap() = false;
        self.0.opened.notify_all();
    }
}

#[derive(Debug, Default)]
struct Platter {
    /// What surely survives.
    durable: Vec<u8>,
    /// What a reader sees.
    current: Vec<u8>,
    /// What lies between the two.
    unsynced: Vec<Effect>,
    /// Writes and syncs until nothing works any more.
    fuse: Option<u32>,
    is_dead: bool,
    /// The next write panics.
    is_cursed: bool,
    syncs: u32,
}

#[derive(Debug)]
enum Effect {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Effect {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                // A write that survived without the growth before it has grown the file all the same.
                let end = offset + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// What of it got to the platter when the power went.
    fn survive(&self, bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
        match (random.u8(..4), self) {
            (0, _) => {}
            (1, Self::Write(offset, data)) => {
                Self::Write(*offset, data[..random.usize(..=data.len())].to_vec()).apply(bytes);
            }
            (2, Self::Write(offset, data)) => {
                for (n, sector) in data.chunks(SECTOR).enumerate().filter(|_| random.bool()) {
                    Self::Write(offset + n * SECTOR, sector.to_vec()).apply(bytes);
                }
            }
            _ => self.apply(bytes),
        }
    }
}

impl Disk {
    /// Everything fails after that many more writes and syncs; the last one may have done a part of its work.
    pub(crate) fn fail_after(&self, fuse: u32) {
        self.platter().fuse = Some(fuse);
    }

    /// Whether it came to that.
    pub(crate) fn has_failed(&self) -> bool {
        self.platter().is_dead
    }

    /// From now on a sync waits until what this returns is dropped.
    pub(crate) fn hold_syncs(&self) -> Held {
        *self.gate.is_closed.lock().unwrap() = true;
        Held(Arc::clone(&self.gate))
    }

    /// Waits until a sync waits.
    pub(crate) async fn sync_is_held(&self) {
        self.gate.arrived.notified().await;
    }

    /// The next write panics, as a broken database may.
    pub(crate) fn panic_on_write(&self) {
        self.platter().is_cursed = true;
    }

    /// Syncs so far.
    pub(crate) fn syncs(&self) -> u32 {
        self.platter().syncs
    }

    /// The disk as it is found when the power is back.
    pub(crate) fn after_crash(&self, random: &mut fastrand::Rng) -> Self {
        let platter = self.platter();
        let mut bytes = platter.durable.clone();
        for effect in &platter.unsynced {
            effect.survive(&mut bytes, random);
        }
        let (durable, current) = (bytes.clone(), bytes);
        let platter = Platter { durable, current, ..Platter::default() };
        Self { platter: Arc::new(Mutex::new(platter)), gate: Arc::default() }
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap()
    }
}

impl Gate {
    fn pass(&self) {
        let mut is_closed = self.is_closed.lock().unwrap();
        while *is_closed {
            self.arrived.notify_one();
            is_closed = self.opened.wait(is_closed).unwrap();
        }
    }
}

impl Platter {
    fn check(&self) -> io::Result<()> {
        if self.is_dead { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn burn(&mut self) -> io::Result<()> {
        if let Some(fuse) = &mut self.fuse {
            self.is_dead = *fuse == 0;
            *fuse = fuse.saturating_sub(1);
        }
        self.check()
    }

    fn change(&mut self, effect: Effect) -> io::Result<()> {
        self.check()?;
        effect.apply(&mut self.current);
        self.unsynced.push(effect);
        self.burn()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let platter = self.platter();
        platter.check()?;
        Ok(platter.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter();
        platter.check()?;
        let offset = offset as usize;
        let found = platter.current.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platter().change(Effect::Length(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        let mut platter = self.platter();
        platter.syncs += 1;
        platter.burn()?;
        let platter = &mut *platter;
        for effect in platter.unsynced.drain(..) {
            effect.apply(&mut platter.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let is_cursed = std::mem::take(&mut self.platter().is_cursed);
        assert!(!is_cursed, "a panic that the test asked for");
        self.platter().change(Effect::Write(offset as usize, data.to_vec()))
    }
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
