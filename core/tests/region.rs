//! The life of a region file, through the public API: made, opened, grown, removed, made again after a restart.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(missing_docs, reason = "tests")]

use std::fs::{File, OpenOptions as FileOptions};
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tailrace_core::error::Code;
use tailrace_core::layout::*;
use tailrace_core::region::{ChannelOptions, CreateOptions, Foreign, Kind, OpenOptions, Region};
use tempfile::TempDir;

/// One directory on a disk, one in memory.
fn directories() -> [TempDir; 2] {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    [disk, tempfile::tempdir_in("/dev/shm").expect("a directory in memory")]
}

fn in_memory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let path = directory.path().join("region");
    (directory, path)
}

fn create(path: &Path) -> Region {
    Region::create(path, &CreateOptions::default()).expect("created")
}

fn open(path: &Path) -> Region {
    Region::open(path, &OpenOptions::default()).expect("opened")
}

#[track_caller]
fn code<T>(result: tailrace_core::error::Result<T>) -> Code {
    result.err().expect("an error").code()
}

fn slots(capacity: u64) -> ChannelOptions {
    ChannelOptions { capacity, ..ChannelOptions::default() }
}

fn bytes_of(path: &Path) -> File {
    FileOptions::new().read(true).write(true).open(path).expect("opened")
}

fn put(path: &Path, offset: u64, bytes: &[u8]) {
    bytes_of(path).write_all_at(bytes, offset).expect("written");
}

fn get<const N: usize>(path: &Path, offset: u64) -> [u8; N] {
    let mut bytes = [0; N];
    bytes_of(path).read_exact_at(&mut bytes, offset).expect("read");
    bytes
}

/// How the list of mappings says which file it is.
fn inode_text(path: &Path) -> String {
    format!(" {} ", std::fs::metadata(path).expect("there").ino())
}

fn entry_offset(channel: u64, field: usize) -> u64 {
    CHANNELS_OFFSET + channel * 384 + field as u64
}

#[test]
fn a_region_is_made_once_and_opened_by_anybody() {
    for directory in directories() {
        let path = directory.path().join("prices");
        assert_eq!(code(Region::open(&path, &OpenOptions::default())), Code::NOT_FOUND);
        let region = create(&path);
        assert_eq!(region.path(), path);
        let found = std::fs::metadata(&path).expect("there");
        assert_eq!((found.permissions().mode() & 0o7777, found.len()), (0o600, FIRST_BAND_OFFSET));
        assert_eq!(code(Region::create(&path, &CreateOptions::default())), Code::EXISTS);
        assert_eq!(region.create_channel("orders", &slots(64)).expect("added"), 0);
        let channels = open(&path).channels().expect("read");
        assert_eq!((channels[0].name.as_str(), channels[0].capacity, channels.len()), ("orders", 64, 1));
        let names: Vec<_> = std::fs::read_dir(directory.path()).expect("read").collect();
        assert_eq!(names.len(), 1, "nothing beside it");
    }
}

#[test]
fn the_mode_is_exact_whatever_the_umask() {
    let (_directory, path) = in_memory();
    let mode = |mode| CreateOptions { mode, ..CreateOptions::default() };
    drop(Region::create(&path, &mode(0o660)).expect("created"));
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o7777, 0o660);
    for refused in [0o666, 0o644, 0o700, 0o060, 0o4600] {
        assert_eq!(code(Region::create(&path, &mode(refused))), Code::ARGUMENT, "{refused:o}");
    }
    assert_eq!(code(Region::create("", &CreateOptions::default())), Code::ARGUMENT);
    assert_eq!(code(Region::create("/dev/shm/a\0b", &CreateOptions::default())), Code::ARGUMENT);
    assert_eq!(code(Region::create("/", &CreateOptions::default())), Code::ARGUMENT);
    assert_eq!(code(Region::create("/dev/shm/no/such/place", &CreateOptions::default())), Code::NOT_FOUND);
}

