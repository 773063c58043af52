//! Disk: what a simulated directory keeps, and what a power failure leaves of it.
//!
//! What a program reads is the *cache*; what is there after a power failure is the *disk*. A write changes the cache
//! and leaves a version of each 512-byte sector that it touched *pending*, until a sync of that file. Names are pending
//! too, until the names are synced. A power failure keeps, of each sector, the disk's bytes or any pending version; of
//! each length, the old one or a pending one; of the names, a prefix of the changes (a journal) or any subset of them
//! (no journal at all). Sectors are never torn inside. A killed process loses nothing.

use crate::coin::Coin;
use crate::ledger::Ledger;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub const SECTOR: usize = 512;

pub type Sector = Arc<[u8; SECTOR]>;

#[derive(Debug, Clone)]
pub enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String, usize),
}

/// How names are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Changes reach the disk in order.
    Journal,
    /// Each for itself.
    Scattered,
}

#[derive(Debug, Clone, Default)]
pub struct Inode {
    pub cache: Arc<Vec<u8>>,
    disk: Arc<Vec<u8>>,
    /// Versions of a sector that are not on disk yet, oldest first.
    pending: BTreeMap<usize, Vec<Sector>>,
    disk_length: usize,
    pending_lengths: Vec<usize>,
    pub modified_ns: u64,
}

impl Inode {
    fn sector(&self, index: usize) -> Sector {
        let mut sector = [0; SECTOR];
        let start = index * SECTOR;
        let end = self.cache.len().min(start + SECTOR);
        sector[..end - start].copy_from_slice(&self.cache[start..end]);
        Arc::new(sector)
    }

    pub fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        let cache = Arc::make_mut(&mut self.cache);
        if end > cache.len() {
            cache.resize(end, 0);
            self.pending_lengths.push(end);
        }
        cache[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            for index in offset / SECTOR..=(end - 1) / SECTOR {
                let sector = self.sector(index);
                self.pending.entry(index).or_default().push(sector);
            }
        }
        self.modified_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    }

    fn put_on_disk(&mut self, index: usize, sector: &Sector) {
        let disk = Arc::make_mut(&mut self.disk);
        let start = index * SECTOR;
        disk.resize(disk.len().max(start + SECTOR), 0);
        disk[start..start + SECTOR].copy_from_slice(&**sector);
    }

    /// What a sync has to bring to the disk: the newest version of each sector, and the length.
    pub fn newest(&self) -> (Vec<(usize, Sector)>, usize) {
        let newest = |(index, versions): (&usize, &Vec<Sector>)| Some((*index, versions.last()?.clone()));
        (self.pending.iter().filter_map(newest).collect(), self.cache.len())
    }

    pub fn settle(&mut self, sectors: &[(usize, Sector)], length: usize) {
        for (index, sector) in sectors {
            let Some(versions) = self.pending.get_mut(index) else { continue };
            // Not there: another sync, which began later, has brought a newer one.
            let Some(at) = versions.iter().position(|version| Arc::ptr_eq(version, sector)) else { continue };
            versions.drain(..=at);
            if versions.is_empty() {
                self.pending.remove(index);
            }
            self.put_on_disk(*index, sector);
        }
        self.disk_length = self.disk_length.max(length);
        self.pending_lengths.retain(|pending| *pending > length);
    }

    pub fn lose_pages(&mut self, coin: &mut Coin) {
        for (index, versions) in std::mem::take(&mut self.pending) {
            if let (Some(newest), true) = (versions.last(), coin.percent(25)) {
                self.put_on_disk(index, newest);
            }
        }
    }

    /// The file after a power failure; a pending sector gets to the disk with this chance.
    fn after_power_failure(&self, coin: &mut Coin, chance: u64) -> Self {
        let mut file = self.clone();
        for (index, versions) in std::mem::take(&mut file.pending) {
            if coin.percent(chance) {
                let at = if coin.percent(70) { versions.len() - 1 } else { coin.below(versions.len() as u64) as usize };
                file.put_on_disk(index, &versions[at]);
            }
        }
        for length in std::mem::take(&mut file.pending_lengths) {
            if coin.percent(chance) {
                file.disk_length = length;
            }
        }
        Arc::make_mut(&mut file.disk).resize(file.disk_length, 0);
        file.cache = file.disk.clone();
        file
    }
}

/// All files and names, and what had been promised.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub inodes: Vec<Inode>,
    pub names: BTreeMap<String, usize>,
    pub disk_names: BTreeMap<String, usize>,
    pub changes: Vec<NameChange>,
    pub ledger: Arc<Ledger>,
}

impl Image {
    /// What is there after a power failure.
    pub fn after_power_failure(&self, coin: &mut Coin, names: Names) -> Self {
        let chance = [0, 10, 50, 50, 90, 100][coin.below(6) as usize];
        let mut after = self.clone();
        let changes = std::mem::take(&mut after.changes);
        let prefix = coin.below(changes.len() as u64 + 1) as usize;
        let mut kept = after.disk_names;
        for (index, change) in changes.into_iter().enumerate() {
            if if names == Names::Journal { index >= prefix } else { !coin.percent(chance) } {
                continue;
            }
            match change {
                NameChange::Create(name, inode) => _ = kept.insert(name, inode),
                NameChange::Rename(from, to, inode) => {
                    if kept.get(&from) == Some(&inode) {
                        kept.remove(&from);
                    }
                    kept.insert(to, inode);
                }
                NameChange::Remove(name, inode) => {
                    if kept.get(&name) == Some(&inode) {
                        kept.remove(&name);
                    }
                }
            }
        }
        (after.names, after.disk_names) = (kept.clone(), kept);
        for inode in &mut after.inodes {
            *inode = inode.after_power_failure(coin, chance);
        }
        after
    }

    /// The bytes of a file, as a program reads them.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.names.get(name).map_or_else(Vec::new, |inode| self.inodes[*inode].cache.to_vec())
    }

    /// A file that is on disk, name and all.
    pub fn put(&mut self, name: &str, bytes: Vec<u8>) {
        let disk = Arc::new(bytes);
        let inode = Inode { disk_length: disk.len(), cache: disk.clone(), disk, ..Inode::default() };
        self.inodes.push(inode);
        self.names.insert(name.into(), self.inodes.len() - 1);
        self.disk_names.insert(name.into(), self.inodes.len() - 1);
    }

    pub fn used_bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].cache.len() as u64).sum()
    }
}

/// The state after one operation.
#[derive(Debug, Clone)]
pub struct Moment {
    pub image: Image,
    pub step: u64,
    pub operation: String,
}
