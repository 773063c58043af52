//! LMDB: every transaction is synced when it is committed.

use crate::log::{BYTES, Store};
use crate::pair::Outcome;
use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvOpenOptions, PutFlags};
use std::path::Path;

/// A database of numbered records.
pub struct Lmdb {
    environment: Env,
    records: Database<U64<BE>, Bytes>,
    next: u64,
}

impl Lmdb {
    /// A new one.
    pub fn new(directory: &Path) -> Outcome<Self> {
        let path = directory.join("lmdb");
        std::fs::create_dir_all(&path)?;
        // SAFETY: nobody else has the directory.
        let environment = unsafe { EnvOpenOptions::new().map_size(4 << 30).open(path)? };
        let mut transaction = environment.write_txn()?;
        let records = environment.create_database(&mut transaction, None)?;
        transaction.commit()?;
        Ok(Self { environment, records, next: 0 })
    }
}

impl Store for Lmdb {
    fn put(&mut self, record: &[u8; BYTES]) -> Outcome<()> {
        self.put_batch(std::slice::from_ref(record))
    }

    fn put_batch(&mut self, records: &[[u8; BYTES]]) -> Outcome<()> {
        let mut transaction = self.environment.write_txn()?;
        for record in records {
            self.records.put_with_flags(&mut transaction, PutFlags::APPEND, &self.next, record)?;
            self.next += 1;
        }
        Ok(transaction.commit()?)
    }

    fn read(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        let transaction = self.environment.read_txn()?;
        for entry in self.records.iter(&transaction)? {
            see(entry?.1);
        }
        Ok(())
    }
}