#[test]
fn many_creators_make_one_region() {
    for directory in directories() {
        let path = directory.path().join("region");
        let made: Vec<bool> = std::thread::scope(|scope| {
            let one = || Region::create(&path, &CreateOptions::default());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            let results = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            results.map(|result| result.map_err(|error| assert_eq!(error.code(), Code::EXISTS)).is_ok()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        let path = directory.path().join("either");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let region = Region::open_or_create(&path, &CreateOptions::default(), &OpenOptions::default());
                    region.expect("opened or created").create_channel("one", &slots(2)).expect("added")
                });
            }
        });
        assert_eq!(open(&path).channels().expect("read").len(), 1);
    }
}

#[test]
fn an_older_opener_sees_growth_under_the_same_mapping() {
    for directory in directories() {
        let path = directory.path().join("region");
        let maker = create(&path);
        let older = open(&path);
        let inode = inode_text(&path);
        let mappings = || std::fs::read_to_string("/proc/self/maps").expect("read").matches(&inode).count();
        let before = mappings();
        assert_eq!(maker.create_channel("first", &slots(4_096)).expect("added"), 0);
        assert_eq!(older.channels().expect("read")[0].capacity, 4_096);
        assert_eq!(older.create_channel("second", &slots(1_024)).expect("added"), 1);
        assert_eq!(older.create_channel("first", &slots(4_096)).expect("the same"), 0);
        assert_eq!(maker.channels().expect("read")[1].name, "second");
        assert_eq!(mappings(), before);
        let length = std::fs::metadata(&path).expect("there").len();
        assert!(length >= FIRST_BAND_OFFSET + (4_096 + 1_024) * SLOT_BYTES);
    }
}

#[test]
fn a_channel_is_added_once_and_refused_with_other_options() {
    let (_directory, path) = in_memory();
    let region = create(&path);
    let exclusive = ChannelOptions { exclusive_producer: true, ..slots(64) };
    assert_eq!(region.create_channel("a", &slots(64)).expect("added"), 0);
    assert_eq!(region.create_channel("b", &exclusive).expect("added"), 1);
    assert_eq!(region.create_channel("b", &exclusive).expect("the same"), 1);
    assert_eq!(code(region.create_channel("b", &slots(64))), Code::EXISTS);
    assert_eq!(code(region.create_channel("a", &slots(128))), Code::EXISTS);
    let long = "ü".repeat(31) + "x";
    assert_eq!(region.create_channel(&long, &slots(2)).expect("63 bytes"), 2);
    assert_eq!(open(&path).channels().expect("read")[2].name, long);
    for name in ["", "a\0b", "a\nb", "\u{85}", "\u{7f}", &"ü".repeat(32)] {
        assert_eq!(code(region.create_channel(name, &slots(2))), Code::ARGUMENT, "{name:?}");
    }
    for capacity in [0, 1, 3, 1_000, u64::MAX] {
        assert_eq!(code(region.create_channel("c", &slots(capacity))), Code::ARGUMENT, "{capacity}");
    }
    assert_eq!(region.channels().expect("read").len(), 3);
}

#[test]
fn choices_that_do_not_go_together_are_refused() {
    let (_directory, path) = in_memory();
    let region = create(&path);
    let queue = slots(2);
    let stream = ChannelOptions { kind: Kind::Stream, ..slots(2) };
    let foreign = [Foreign::Document, Foreign::Code].map(|foreign| ChannelOptions { foreign, ..slots(2) });
    let [document, by_code] = &foreign;
    let refused = [
        ChannelOptions { gated: true, ..queue.clone() },
        ChannelOptions { recorded: true, ..queue.clone() },
        ChannelOptions { exclusive_consumer: true, ..stream.clone() },
        ChannelOptions { exclusive_producer: true, ..document.clone() },
        ChannelOptions { exclusive_consumer: true, ..by_code.clone() },
        ChannelOptions { checksum: true, ..document.clone() },
        ChannelOptions { kind: Kind::Stream, ..by_code.clone() },
    ];
    for options in &refused {
        assert_eq!(code(region.create_channel("refused", options)), Code::ARGUMENT, "{options:?}");
    }
    let accepted = [
        ChannelOptions { exclusive_producer: true, exclusive_consumer: true, checksum: true, ..queue },
        ChannelOptions { exclusive_producer: true, gated: true, checksum: true, recorded: true, ..stream },
        foreign[0].clone(),
        foreign[1].clone(),
    ];
    for (index, options) in accepted.iter().enumerate() {
        let channel = region.create_channel(&format!("{index}"), options).expect("added");
        let seen = &region.channels().expect("read")[channel as usize];
        assert_eq!(ChannelOptions::from_flags(seen.flags, seen.capacity).expect("known"), *options);
        assert!(seen.is_valid);
    }
}

