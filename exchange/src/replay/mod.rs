//! Replay: what a journal comes to, and what it says, without touching anything.

mod table;

use crate::matcher::restart;
use crate::output::{Nobody, Sink};
use crate::replica::{Entry, Replica};
use crate::snapshot::file::{self, Found};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use table::Table;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::start::From;

/// What is replayed, and what is printed.
#[derive(Debug, Clone, Default)]
pub struct ReplayOptions {
    /// Folder of an exchange's logs, or of a journal alone.
    pub directory: PathBuf,
    /// The last command; default the journal's last record.
    pub until: Option<u64>,
    /// Print all that is said, as a table.
    pub is_table: bool,
    /// Begin with the newest snapshot before that.
    pub is_from_snapshot: bool,
}

/// Replays, and prints to `out`; what it comes to.
///
/// # Errors
/// NOT_FOUND, CORRUPT, VERSION, GONE: the beginning of the journal was removed; IO.
pub fn replay(options: &ReplayOptions, out: impl Write) -> Result<Value> {
    let named = options.directory.join("orders");
    let journal = if named.is_dir() { named } else { options.directory.clone() };
    let read = ReadOptions { from: From::Oldest, is_durable_only: false };
    let mut journal = LogReader::open(&journal, &read)?;
    let last = journal.last_sequence()?.min(options.until.unwrap_or(u64::MAX));
    let mut found = Found::default();
    if options.is_from_snapshot {
        let folder = options.directory.join("snapshots");
        found = file::newest(&folder, &mut journal, last, |snapshot| Replica::restore(&snapshot))?;
    }
    for (_, error) in found.skipped {
        eprintln!("snapshot skipped: {}", error.message());
    }
    let mut replica = match found.newest {
        Some(replica) => replica,
        None => restart::open(&mut journal).map_err(|error| advised(error, options.is_from_snapshot))?,
    };
    let begun = replica.sequence();
    journal.seek(From::Sequence(begun + 1))?;
    if options.is_table {
        let mut table = Table::new(BufWriter::with_capacity(1 << 16, out))?;
        run(&mut journal, &mut replica, last, &mut table)?;
        table.finish()?;
    } else {
        run(&mut journal, &mut replica, last, &mut Nobody)?;
    }
    let (counts, told) = (replica.counts(), replica.told());
    Ok(json!({
        "from": begun,
        "sequence": replica.sequence(),
        "state_hash": format!("{:016x}", replica.book().state_hash()),
        "output_hash": format!("{:016x}", told.output_hash),
        "reports": told.report_ordinal,
        "market_sequence": told.market_sequence,
        "orders": replica.book().order_count(),
        "commands": counts.commands,
        "rejected": counts.rejected,
        "executions": counts.executions,
        "skipped": counts.skipped,
    }))
}

/// What to do when the journal's beginning was removed.
fn advised(error: Error, has_looked: bool) -> Error {
    let advice = match (error.code(), has_looked) {
        (Code::GONE, false) => "; give --from-snapshot",
        (Code::GONE, true) => ", and none that there is will do",
        _ => return error,
    };
    Error::new(Code::GONE, format!("{}{advice}", error.message())).with_value(error.value())
}

fn run<S: Sink>(journal: &mut LogReader, replica: &mut Replica, last: u64, sink: &mut S) -> Result<()> {
    while replica.sequence() < last {
        match journal.next_frame()? {
            Some(frame) => replica.take(&Entry::of_frame(&frame), sink)?,
            None => {
                let message = format!("the journal ends with {}, before {last}", replica.sequence());
                return Err(Error::new(Code::CORRUPT, message));
            }
        }
    }
    Ok(())
}
