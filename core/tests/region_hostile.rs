//! Files that are no regions, or were made to harm: every one gives a code, none a crash.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(missing_docs, reason = "tests")]

use std::fs::{File, OpenOptions as FileOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tailrace_core::error::Code;
use tailrace_core::layout::*;
use tailrace_core::region::{ChannelOptions, CreateOptions, Kind, OpenOptions, Region};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let path = directory.path().join("region");
    (directory, path)
}

fn region(path: &Path) -> Region {
    let region = Region::create(path, &CreateOptions::default()).expect("created");
    for (index, kind) in [Kind::Queue, Kind::Stream, Kind::Queue].into_iter().enumerate() {
        let options = ChannelOptions { kind, capacity: 8 << index, ..ChannelOptions::default() };
        region.create_channel(&format!("channel {index}"), &options).expect("added");
    }
    region
}

fn opened(path: &Path) -> Result<Region, Code> {
    Region::open(path, &OpenOptions::default()).map_err(|error| error.code())
}

fn put(path: &Path, offset: u64, bytes: &[u8]) {
    let file = FileOptions::new().write(true).open(path).expect("opened");
    file.write_all_at(bytes, offset).expect("written");
}

fn field(structure: &str, name: &str) -> (u64, usize) {
    let structure = STRUCTS.iter().find(|found| found.name == structure).expect("a structure");
    let field = structure.fields.iter().find(|found| found.name == name).expect("a field");
    (field.offset as u64, field.size)
}

#[test]
fn what_is_no_region_is_refused() {
    let (directory, path) = place();
    region(&path);
    let link = directory.path().join("link");
    symlink(&path, &link).expect("linked");
    assert_eq!(opened(&link).err(), Some(Code::PERMISSION), "never through a symbolic link");
    assert_eq!(Region::remove(&link).map_err(|error| error.code()), Err(Code::PERMISSION));
    let dangling = directory.path().join("dangling");
    symlink(directory.path().join("nothing"), &dangling).expect("linked");
    let created = Region::create(&dangling, &CreateOptions::default());
    assert_eq!(created.err().map(|error| error.code()), Some(Code::EXISTS), "nor created through one");
    assert_eq!(opened(directory.path()).err(), Some(Code::FOREIGN));
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("run").success());
    assert_eq!(opened(&fifo).err(), Some(Code::FOREIGN), "and it does not block");
    for bytes in [0, 1, 100, HEADER_BYTES - 1, HEADER_BYTES, 1 << 20] {
        let file = directory.path().join("zeros");
        File::create(&file).expect("made").set_len(bytes).expect("set");
        assert_eq!(opened(&file).err(), Some(Code::FOREIGN), "{bytes}");
        assert_eq!(Region::remove(&file).map_err(|error| error.code()), Err(Code::FOREIGN), "{bytes}");
        assert!(file.exists());
    }
    for bytes in [HEADER_BYTES, ANNEX_OFFSET, FIRST_BAND_OFFSET - 1] {
        let cut = directory.path().join("cut");
        std::fs::copy(&path, &cut).expect("copied");
        FileOptions::new().write(true).open(&cut).expect("opened").set_len(bytes).expect("cut");
        assert_eq!(opened(&cut).err(), Some(Code::CORRUPT), "{bytes}");
        Region::remove(&cut).expect("a damaged region can be removed");
    }
}

