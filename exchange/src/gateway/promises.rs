//! Promises: which accounts are to lose their orders when their session ends, kept where a killed gateway leaves them.
//!
//! ```text
//! 0  "TRPROMIS"   8 zeros   16 + account: u8, 1 while a session of that account has cancel on disconnect
//! ```
//! A promise is written before the login is answered, and taken back when the mass cancel that it stands for is on disk.
//! A byte changes as a whole whoever dies, so what a gateway finds when it starts is what the one before owed:
//! it may cancel once too often, never once too seldom. The file has its whole length, written, from the start: a full disk
//! must not end a gateway because somebody logs in.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tailrace_core::error::{Code, Error, Result};

const MAGIC: &[u8; 8] = b"TRPROMIS";
const HEAD: u64 = 16;

/// The file of promises.
pub struct Promises {
    file: File,
    path: PathBuf,
}

impl Promises {
    /// Opens or makes the file at `path` for accounts below `account_count`, and says which are owed a mass cancel.
    ///
    /// # Errors
    /// FOREIGN: it is something else; IO, PERMISSION.
    pub fn open(path: &Path, account_count: u32) -> Result<(Self, Vec<u32>)> {
        let refused = |cause: std::io::Error| refused(path, cause);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(refused)?;
        let length = file.metadata().map_err(refused)?.len();
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0).map_err(refused)?;
        if bytes.len() < HEAD as usize {
            // Nothing was promised before the head was whole.
            let mut head = [0; HEAD as usize];
            head[..MAGIC.len()].copy_from_slice(MAGIC);
            file.write_all_at(&head, 0).map_err(refused)?;
        } else if bytes[..8] != *MAGIC {
            return Err(Error::new(Code::FOREIGN, format!("{} does not hold promises", path.display())));
        }
        let whole = (HEAD + u64::from(account_count)) as usize;
        if let Some(missing) = whole.checked_sub(bytes.len().max(HEAD as usize)) {
            file.write_all_at(&vec![0; missing], (whole - missing) as u64).map_err(refused)?;
        }
        let promised = bytes.iter().skip(HEAD as usize).enumerate().filter(|(_, byte)| **byte != 0);
        let owed = promised.map(|(account, _)| account as u32).collect();
        Ok((Self { file, path: path.to_path_buf() }, owed))
    }

    /// Promises, or takes the promise back. With `is_synced` it is on disk afterwards.
    ///
    /// # Errors
    /// IO.
    pub fn set(&self, account: u32, is_promised: bool, is_synced: bool) -> Result<()> {
        let written = self.file.write_all_at(&[u8::from(is_promised)], HEAD + u64::from(account));
        let synced = written.and_then(|()| if is_synced { self.file.sync_data() } else { Ok(()) });
        synced.map_err(|cause| refused(&self.path, cause))
    }
}

fn refused(path: &Path, cause: std::io::Error) -> Error {
    Error::os(Code::IO, path.display(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_everybody_from_the_start() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sessions");
        for (accounts, length) in [(10, 26), (100_000, 100_016), (10, 100_016)] {
            let (promises, _) = Promises::open(&path, accounts).expect("opened");
            promises.set(7, true, true).expect("written");
            let about = std::fs::metadata(&path).expect("there");
            assert_eq!(about.len(), length);
            assert!(about.blocks() * 512 >= length, "the disk has given all of it");
        }
        assert_eq!(Promises::open(&path, 10).expect("opened").1, [7], "what was promised stays");
    }

    #[test]
    fn promises_are_found_until_they_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sessions");
        let (promises, owed) = Promises::open(&path, 4_096).expect("made");
        assert!(owed.is_empty());
        for account in [7, 0, 4_000] {
            promises.set(account, true, false).expect("written");
        }
        promises.set(7, false, true).expect("written");
        assert_eq!(Promises::open(&path, 4_096).expect("opened").1, [0, 4_000]);
        std::fs::write(&path, b"something else, and long").expect("written");
        assert_eq!(Promises::open(&path, 4_096).err().map(|error| error.code()), Some(Code::FOREIGN));
        std::fs::write(&path, b"TRPRO").expect("cut while it was made");
        assert!(Promises::open(&path, 4_096).expect("opened").1.is_empty());
    }
}
