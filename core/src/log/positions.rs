//! Positions: the bytes of the file `cursors`, and which of its two copies counts.
//!
//! ```text
//! 0                                       65536                                   131072
//! | header 64 B | count x 64 B | unused   | header 64 B | count x 64 B | unused   |
//! ```
//! A copy is *valid* if and only if its magic and version are ours, its count is at most `CURSORS_MAX`, and the CRC-32
//! over the header (with the CRC 0) and the counted entries agrees. The valid copy with the higher generation counts. A
//! store writes the other one, so at every moment of it there is one valid copy, on the disk as well, provided that the
//! copy that counts is durable before the other is touched (`cursors` sees to that).
//!
//! The file is written whole, with two valid copies, before it gets its name. So a file without a valid copy is damaged,
//! never new, and is refused: to begin at 0 would silently hand every group the whole log again, and to begin at the end
//! would lose messages. A file that is missing is made anew: whoever removes it sees what is gone.

use super::layout::{CURSORS_BYTES, CURSORS_MAGIC, CURSORS_MAX, LOG_VERSION};
use super::storage::{LogFile, Storage};
use crate::error::{Code, Result};
use crate::os::{fail, refused};
use std::io;
use std::sync::Arc;

/// The file.
pub(crate) const NAME: &str = "cursors";
/// What it is called until it is whole.
pub(crate) const UNFINISHED: &str = "cursors.tmp";
/// Longest name of a group, bytes.
pub const CURSOR_NAME_MAX: usize = 47;

const COPY: usize = CURSORS_BYTES as usize;
const UNIT: usize = 64;

/// Where a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The group.
    pub name: String,
    /// Lowest sequence that it has not finished.
    pub sequence: u64,
    /// When that was stored, nanoseconds since 1970.
    pub updated_ns: u64,
}

/// What a copy says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Positions {
    pub generation: u64,
    pub list: Vec<Position>,
}

/// The copy that counts.
#[derive(Debug)]
pub(crate) struct Newest {
    pub positions: Positions,
    /// 0 or 1.
    pub copy: usize,
}

impl Newest {
    /// Where the other copy begins.
    pub fn other_offset(&self) -> u64 {
        offset_of(1 - self.copy)
    }
}

/// Where a copy begins.
pub(crate) fn offset_of(copy: usize) -> u64 {
    copy as u64 * u64::from(CURSORS_BYTES)
}

/// Whether a group may be called so.
///
/// # Errors
/// ARGUMENT.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > CURSOR_NAME_MAX || name.contains('\0') {
        let message = format!("{name:?} is no name of a group: it has 1 to {CURSOR_NAME_MAX} bytes of UTF-8, no NUL");
        return fail(Code::ARGUMENT, message);
    }
    Ok(())
}

/// The bytes of a copy: its header and the entries, nothing after them.
pub(crate) fn encode(positions: &Positions, log_id: &[u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0; UNIT * (1 + positions.list.len())];
    bytes[..8].copy_from_slice(&CURSORS_MAGIC.to_le_bytes());
    bytes[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&positions.generation.to_le_bytes());
    bytes[24..40].copy_from_slice(log_id);
    bytes[40..44].copy_from_slice(&(positions.list.len() as u32).to_le_bytes());
    for (entry, position) in bytes[UNIT..].as_chunks_mut::<UNIT>().0.iter_mut().zip(&positions.list) {
        entry[..position.name.len()].copy_from_slice(position.name.as_bytes());
        entry[48..56].copy_from_slice(&position.sequence.to_le_bytes());
        entry[56..].copy_from_slice(&position.updated_ns.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What stands where a copy begins.
enum Seen {
    Valid(Positions),
    Foreign,
    Version(u32),
    Damaged,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..].as_chunks::<8>().0[0])
}

fn decode(bytes: &[u8], log_id: &[u8; 16]) -> Seen {
    if bytes.len() < UNIT || word(bytes, 0) != CURSORS_MAGIC {
        return Seen::Damaged;
    }
    let (version, count) = (word(bytes, 8) as u32, word(bytes, 40) as u32 as usize);
    let Some(content) = (count <= CURSORS_MAX as usize).then(|| bytes.get(..UNIT * (1 + count))).flatten() else {
        return Seen::Damaged;
    };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&content[..12]);
    crc.update(&[0; 4]);
    crc.update(&content[16..]);
    if crc.finalize().to_le_bytes() != content[12..16] {
        return Seen::Damaged;
    }
    if version != LOG_VERSION {
        return Seen::Version(version);
    }
    if content[24..40] != *log_id {
        return Seen::Foreign;
    }
    let list = content[UNIT..].as_chunks::<UNIT>().0.iter().map(|entry| {
        let end = entry[..48].iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(&entry[..end]).ok().filter(|name| check_name(name).is_ok())?;
        Some(Position { name: name.to_string(), sequence: word(entry, 48), updated_ns: word(entry, 56) })
    });
    let list: Option<Vec<_>> = list.collect();
    list.map_or(Seen::Damaged, |list| Seen::Valid(Positions { generation: word(content, 16), list }))
}