#[test]
fn the_limit_and_the_number_of_channels_are_kept() {
    let (_directory, path) = in_memory();
    let options = CreateOptions { limit_bytes: 1 << 20, ..CreateOptions::default() };
    let region = Region::create(&path, &options).expect("created");
    assert_eq!(code(region.create_channel("large", &slots(1_024))), Code::NO_SPACE);
    assert_eq!(code(region.create_channel("huge", &slots(1 << 32))), Code::NO_SPACE);
    for index in 0..256 {
        assert_eq!(
            region.create_channel(&format!("{index}"), &slots(2)).map_err(|error| error.code()),
            match index {
                // One band takes a page of 4,096 bytes.
                0..174 => Ok(index),
                _ => Err(Code::NO_SPACE),
            }
        );
    }
    let (_directory, path) = in_memory();
    let region = create(&path);
    for index in 0..CHANNEL_MAX {
        assert_eq!(region.create_channel(&format!("{index}"), &slots(2)).expect("added"), index);
    }
    assert_eq!(code(region.create_channel("one more", &slots(2))), Code::NO_SPACE);
    assert_eq!(region.create_channel("255", &slots(2)).expect("the same"), 255);
    assert_eq!(open(&path).channels().expect("read").len(), 256);
}

#[test]
fn removal_is_seen_by_those_who_are_attached() {
    for directory in directories() {
        let path = directory.path().join("region");
        let region = create(&path);
        let other = open(&path);
        Region::remove(&path).expect("removed");
        assert!(!path.exists());
        for attached in [&region, &other] {
            assert_eq!(code(attached.create_channel("late", &slots(2))), Code::GONE);
            assert_eq!(code(attached.channels()), Code::GONE);
            assert_eq!(code(attached.stats()), Code::GONE);
        }
        assert_eq!(code(Region::remove(&path)), Code::NOT_FOUND);
        let anew = create(&path);
        anew.create_channel("fresh", &slots(2)).expect("added");
        assert_eq!(code(region.channels()), Code::GONE);
    }
}

#[test]
fn an_interrupted_removal_is_finished_by_the_next_creator() {
    let (_directory, path) = in_memory();
    let region = create(&path);
    put(&path, offset_of!(RegionHeader, removed) as u64, &[1]);
    assert_eq!(code(region.channels()), Code::GONE);
    assert_eq!(code(Region::open(&path, &OpenOptions::default())), Code::GONE);
    let anew = Region::open_or_create(&path, &CreateOptions::default(), &OpenOptions::default()).expect("made anew");
    assert_eq!(anew.channels().expect("read").len(), 0);
    assert_eq!(code(Region::create(&path, &CreateOptions::default())), Code::EXISTS, "a good one stays");
    anew.channels().expect("still there");
}

#[test]
fn whoever_cannot_have_the_region_lock_is_told_who_has_it() {
    let (_directory, path) = in_memory();
    let options = CreateOptions { lock_timeout_ms: 30, ..CreateOptions::default() };
    let region = Region::create(&path, &options).expect("created");
    let holder = bytes_of(&path);
    lock(&holder, LOCK_OFFSET);
    let annex_holder = ANNEX_OFFSET + offset_of!(AnnexHeader, region_lock_holder) as u64;
    put(&path, annex_holder, &4_242_u32.to_le_bytes());
    let start = Instant::now();
    let error = region.create_channel("late", &slots(2)).expect_err("locked");
    assert_eq!((error.code(), error.value()), (Code::BUSY, 4_242));
    assert!(error.message().contains("process 4242") && start.elapsed() >= Duration::from_millis(30));
    assert_eq!(region.stats().expect("needs no lock").lock_holder, Some(4_242));
    drop(holder);
    region.create_channel("late", &slots(2)).expect("free again");
}