#[test]
fn each_word_of_the_header_is_checked() {
    let cases: [(&str, &str, u64, Code); 13] = [
        ("RegionHeader", "magic", 1, Code::FOREIGN),
        ("RegionHeader", "version", 2, Code::VERSION),
        ("RegionHeader", "max_channels", 255, Code::CORRUPT),
        ("RegionHeader", "annex_offset", 0, Code::FOREIGN),
        ("RegionHeader", "annex_offset", 4_096, Code::CORRUPT),
        ("RegionHeader", "limit_bytes", 0, Code::CORRUPT),
        ("RegionHeader", "limit_bytes", u64::MAX, Code::CORRUPT),
        ("RegionHeader", "limit_bytes", (64 << 20) + 1, Code::CORRUPT),
        ("RegionHeader", "annex_version", 2, Code::VERSION),
        ("RegionHeader", "layout_hash", 1, Code::VERSION),
        ("RegionHeader", "removed", 1, Code::GONE),
        ("AnnexHeader", "participants_offset", u64::MAX, Code::CORRUPT),
        ("AnnexHeader", "groups_count", 1, Code::CORRUPT),
    ];
    for (structure, name, value, code) in cases {
        let (_directory, path) = place();
        region(&path);
        let (offset, size) = field(structure, name);
        let base = if structure == "AnnexHeader" { ANNEX_OFFSET } else { 0 };
        put(&path, base + offset, &value.to_le_bytes()[..size]);
        assert_eq!(opened(&path).err(), Some(code), "{structure}.{name} = {value}");
        if ![Code::FOREIGN, Code::VERSION].contains(&code) {
            Region::remove(&path).expect("a damaged region can be removed");
        }
    }
    let (_directory, path) = place();
    let attached = region(&path);
    put(&path, field("RegionHeader", "channel_count").0, &257_u32.to_le_bytes());
    assert_eq!(attached.channels().err().map(|error| error.code()), Some(Code::CORRUPT));
}

#[test]
fn a_bad_entry_fails_only_its_channel() {
    let band = |slots: u64| FIRST_BAND_OFFSET + slots * 4_096;
    let cases: [(&str, u64); 14] = [
        ("channel_id", 7),
        ("flags", 2),
        ("flags", u64::from(CHANNEL_GATED | CHANNEL_EXCLUSIVE_CONSUMER)),
        ("capacity", 0),
        ("capacity", 1),
        ("capacity", 24),
        ("capacity", 1 << 32),
        ("capacity", 1 << 63),
        ("band_offset", 0),
        ("band_offset", band(3) + 64),
        ("band_offset", band(1_000)),
        ("band_offset", u64::MAX - 4_095),
        ("band_offset", 1 << 63),
        ("band_offset", ANNEX_OFFSET),
    ];
    for (name, value) in cases {
        let (_directory, path) = place();
        drop(region(&path));
        let (offset, size) = field("ChannelEntry", name);
        put(&path, CHANNELS_OFFSET + 384 + offset, &value.to_le_bytes()[..size]);
        let region = opened(&path).expect("opened");
        let valid: Vec<bool> = region.channels().expect("read").iter().map(|channel| channel.is_valid).collect();
        assert_eq!(valid, [true, false, true], "{name} = {value}");
        let options = ChannelOptions { capacity: 8, ..ChannelOptions::default() };
        assert_eq!(region.create_channel("channel 0", &options).expect("the same"), 0);
        assert_eq!(region.create_channel("new", &options).expect("added beyond all of it"), 3);
        let stream = ChannelOptions { kind: Kind::Stream, capacity: 16, ..ChannelOptions::default() };
        let bad = region.create_channel("channel 1", &stream);
        assert_eq!(bad.err().map(|error| error.code()), Some(Code::CORRUPT));
    }
    let (_directory, path) = place();
    drop(region(&path));
    put(&path, CHANNELS_OFFSET + 384 + field("ChannelEntry", "band_offset").0, &FIRST_BAND_OFFSET.to_le_bytes());
    let channels = opened(&path).expect("opened").channels().expect("read");
    let valid: Vec<bool> = channels.iter().map(|channel| channel.is_valid).collect();
    assert_eq!(valid, [false, false, true], "of two that share a band, nobody knows whose it is");
}

#[test]
fn an_opened_channel_is_never_measured_again() {
    let (_directory, path) = place();
    let region = region(&path);
    let before = region.channels().expect("read");
    for name in ["capacity", "band_offset", "flags"] {
        let (offset, size) = field("ChannelEntry", name);
        put(&path, CHANNELS_OFFSET + offset, &vec![0xFF; size]);
    }
    assert_eq!(region.channels().expect("read"), before);
}

