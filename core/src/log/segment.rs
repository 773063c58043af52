//! Segment: one file of a log. Its name is its first sequence, and its header says which log it is of.
//!
//! ```text
//! 00000000000000000001.log     header 64 B | frames | zeros
//! 00000000000000000001.index   derived
//! ```
//! A header is on disk before its file has a segment's name, so a segment whose header is wrong was damaged: nothing
//! that a crash leaves looks like it. Segments are dense (each begins where the one before ends), which only a scan
//! can prove; what the names and headers alone tell is checked by [`list`].

use super::layout::{LOG_VERSION, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC};
use super::storage::{LogFile, Storage};
use crate::error::{Code, Error, Result};
use crate::os::{fail, refused};
use std::io;
use std::sync::Arc;

/// Bytes of a header.
pub const HEADER: usize = SEGMENT_HEADER_BYTES as usize;

const DIGITS: usize = 20;
/// Times that the list is begun again because retention took a segment away meanwhile.
const LIST_TRIES: usize = 100;

/// The name of the segment that begins with this sequence.
pub fn name_of(first_sequence: u64) -> String {
    format!("{first_sequence:020}.log")
}

/// The name of its index.
pub fn index_name_of(first_sequence: u64) -> String {
    format!("{first_sequence:020}.index")
}

/// The first sequence of the segment with this name; none when it is no segment's name.
pub fn first_of(name: &str) -> Option<u64> {
    number_of(name, ".log")
}

/// The same of an index.
pub fn first_of_index(name: &str) -> Option<u64> {
    number_of(name, ".index")
}

fn number_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|sequence| *sequence != 0)
}

/// The first sequences of all segments among these names, ascending.
pub fn firsts(names: &[String]) -> Vec<u64> {
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    firsts.sort_unstable();
    firsts
}

/// No log has so many records: what is counted from a first sequence never overflows, whatever a file says.
const FIRST_MAX: u64 = 1 << 62;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Sequence of its first frame.
    pub first_sequence: u64,
    /// When it was begun, nanoseconds since 1970.
    pub created_ns: u64,
    /// Random id of the log.
    pub log_id: [u8; 16],
}

impl Header {
    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.created_ns.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.log_id);
        let crc = crc32fast::hash(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What the bytes say. A magic that alone is wrong under a right checksum is damage, not another's file.
    ///
    /// # Errors
    /// FOREIGN, VERSION, CORRUPT.
    pub fn decode(bytes: &[u8; HEADER]) -> std::result::Result<Self, Code> {
        let word = |at: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[at / 8]);
        let mut content = *bytes;
        content[..8].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        content[12..16].fill(0);
        let is_ours = word(0) == SEGMENT_MAGIC;
        let is_whole = crc32fast::hash(&content) == (word(8) >> 32) as u32;
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        match (is_ours, is_whole, word(8) as u32) {
            (false, false, _) if !is_zero => Err(Code::FOREIGN),
            (true, true, LOG_VERSION)
                if (1..=FIRST_MAX).contains(&word(16)) && bytes[48..].iter().all(|byte| *byte == 0) =>
            {
                Ok(Self { first_sequence: word(16), created_ns: word(24), log_id: bytes.as_chunks::<16>().0[2] })
            }
            (true, true, version) if version != LOG_VERSION => Err(Code::VERSION),
            _ => Err(Code::CORRUPT),
        }
    }
}

/// A segment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What its header says, which its name says too.
    pub header: Header,
    /// Its name.
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Opens the segment that begins with this sequence and checks its header.
///
/// # Errors
/// NOT_FOUND, FOREIGN, VERSION, CORRUPT, PERMISSION, IO.
pub fn open(storage: &dyn Storage, first_sequence: u64, is_writable: bool) -> Result<(Segment, Arc<dyn LogFile>)> {
    let name = name_of(first_sequence);
    let at = storage.path().join(&name);
    let failed = |cause: io::Error| refused(format_args!("opening the segment {}", at.display()), cause);
    let file = storage.open(&name, is_writable).map_err(failed)?;
    let bytes = file.length().map_err(failed)?;
    let mut head = [0; HEADER];
    if file.read_at(&mut head, 0).map_err(failed)? < HEADER {
        return fail(Code::CORRUPT, format!("{} has {bytes} bytes, fewer than a header", at.display()));
    }
    let header = Header::decode(&head).map_err(|code| {
        let found = match code {
            Code::FOREIGN => "is no segment of a log",
            Code::VERSION => "has a version that this tailrace does not know",
            _ => "has a damaged header",
        };
        Error::new(code, format!("{} {found}", at.display()))
    })?;
    if header.first_sequence != first_sequence {
        let message = format!("{} says that it begins with sequence {}", at.display(), header.first_sequence);
        return fail(Code::CORRUPT, message);
    }
    Ok((Segment { header, name, bytes }, file))
}