/// Takes an open-file-description lock on one byte.
fn lock(file: &File, offset: u64) {
    // SAFETY: a flock is integers only; the call reads it.
    let taken = unsafe {
        let mut range: libc::flock = std::mem::zeroed();
        range.l_type = libc::F_WRLCK as i16;
        range.l_start = offset as i64;
        range.l_len = 1;
        libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range)
    };
    assert_eq!(taken, 0);
}

const BOOT_ID: u64 = offset_of!(RegionHeader, boot_id) as u64;

/// A region with two channels that were used, as if before a restart; the boot's id as it is.
fn before_a_restart(path: &Path) -> [u8; 16] {
    let region = create(path);
    region.create_channel("kept", &slots(64)).expect("added");
    let stream = ChannelOptions { kind: Kind::Stream, ..slots(8) };
    region.create_channel("too", &stream).expect("added");
    for channel in 0..2 {
        put(path, entry_offset(channel, offset_of!(ChannelEntry, tail)), &1_000_u64.to_le_bytes());
        put(path, entry_offset(channel, offset_of!(ChannelEntry, head)), &900_u64.to_le_bytes());
        put(path, entry_offset(channel, offset_of!(ChannelEntry, exclusive_writer)), &5_u32.to_le_bytes());
    }
    put(path, FIRST_BAND_OFFSET, &[0xA5; 64]);
    put(path, PARTICIPANTS_OFFSET, &[2; 128]);
    put(path, COUNTERS_OFFSET, &[7; 72]);
    put(path, ANNEX_OFFSET + offset_of!(AnnexHeader, participants_high) as u64, &1_u32.to_le_bytes());
    let boot = get(path, BOOT_ID);
    put(path, BOOT_ID, &[9; 16]);
    boot
}

#[test]
fn after_a_restart_the_channels_are_there_and_empty() {
    for directory in directories() {
        let path = directory.path().join("region");
        let boot = before_a_restart(&path);
        let id: [u8; 16] = get(&path, offset_of!(RegionHeader, region_id) as u64);
        let read_only = OpenOptions { read_only: true, ..OpenOptions::default() };
        assert_eq!(code(Region::open(&path, &read_only)), Code::CORRUPT, "it cannot make the rings anew");
        let stats = open(&path).stats().expect("read");
        assert_ne!(stats.region_id, id);
        assert_eq!(stats.channels.iter().map(|channel| channel.name.as_str()).collect::<Vec<_>>(), ["kept", "too"]);
        for channel in &stats.channels {
            assert_eq!((channel.tail, channel.head, channel.depth, channel.counters.full), (0, 0, 0, 0));
            assert!(channel.is_valid);
        }
        assert!(stats.participants.is_empty());
        assert_eq!(get::<16>(&path, BOOT_ID), boot);
        assert_eq!(get::<4>(&path, entry_offset(1, offset_of!(ChannelEntry, exclusive_writer))), [0; 4]);
        for slot in 0..64 {
            assert_eq!(get::<8>(&path, FIRST_BAND_OFFSET + slot * SLOT_BYTES), slot.to_le_bytes());
        }
        Region::open(&path, &read_only).expect("trusted now");
    }
}

#[test]
fn an_interrupted_new_beginning_is_begun_again() {
    let (_directory, path) = in_memory();
    before_a_restart(&path);
    drop(open(&path));
    // Half of it undone, and the boot's id not yet written: what a kill in the middle leaves.
    put(&path, entry_offset(1, offset_of!(ChannelEntry, tail)), &77_u64.to_le_bytes());
    put(&path, BOOT_ID, &[9; 16]);
    assert_eq!(open(&path).channels().expect("read")[1].tail, 0);
    // The file lost its end: storage that never reached the disk.
    bytes_of(&path).set_len(FIRST_BAND_OFFSET + 5_000).expect("cut");
    put(&path, BOOT_ID, &[9; 16]);
    let channels = open(&path).channels().expect("read");
    assert!(channels.iter().all(|channel| channel.is_valid));
}