/// A small generator of numbers, the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[test]
fn random_damage_gives_codes() {
    let (_directory, path) = place();
    let attached = region(&path);
    let good = std::fs::read(&path).expect("read");
    let file = FileOptions::new().write(true).open(&path).expect("opened");
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let places: [(u64, u64); 7] = [
        (0, 128),
        (CHANNELS_OFFSET, 4 * 384),
        (ANNEX_OFFSET, 72),
        (NAMES_OFFSET, 4 * 64),
        (COUNTERS_OFFSET, 4 * 128),
        (PARTICIPANTS_OFFSET, 40 * 128),
        (FIRST_BAND_OFFSET, good.len() as u64 - FIRST_BAND_OFFSET),
    ];
    let (mut refused, mut lived) = (0, 0);
    for _ in 0..4_000 {
        file.write_all_at(&good, 0).expect("restored");
        for _ in 0..=numbers.below(12) {
            let (start, length) = places[numbers.below(places.len() as u64) as usize];
            let bytes = match numbers.below(4) {
                0 => [0; 8],
                1 => [0xFF; 8],
                2 => numbers.below(40).to_le_bytes(),
                _ => numbers.next().to_le_bytes(),
            };
            let width = 1 << numbers.below(4);
            file.write_all_at(&bytes[..width], start + numbers.below(length - 8)).expect("damaged");
        }
        // Half of the time, many participants are in use.
        if numbers.below(2) == 0 {
            let high = ANNEX_OFFSET + field("AnnexHeader", "participants_high").0;
            file.write_all_at(&(numbers.below(2_000) as u32).to_le_bytes(), high).expect("damaged");
        }
        for region in [opened(&path).ok(), Some(attached.clone())] {
            let Some(region) = region else {
                refused += 1;
                continue;
            };
            if let Ok(stats) = region.stats() {
                let json: serde_json::Value = serde_json::from_str(&stats.to_json()).expect("valid JSON");
                assert_eq!(json["channels"].as_array().map(Vec::len), Some(stats.channels.len()));
                lived += 1;
            }
            let options = ChannelOptions { capacity: 8, ..ChannelOptions::default() };
            let _ = region.create_channel("channel 0", &options);
            let _ = region.create_channel("another", &options);
        }
    }
    assert!(refused > 300 && lived > 300, "{refused} refused, {lived} lived");
}

/// Runs `stranger` below as another user, which says with which code it was refused.
fn as_stranger(path: &Path, group: u32) -> String {
    let binary = std::env::current_exe().expect("this test");
    let copy = path.with_file_name("test");
    std::fs::copy(binary, &copy).expect("copied to where everybody may run it");
    let output = Command::new(&copy)
        .args(["--exact", "stranger", "--nocapture"])
        .env("TAILRACE_REGION", path)
        .uid(65_534)
        .gid(group)
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split("stranger: ").nth(1).unwrap_or("nothing").lines().next().unwrap_or("").to_owned()
}

/// Not a test by itself: see [`as_stranger`].
#[test]
fn stranger() {
    let Ok(path) = std::env::var("TAILRACE_REGION") else { return };
    match opened(Path::new(&path)) {
        Ok(_) => println!("stranger: opened"),
        Err(code) => println!("stranger: {}", code.name()),
    }
}

#[test]
fn files_of_others_are_not_trusted() {
    let (directory, path) = place();
    drop(region(&path));
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("changed");
    mode(0o602);
    assert_eq!(opened(&path).err(), Some(Code::PERMISSION), "everybody may write it");
    mode(0o600);
    opened(&path).expect("as it was");
    if chown(&path, Some(1_000), Some(1_000)).is_err() {
        println!("skipped: only root can give a file to another user");
        return;
    }
    opened(&path).expect("root may look at everything");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("changed");
    assert_eq!(as_stranger(&path, 65_534), "PERMISSION", "mode 0600 of another user");
    mode(0o606);
    assert_eq!(as_stranger(&path, 65_534), "PERMISSION");
    mode(0o660);
    assert_eq!(as_stranger(&path, 65_534), "PERMISSION", "another group");
    assert_eq!(as_stranger(&path, 1_000), "opened", "a file for this group");
    chown(&path, Some(65_534), Some(1_000)).expect("given");
    mode(0o600);
    assert_eq!(as_stranger(&path, 65_534), "opened", "its own");
}
