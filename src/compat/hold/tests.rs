//! Holding against a registry in memory, under a clock of our own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::compat::Files;

/// Files in memory.
#[derive(Default)]
pub(super) struct Disk(Mutex<HashMap<String, Vec<u8>>>);

impl Files for Disk {
    fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("data").join(name)
    }
}
