//! Index: where sequences and times may be in one segment; derived, and never believed.
//!
//! ```text
//! 0 sequence u64 · 8 timestamp_max u64 · 16 offset u64 · 24 crc32 of these 24 bytes u32 · 28 zero u32
//! ```
//! An entry says: at `offset` a batch begins whose first record is `sequence`, and no record of this segment up to and
//! with that one has a timestamp above `timestamp_max`. One entry every 64 KiB, the first at the first frame.
//!
//! It counts only after a complete batch was read at its offset that begins with its sequence; then everything before
//! it may be passed over. An entry that is missing or wrong costs time: whoever looks takes the one before it, and in
//! the end the segment's first frame. The writer drops what lies beyond the end of the log when it opens it, for after
//! a cut the same sequences stand at the same places with other timestamps. Nothing here is synced, and whatever
//! fails is let go.

use super::frame::Seen;
use super::layout::{BATCH_BYTES_MAX, INDEX_STEP_BYTES, SEGMENT_HEADER_BYTES};
use super::scan::Scan;
use super::segment::index_name_of;
use super::storage::{LogFile, Storage};
use super::walk::{Step, Walk};
use std::io;
use std::sync::Arc;

const ENTRY: usize = 32;
/// Most bytes of an index that are looked at: enough for a segment of 128 GiB.
const READ_MAX: u64 = 64 << 20;
/// What lies behind the last entry may be so long before the index counts as unfinished.
const REST_MAX: u64 = 2 * INDEX_STEP_BYTES as u64 + 2 * BATCH_BYTES_MAX as u64;
/// Entries that a segment has room for until it has its name: those of 16 MB.
const NOTED: usize = 256;
/// Entries that are tried before the whole segment is read instead.
const TRIES: usize = 64;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// First record of a batch.
    pub sequence: u64,
    /// The greatest timestamp of this segment up to and with it, nanoseconds since 1970.
    pub timestamp_max: u64,
    /// Where it is.
    pub offset: u64,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.timestamp_max.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let word = |index: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[index]);
        let is_whole = word(3) == u64::from(crc32fast::hash(&bytes[..24]));
        is_whole.then(|| Self { sequence: word(0), timestamp_max: word(1), offset: word(2) })
    }

    fn may_follow(&self, before: Option<&Self>, first_sequence: u64) -> bool {
        let is_placed = self.offset >= SEGMENT_HEADER_BYTES && self.offset.is_multiple_of(8);
        is_placed
            && match before {
                None => self.sequence >= first_sequence,
                Some(before) => {
                    self.sequence > before.sequence
                        && self.offset > before.offset
                        && self.timestamp_max >= before.timestamp_max
                }
            }
    }

    /// Whether a complete batch begins there with that sequence.
    pub fn is_proven(&self, file: &Arc<dyn LogFile>, log_id: [u8; 16]) -> io::Result<bool> {
        let place = Scan::new(file.clone(), self.offset).next().map(|place| {
            matches!(place.seen, Seen::Frame(frame) if frame.header.sequence == self.sequence && !frame.is_commit())
        })?;
        Ok(place && matches!(Walk::resume(file.clone(), self.offset, self.sequence, log_id).next()?, Step::Batch(_)))
    }
}

/// The entries of one segment, as far as they can be right.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Reads the index of the segment that begins with `first_sequence`; empty when there is none.
    pub fn read(storage: &dyn Storage, first_sequence: u64) -> Self {
        let file = storage.open(&index_name_of(first_sequence), false);
        file.and_then(|file| Self::read_from(&*file, first_sequence)).unwrap_or_default()
    }

    fn read_from(file: &dyn LogFile, first_sequence: u64) -> io::Result<Self> {
        let mut bytes = vec![0; file.length()?.min(READ_MAX) as usize];
        let count = file.read_at(&mut bytes, 0)?;
        let mut entries: Vec<Entry> = Vec::new();
        for bytes in bytes[..count].as_chunks::<ENTRY>().0 {
            match Entry::decode(bytes) {
                Some(entry) if entry.may_follow(entries.last(), first_sequence) => entries.push(entry),
                _ => break,
            }
        }
        Ok(Self { entries })
    }

    /// The last proven entry, before `end`, with at most this sequence; none when the segment's start is as good.
    pub fn at_sequence(&self, sequence: u64, file: &Arc<dyn LogFile>, log_id: [u8; 16], end: u64) -> Option<Entry> {
        self.last_proven(|entry| entry.sequence <= sequence && entry.offset < end, file, log_id)
    }

    /// The last proven entry, before `end`, up to which everything is older than `time_ns`.
    pub fn at_time(&self, time_ns: u64, file: &Arc<dyn LogFile>, log_id: [u8; 16], end: u64) -> Option<Entry> {
        self.last_proven(|entry| entry.timestamp_max < time_ns && entry.offset < end, file, log_id)
    }

    fn last_proven(
        &self,
        is_wanted: impl FnMut(&Entry) -> bool,
        file: &Arc<dyn LogFile>,
        log_id: [u8; 16],
    ) -> Option<Entry> {
        let wanted = self.entries.partition_point(is_wanted);
        let candidates = self.entries[..wanted].iter().rev().take(TRIES);
        candidates.copied().find(|entry| entry.is_proven(file, log_id).unwrap_or(false))
    }
}