/// All segments in order, their headers checked: each says what its name says, and all are of one log.
///
/// # Errors
/// FOREIGN, VERSION, CORRUPT, PERMISSION, IO.
pub fn list(storage: &dyn Storage) -> Result<Vec<Segment>> {
    'again: for _ in 0..LIST_TRIES {
        let names = storage
            .names()
            .map_err(|cause| refused(format_args!("listing the log {}", storage.path().display()), cause))?;
        let firsts = firsts(&names);
        let mut segments: Vec<Segment> = Vec::with_capacity(firsts.len());
        for first_sequence in firsts {
            let segment = match open(storage, first_sequence, false) {
                // Retention takes the oldest; whoever lists at the same time begins again.
                Err(error) if error.code() == Code::NOT_FOUND => continue 'again,
                opened => opened?.0,
            };
            if let Some(before) = segments.last().filter(|before| before.header.log_id != segment.header.log_id) {
                let path = storage.path().display();
                return fail(
                    Code::CORRUPT,
                    format!("{} and {} in {path} are of different logs", before.name, segment.name),
                );
            }
            segments.push(segment);
        }
        return Ok(segments);
    }
    fail(Code::IO, format!("the segments of {} change too fast to be listed", storage.path().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Header = Header { first_sequence: 7, created_ns: 11, log_id: [13; 16] };

    #[test]
    fn names_are_numbers_of_twenty_digits() {
        assert_eq!(name_of(1), "00000000000000000001.log");
        assert_eq!(first_of(&name_of(u64::MAX)), Some(u64::MAX));
        assert_eq!(first_of_index(&index_name_of(12)), Some(12));
        for other in
            ["spare.tmp", "1.log", "00000000000000000000.log", "99999999999999999999.log", "+0000000000000000001.log"]
        {
            assert_eq!(first_of(other), None, "{other}");
        }
        let names = [name_of(30), "lock".into(), name_of(4), index_name_of(5)];
        assert_eq!(firsts(&names), [4, 30]);
    }

    #[test]
    fn a_header_says_what_was_put_into_it_and_no_flipped_bit_passes() {
        let bytes = SAMPLE.encode();
        assert_eq!(Header::decode(&bytes), Ok(SAMPLE));
        for bit in 0..HEADER * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&damaged), Err(Code::CORRUPT), "bit {bit}");
        }
        assert_eq!(Header::decode(&[0; HEADER]), Err(Code::CORRUPT));
        assert_eq!(Header::decode(&[0x55; HEADER]), Err(Code::FOREIGN));
        let mut newer = bytes;
        newer[8] = 9;
        newer[12..16].fill(0);
        let crc = crc32fast::hash(&newer);
        newer[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&newer), Err(Code::VERSION));
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    mod files {
        use super::*;
        use crate::log::storage::Disk;

        fn put(path: &std::path::Path, name: &str, header: &Header) {
            std::fs::write(path.join(name), header.encode()).expect("written");
        }

        #[test]
        fn segments_are_listed_in_order_and_are_of_one_log() {
            let directory = tempfile::tempdir().expect("a directory");
            let disk = Disk::open(directory.path(), 0o600).expect("opened");
            assert!(list(&disk).expect("nothing there").is_empty());
            for first_sequence in [90, 7] {
                put(directory.path(), &name_of(first_sequence), &Header { first_sequence, ..SAMPLE });
            }
            let found = list(&disk).expect("listed");
            assert_eq!(found.iter().map(|segment| segment.header.first_sequence).collect::<Vec<_>>(), [7, 90]);
            put(directory.path(), &name_of(91), &Header { first_sequence: 91, log_id: [1; 16], ..SAMPLE });
            assert_eq!(list(&disk).expect_err("another log's").code(), Code::CORRUPT);
            put(directory.path(), &name_of(91), &SAMPLE);
            assert_eq!(list(&disk).expect_err("another name").code(), Code::CORRUPT);
            std::fs::write(directory.path().join(name_of(91)), [1; 10]).expect("written");
            assert_eq!(list(&disk).expect_err("too short").code(), Code::CORRUPT);
        }
    }
}