/// Reads the file and finds the copy that counts.
///
/// # Errors
/// CORRUPT when neither copy is valid, FOREIGN when they are another log's, VERSION, IO.
pub(crate) fn newest(file: &dyn LogFile, storage: &dyn Storage, log_id: &[u8; 16]) -> Result<Newest> {
    let place = || storage.path().join(NAME).display().to_string();
    let mut bytes = vec![0; 2 * COPY];
    let count = file.read_at(&mut bytes, 0).map_err(|cause| refused(format_args!("reading {}", place()), cause))?;
    bytes.truncate(count);
    let seen = [0, COPY].map(|at| decode(bytes.get(at..bytes.len().min(at + COPY)).unwrap_or_default(), log_id));
    match seen {
        [Seen::Valid(first), Seen::Valid(second)] if second.generation > first.generation => {
            Ok(Newest { positions: second, copy: 1 })
        }
        [Seen::Valid(positions), _] => Ok(Newest { positions, copy: 0 }),
        [_, Seen::Valid(positions)] => Ok(Newest { positions, copy: 1 }),
        [Seen::Foreign, _] | [_, Seen::Foreign] => {
            fail(Code::FOREIGN, format!("{} belongs to another log: were files of two logs mixed?", place()))
        }
        [Seen::Version(version), _] | [_, Seen::Version(version)] => {
            fail(Code::VERSION, format!("{} has version {version}, this is {LOG_VERSION}", place()))
        }
        [Seen::Damaged, Seen::Damaged] => {
            let message = format!(
                "both copies of the groups' positions in {} are damaged; repair sets the file aside, and each group \
                 begins where its options say",
                place()
            );
            fail(Code::CORRUPT, message)
        }
    }
}