#[test]
fn another_boot_id_is_no_restart_while_somebody_is_attached() {
    let (_directory, path) = in_memory();
    before_a_restart(&path);
    let attached = bytes_of(&path);
    lock(&attached, LOCK_OFFSET + 1 + 17);
    assert_eq!(open(&path).channels().expect("read")[0].tail, 1_000);
    drop(attached);
    assert_eq!(open(&path).channels().expect("read")[0].tail, 0);
}

#[test]
fn a_thousand_regions_leave_nothing_behind() {
    let (directory, _) = in_memory();
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("read").count();
    let before = descriptors();
    let mut inodes = Vec::new();
    for index in 0..1_000 {
        let path = directory.path().join(format!("{}", index % 3));
        let region = create(&path);
        inodes.push(inode_text(&path));
        region.create_channel("one", &slots(2)).expect("added");
        open(&path).stats().expect("read");
        Region::remove(&path).expect("removed");
    }
    let maps = std::fs::read_to_string("/proc/self/maps").expect("read");
    assert!(inodes.iter().all(|inode| !maps.contains(inode)));
    // Other tests run beside this one.
    assert!(descriptors() < before + 100, "{before} before, {} now", descriptors());
    assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 0);
}

#[test]
fn a_region_of_another_program_is_opened_when_asked_for() {
    let (_directory, path) = in_memory();
    let band = HEADER_BYTES.next_multiple_of(128);
    let file = File::create(&path).expect("made");
    file.set_len(band + 16 * SLOT_BYTES).expect("long enough");
    put(&path, 0, &MAGIC.to_le_bytes());
    put(&path, 8, &VERSION.to_le_bytes());
    put(&path, 12, &CHANNEL_MAX.to_le_bytes());
    put(&path, entry_offset(2, offset_of!(ChannelEntry, capacity)), &16_u64.to_le_bytes());
    put(&path, entry_offset(2, offset_of!(ChannelEntry, band_offset)), &band.to_le_bytes());
    put(&path, entry_offset(2, offset_of!(ChannelEntry, tail)), &5_u64.to_le_bytes());
    assert_eq!(code(Region::open(&path, &OpenOptions::default())), Code::FOREIGN);
    for (payload_offset, flags) in [(48, CHANNEL_FOREIGN_CODE), (64, CHANNEL_FOREIGN_DOCUMENT)] {
        let options = OpenOptions { recovery: false, payload_offset, ..OpenOptions::default() };
        let region = Region::open(&path, &options).expect("opened");
        let stats = region.stats().expect("read");
        let channel = &stats.channels[0];
        assert_eq!((stats.channels.len(), channel.name.as_str(), channel.index), (1, "2", 2));
        assert_eq!((channel.flags, channel.depth, channel.is_valid, stats.is_foreign), (flags, 5, true, true));
        assert_eq!(code(region.create_channel("mine", &slots(2))), Code::UNSUPPORTED);
    }
    let neither = OpenOptions { recovery: false, payload_offset: 56, ..OpenOptions::default() };
    assert_eq!(code(Region::open(&path, &neither)), Code::ARGUMENT);
    let length = std::fs::metadata(&path).expect("there").len();
    Region::remove(&path).expect("removed");
    assert_eq!(length, band + 16 * SLOT_BYTES);
}

#[test]
fn for_reading_only_nothing_is_written() {
    let (_directory, path) = in_memory();
    create(&path).create_channel("one", &slots(4)).expect("added");
    let before = std::fs::read(&path).expect("read");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).expect("changed");
    let region = Region::open(&path, &OpenOptions { read_only: true, ..OpenOptions::default() }).expect("opened");
    assert_eq!(region.stats().expect("read").channels.len(), 1);
    assert_eq!(code(region.create_channel("two", &slots(4))), Code::PERMISSION);
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[test]
fn memory_can_be_locked_and_asked_to_be_huge() {
    let (_directory, path) = in_memory();
    let options = CreateOptions { hugepages: true, lock_memory: true, ..CreateOptions::default() };
    match Region::create(&path, &options) {
        Ok(region) => assert_eq!(region.create_channel("one", &slots(4)).expect("added"), 0),
        Err(error) => assert_eq!(error.code(), Code::PERMISSION, "{error}"),
    }
}

#[test]
fn regions_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Region>();
}
