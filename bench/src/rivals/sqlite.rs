//! SQLite in WAL mode with `synchronous=FULL`: every commit is synced.

use crate::log::{BYTES, Store};
use crate::pair::Outcome;
use rusqlite::Connection;
use std::path::Path;

/// A database with one table.
pub struct Sqlite(Connection);

impl Sqlite {
    /// A new one.
    pub fn new(directory: &Path) -> Outcome<Self> {
        let connection = Connection::open(directory.join("sqlite.db"))?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("its journal is {mode}").into());
        }
        connection
            .execute_batch("PRAGMA synchronous = FULL; CREATE TABLE records (id INTEGER PRIMARY KEY, data BLOB)")?;
        Ok(Self(connection))
    }

    fn insert(&self, record: &[u8; BYTES]) -> Outcome<()> {
        self.0.prepare_cached("INSERT INTO records (data) VALUES (?)")?.execute([&record[..]])?;
        Ok(())
    }
}

impl Store for Sqlite {
    fn put(&mut self, record: &[u8; BYTES]) -> Outcome<()> {
        self.insert(record)
    }

    fn put_batch(&mut self, records: &[[u8; BYTES]]) -> Outcome<()> {
        self.0.prepare_cached("BEGIN")?.execute([])?;
        records.iter().try_for_each(|record| self.insert(record))?;
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn read(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        let mut select = self.0.prepare("SELECT data FROM records ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            see(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }
}