/// Writes the index of the newest segment; best effort.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    file: Option<Arc<dyn LogFile>>,
    /// The bytes of the entries, as long as there is to be a file and is none.
    noted: Option<Vec<u8>>,
    count: u64,
    newest: Option<Entry>,
}

impl IndexWriter {
    /// An empty index for a segment that has no batch yet.
    pub fn begin(storage: &dyn Storage, first_sequence: u64) -> Self {
        Self { file: Self::make_file(storage, first_sequence), noted: None, count: 0, newest: None }
    }

    /// The same for one that is begun: the file comes when it has its name. Until then it takes no memory but this.
    pub fn without_file() -> Self {
        Self { file: None, noted: Some(Vec::with_capacity(NOTED)), count: 0, newest: None }
    }

    /// An empty file for the index of this segment.
    pub fn make_file(storage: &dyn Storage, first_sequence: u64) -> Option<Arc<dyn LogFile>> {
        let name = index_name_of(first_sequence);
        // One that is left of a segment of the same name, which was put aside.
        let _ = storage.remove(&name);
        storage.create(&name).ok()
    }

    /// The entries that were noted without a file.
    pub fn noted(&self) -> &[u8] {
        self.noted.as_deref().unwrap_or_default()
    }

    /// Goes on in `file`, which has so many bytes of what was noted; nowhere if there is none.
    pub fn go_on_in(&mut self, file: Option<Arc<dyn LogFile>>, bytes: usize) {
        let rest = self.noted.take().unwrap_or_default().split_off(bytes);
        self.file = file.filter(|file| rest.is_empty() || file.write_at(&rest, bytes as u64).is_ok());
    }

    /// Goes on with the index of a segment whose batches end at `end`: keeps what is proven, drops what is not, and
    /// adds what is missing.
    pub fn resume(
        storage: &dyn Storage,
        first_sequence: u64,
        file: &Arc<dyn LogFile>,
        log_id: [u8; 16],
        end: u64,
    ) -> Self {
        let index = Index::read(storage, first_sequence);
        let Some(newest) = index.at_sequence(u64::MAX, file, log_id, end) else {
            let mut anew = Self::begin(storage, first_sequence);
            anew.complete(Walk::new(file.clone(), first_sequence, log_id), end);
            return anew;
        };
        let count = index.entries.partition_point(|entry| entry.offset <= newest.offset) as u64;
        let mut resumed = Self {
            file: storage.open(&index_name_of(first_sequence), true).ok(),
            noted: None,
            count,
            newest: Some(newest),
        };
        if resumed.drop_rest().is_err() {
            // What cannot be dropped must not be found.
            let _ = storage.remove(&index_name_of(first_sequence));
            resumed.file = None;
        }
        if end - newest.offset > REST_MAX {
            resumed.complete(Walk::resume(file.clone(), newest.offset, newest.sequence, log_id), end);
        }
        resumed
    }

    /// A batch begins at `offset` with the record `sequence`, and nothing in this segment up to and with that one is
    /// newer than `timestamp_max`. To be called in order; what comes too soon after the entry before is passed over.
    #[inline]
    pub fn note(&mut self, sequence: u64, timestamp_max: u64, offset: u64) {
        let is_due = self.newest.is_none_or(|newest| offset >= newest.offset + u64::from(INDEX_STEP_BYTES));
        if is_due {
            self.put(Entry { sequence, timestamp_max, offset });
        }
    }

    #[cold]
    fn put(&mut self, entry: Entry) {
        let before = self.newest.map_or(0, |newest| newest.timestamp_max);
        let entry = Entry { timestamp_max: entry.timestamp_max.max(before), ..entry };
        let at = self.count * ENTRY as u64;
        if let Some(noted) = &mut self.noted {
            noted.extend_from_slice(&entry.encode());
        } else if self.file.as_ref().is_some_and(|file| file.write_at(&entry.encode(), at).is_err()) {
            self.file = None;
        }
        self.newest = Some(entry);
        self.count += 1;
    }

    /// Zeros over what comes after the entries that count.
    fn drop_rest(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let (from, length) = (self.count * ENTRY as u64, file.length()?);
        if length <= from {
            return Ok(());
        }
        file.write_at(&vec![0; (length - from).min(READ_MAX) as usize], from)
    }