/// Makes the file, whole and durable, when it is not there, and opens it.
///
/// # Errors
/// NO_SPACE, PERMISSION, IO.
pub(crate) fn open_or_create(storage: &dyn Storage, log_id: &[u8; 16]) -> Result<Arc<dyn LogFile>> {
    let make = || -> io::Result<Arc<dyn LogFile>> {
        match storage.open(NAME, true) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let file = match storage.create(UNFINISHED) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => storage.open(UNFINISHED, true)?,
            made => made?,
        };
        let mut bytes = vec![0; 2 * COPY];
        for (copy, generation) in [(0, 1), (1, 0)] {
            let empty = encode(&Positions { generation, list: Vec::new() }, log_id);
            bytes[copy * COPY..][..empty.len()].copy_from_slice(&empty);
        }
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        storage.rename(UNFINISHED, NAME)?;
        storage.sync_names()?;
        Ok(file)
    };
    make().map_err(|cause| refused(format_args!("making {}", storage.path().join(NAME).display()), cause))
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    const ID: [u8; 16] = [7; 16];

    fn sample(generation: u64, count: usize) -> Positions {
        let position = |index| Position { name: format!("group {index}"), sequence: index as u64, updated_ns: 5 };
        Positions { generation, list: (0..count).map(position).collect() }
    }

    fn file(copies: [&[u8]; 2]) -> Memory {
        let memory = Memory::default();
        let mut bytes = vec![0xAA; 2 * COPY];
        for (copy, content) in copies.into_iter().enumerate() {
            bytes[copy * COPY..][..content.len()].copy_from_slice(content);
        }
        memory.put(NAME, &bytes);
        memory
    }

    fn read(memory: &Memory) -> Result<Newest> {
        newest(&*memory.open(NAME, false).expect("opened"), memory, &ID)
    }

    #[test]
    fn the_bytes_are_those_of_the_design() {
        let list = vec![Position { name: "sinks".into(), sequence: 0x0102, updated_ns: 0x0304 }];
        let bytes = encode(&Positions { generation: 9, list }, &ID);
        assert_eq!(bytes.len(), 128);
        assert_eq!(
            (&bytes[..8], &bytes[8..12], &bytes[16..24]),
            (&b"TAILCURS"[..], &[1, 0, 0, 0][..], &[9, 0, 0, 0, 0, 0, 0, 0][..])
        );
        assert_eq!((&bytes[24..40], &bytes[40..44], &bytes[44..64]), (&ID[..], &[1, 0, 0, 0][..], &[0; 20][..]));
        assert_eq!((&bytes[64..70], &bytes[112..114], &bytes[120..122]), (&b"sinks\0"[..], &[2, 1][..], &[4, 3][..]));
        let mut zeroed = bytes.clone();
        zeroed[12..16].fill(0);
        assert_eq!(bytes[12..16], crc32fast::hash(&zeroed).to_le_bytes());
    }

    #[test]
    fn the_valid_copy_of_the_highest_generation_counts() {
        let (old, new) = (encode(&sample(4, 2), &ID), encode(&sample(5, 1_000), &ID));
        assert_eq!(read(&file([&old, &new])).expect("read").positions, sample(5, 1_000));
        assert_eq!(read(&file([&new, &old])).expect("read").positions, sample(5, 1_000));
        let mut torn = new.clone();
        torn[40_000] ^= 1;
        let found = read(&file([&torn, &old])).expect("read");
        assert_eq!((found.positions.clone(), found.copy, found.other_offset()), (sample(4, 2), 1, 0));
    }

    #[test]
    fn what_cannot_be_believed_is_refused_and_never_begins_at_zero() {
        let good = encode(&sample(4, 2), &ID);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let refusal = read(&file([&bad, &bad])).expect_err("no valid copy");
            assert_eq!(refusal.code(), Code::CORRUPT, "bit {bit}");
            assert_eq!(read(&file([&bad, &good])).expect("the other copy").copy, 1);
        }
        let other = encode(&sample(4, 2), &[8; 16]);
        assert_eq!(read(&file([&other, &other])).expect_err("another log's").code(), Code::FOREIGN);
        let memory = Memory::default();
        memory.put(NAME, &[]);
        assert_eq!(read(&memory).expect_err("cut").code(), Code::CORRUPT);
    }

    #[test]
    fn the_file_is_whole_before_it_has_its_name() {
        for cut in 0.. {
            let memory = Memory::default();
            memory.fail(cut, u64::MAX);
            let made = open_or_create(&memory, &ID).is_ok();
            memory.fail(0, 0);
            memory.lose(|| cut % 2 == 0);
            open_or_create(&memory, &ID).expect("made, now or before");
            assert_eq!(read(&memory).expect("valid").positions, sample(1, 0));
            assert_eq!(memory.bytes(NAME).expect("there").len(), 2 * COPY, "so a full disk stops no store");
            if made {
                break;
            }
        }
    }

    #[test]
    fn names_have_1_to_47_bytes() {
        assert!(check_name(&"ä".repeat(23)).is_ok() && check_name(&"a".repeat(47)).is_ok());
        for bad in ["", "a\0b", &"a".repeat(48)] {
            assert_eq!(check_name(bad).expect_err("refused").code(), Code::ARGUMENT);
        }
    }
}