    /// Notes the batches before `end`.
    fn complete(&mut self, mut walk: Walk, end: u64) {
        let mut timestamp_max = self.newest.map_or(0, |newest| newest.timestamp_max);
        while walk.end() < end {
            let offset = walk.end();
            let Ok(Step::Batch(batch)) = walk.next() else { return };
            timestamp_max = timestamp_max.max(batch.newest_ns);
            if !batch.is_seal() {
                // The batch's own records are in: too high costs a look, too low would cost records.
                self.note(batch.first_sequence, timestamp_max, offset);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::testing::{LOG_ID, Segment, directory};
    use super::*;

    /// A segment of 100 batches of 40 KB, its file, and what a writer would have noted.
    fn indexed() -> (tempfile::TempDir, Arc<dyn Storage>, Segment, Arc<dyn LogFile>) {
        let (directory, storage) = directory();
        let mut segment = Segment::new(11);
        let mut writer = IndexWriter::begin(&*storage, 11);
        for _ in 0..100 {
            writer.note(segment.next, segment.next * 1_000, segment.offset());
            segment.batch_of(10, 4_000);
        }
        segment.put(&*storage, 4_096);
        let file = storage.open(&segment.name(), true).expect("opened");
        (directory, storage, segment, file)
    }

    #[test]
    fn an_entry_every_step_leads_to_the_batch_before_a_sequence_or_time() {
        let (_directory, storage, segment, file) = indexed();
        let index = Index::read(&*storage, 11);
        assert_eq!(index.entries.len(), 50);
        assert_eq!(index.entries[0], Entry { sequence: 11, timestamp_max: 11_000, offset: 64 });
        for sequence in 11..1_011 {
            let entry = index.at_sequence(sequence, &file, LOG_ID, segment.offset()).expect("one before");
            assert!(entry.sequence <= sequence && sequence < entry.sequence + 20);
            let entry = index.at_time(sequence * 1_000 + 1, &file, LOG_ID, segment.offset()).expect("one before");
            assert!(entry.sequence <= sequence && sequence < entry.sequence + 20);
        }
        assert_eq!(index.at_sequence(10, &file, LOG_ID, segment.offset()), None);
        assert_eq!(index.at_time(11_000, &file, LOG_ID, segment.offset()), None);
        assert_eq!(index.at_sequence(u64::MAX, &file, LOG_ID, 65).map(|entry| entry.sequence), Some(11));
    }

    #[test]
    fn an_entry_counts_only_after_its_batch_proves_it() {
        let (_directory, storage, segment, file) = indexed();
        let index = Index::read(&*storage, 11);
        let (last, before) = (index.entries[49], index.entries[48]);
        let end = segment.offset();
        assert_eq!(index.at_sequence(u64::MAX, &file, LOG_ID, end), Some(last));
        assert_eq!(index.at_sequence(u64::MAX, &file, [0; 16], end), None, "another log's");
        // A bit of the batch's third record, then the entry that names another sequence.
        let mut bytes = segment.bytes.clone();
        bytes[last.offset as usize + 9_000] ^= 1;
        file.write_at(&bytes[64..], 64).expect("written");
        assert_eq!(index.at_sequence(u64::MAX, &file, LOG_ID, end), Some(before));
        let wrong = Index { entries: vec![before, Entry { sequence: last.sequence - 1, ..last }] };
        assert_eq!(wrong.at_sequence(u64::MAX, &file, LOG_ID, end), Some(before));
    }

    #[test]
    fn every_flipped_bit_ends_an_index_and_never_makes_an_entry() {
        let (_directory, storage, ..) = indexed();
        let whole = Index::read(&*storage, 11);
        let file = storage.open(&index_name_of(11), true).expect("opened");
        for bit in 0..ENTRY * 8 * 3 {
            let mut bytes = vec![0; ENTRY * 3];
            file.read_at(&mut bytes, 0).expect("read");
            let right = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            file.write_at(&bytes, 0).expect("written");
            let index = Index::read(&*storage, 11);
            assert_eq!(index.entries, whole.entries[..bit / 8 / ENTRY], "bit {bit}");
            file.write_at(&right, 0).expect("written");
        }
    }

    #[test]
    fn a_writer_that_comes_back_drops_what_is_cut_and_adds_what_is_missing() {
        let (_directory, storage, segment, file) = indexed();
        let whole = Index::read(&*storage, 11).entries;
        // Half of the log was cut: the entries beyond must not be found again, whatever is written there.
        let cut = whole[25];
        let mut resumed = IndexWriter::resume(&*storage, 11, &file, LOG_ID, cut.offset);
        assert_eq!(Index::read(&*storage, 11).entries, whole[..25]);
        resumed.note(cut.sequence, 7, cut.offset);
        let newest = *Index::read(&*storage, 11).entries.last().expect("one");
        assert_eq!(newest, Entry { timestamp_max: whole[24].timestamp_max, ..cut }, "it never falls");
        // All of it is missing.
        storage.remove(&index_name_of(11)).expect("removed");
        IndexWriter::resume(&*storage, 11, &file, LOG_ID, segment.offset());
        let rebuilt = Index::read(&*storage, 11).entries;
        let places = |entries: &[Entry]| entries.iter().map(|entry| (entry.sequence, entry.offset)).collect::<Vec<_>>();
        assert_eq!(places(&rebuilt), places(&whole));
        assert!(rebuilt.iter().zip(&whole).all(|(rebuilt, noted)| rebuilt.timestamp_max >= noted.timestamp_max));
    }
}
