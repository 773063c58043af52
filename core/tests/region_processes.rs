//! Regions between processes: full file systems, kills at any moment, forks.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(missing_docs, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tailrace_core::error::Code;
use tailrace_core::layout::FIRST_BAND_OFFSET;
use tailrace_core::region::{ChannelOptions, CreateOptions, OpenOptions, Region};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory in memory")
}

fn slots(capacity: u64) -> ChannelOptions {
    ChannelOptions { capacity, ..ChannelOptions::default() }
}

fn open(path: &Path) -> Result<Region, Code> {
    Region::open(path, &OpenOptions::default()).map_err(|error| error.code())
}

/// Starts `worker` below in a process of its own and waits until it works.
fn work(deed: &str, path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "worker", "--nocapture"])
        .env("TAILRACE_DEED", deed)
        .env("TAILRACE_REGION", path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let output = child.stdout.as_mut().expect("piped");
    assert!(BufReader::new(output).lines().any(|line| line.expect("read").ends_with("working")));
    child
}

/// Not a test by itself: what a process started by [`work`] does until it is killed.
#[test]
fn worker() {
    let Ok(deed) = std::env::var("TAILRACE_DEED") else { return };
    let path = PathBuf::from(std::env::var("TAILRACE_REGION").expect("set by work"));
    println!("working");
    let end = Instant::now() + Duration::from_secs(60);
    let mut index = 0;
    while Instant::now() < end {
        match deed.as_str() {
            "create and remove" => {
                drop(Region::create(&path, &CreateOptions::default()));
                let _ = Region::remove(&path);
            }
            "add channels" => {
                let region = open(&path).expect("opened");
                let _ = region.create_channel(&format!("{}-{index}", std::process::id()), &slots(16));
                index += 1;
            }
            other => panic!("{other}"),
        }
    }
}

fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("wait");
}

#[test]
fn a_region_is_shared_by_processes() {
    let directory = directory();
    let path = directory.path().join("region");
    let region = Region::create(&path, &CreateOptions::default()).expect("created");
    let child = work("add channels", &path);
    let start = Instant::now();
    while region.channels().expect("read").len() < 20 {
        assert!(start.elapsed() < Duration::from_secs(20), "the other process adds channels");
        std::thread::sleep(Duration::from_millis(1));
    }
    let prefix = child.id().to_string();
    assert!(region.channels().expect("read").iter().all(|found| found.name.starts_with(&prefix) && found.is_valid));
    kill(child);
}

#[test]
fn a_killed_creator_leaves_no_half_made_region() {
    let directory = directory();
    let path = directory.path().join("region");
    let mut opened = 0;
    for round in 0..15_u64 {
        let child = work("create and remove", &path);
        let start = Instant::now();
        let due = Duration::from_micros(3_000 + 1_700 * round);
        // On a busy machine the other process may need a while to begin: the last one is waited for.
        let patience = if round == 14 && opened == 0 { Duration::from_secs(20) } else { due };
        while start.elapsed() < due || (opened == 0 && start.elapsed() < patience) {
            match open(&path) {
                Ok(_) => opened += 1,
                Err(Code::NOT_FOUND | Code::GONE) => {}
                Err(code) => panic!("a half-made region was seen: {code:?}"),
            }
        }
        kill(child);
        let region = Region::open_or_create(&path, &CreateOptions::default(), &OpenOptions::default());
        region.expect("usable").create_channel("one", &slots(2)).expect("added");
        Region::remove(&path).expect("removed");
        assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 0);
    }
    assert!(opened > 0, "the race was run at all");
}

#[test]
fn a_killed_adder_leaves_whole_channels() {
    let directory = directory();
    let path = directory.path().join("region");
    let mut added = 0;
    for round in 0..15_u64 {
        let _ = Region::remove(&path);
        let region = Region::create(&path, &CreateOptions::default()).expect("created");
        let children = [work("add channels", &path), work("add channels", &path)];
        std::thread::sleep(Duration::from_micros(900 * round));
        // On a busy machine the other processes may need a while to begin: the last ones are waited for.
        let patience = Instant::now();
        while round == 14 && added == 0 && patience.elapsed() < Duration::from_secs(20) {
            added += region.channels().expect("read").len();
        }
        children.into_iter().for_each(kill);
        for region in [&region, &open(&path).expect("opened")] {
            let channels = region.channels().expect("read");
            assert!(channels.iter().all(|channel| channel.is_valid && channel.capacity == 16));
            added += channels.len();
        }
        match region.create_channel("after", &slots(16)) {
            Ok(index) => assert_eq!(region.channels().expect("read")[index as usize].name, "after"),
            Err(error) => assert_eq!(error.code(), Code::NO_SPACE, "all 256 are taken"),
        }
    }
    assert!(added > 0, "the race was run at all");
}

/// A file system of its own, unmounted when dropped.
struct Mounted(TempDir);

impl Mounted {
    fn new(size: &str) -> Option<Self> {
        let directory = directory();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(directory)),
            refused => {
                println!("skipped: no file system of our own can be mounted here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_file_system_is_an_error_and_no_signal() {
    let Some(mounted) = Mounted::new("3m") else { return };
    let path = mounted.0.path().join("region");
    let region = Region::create(&path, &CreateOptions::default()).expect("created");
    let full = |error: tailrace_core::error::Error| (error.code(), error.os_errno());
    let large = region.create_channel("large", &slots(4_096)).expect_err("needs 4 MiB of 3");
    assert_eq!(full(large), (Code::NO_SPACE, libc::ENOSPC));
    for name in ["small", "next"] {
        region.create_channel(name, &slots(64)).expect("the region is as usable as before");
    }
    let filler = mounted.0.path().join("filler");
    let filled = std::fs::write(&filler, vec![1; 4 << 20]);
    assert!(filled.is_err(), "the file system is full");
    assert_eq!(full(region.create_channel("none", &slots(64)).expect_err("full")), (Code::NO_SPACE, libc::ENOSPC));
    let other = mounted.0.path().join("other");
    assert_eq!(
        full(Region::create(&other, &CreateOptions::default()).expect_err("full")),
        (Code::NO_SPACE, libc::ENOSPC)
    );
    assert!(!other.exists());
    let names: Vec<_> =
        open(&path).expect("opened").channels().expect("read").into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["small", "next"]);
    std::fs::remove_file(&filler).expect("removed");
    // A process that another test forked just then holds the filler too, until it calls exec or ends.
    let patience = Instant::now();
    while let Err(error) = region.create_channel("large", &slots(1_024)) {
        assert_eq!(error.code(), Code::NO_SPACE);
        assert!(patience.elapsed() < Duration::from_secs(20), "room again: {error:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Region::create(&other, &CreateOptions::default()).expect("room again");
}

fn same_file(found: &std::fs::Metadata, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (found.dev(), found.ino()))
}

#[test]
fn a_child_of_fork_has_no_handle_and_can_open_anew() {
    let directory = directory();
    let path = directory.path().join("region");
    let region = Region::create(&path, &CreateOptions::default()).expect("created");
    region.create_channel("one", &slots(2)).expect("added");
    let inode = format!(" {} ", std::fs::metadata(&path).expect("there").ino());
    let is_held = || {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("read");
        let mut names = std::fs::read_dir("/proc/self/fd").expect("read").flatten();
        let is_it =
            |name: std::fs::DirEntry| std::fs::metadata(name.path()).is_ok_and(|found| same_file(&found, &path));
        [maps.contains(&inode), names.any(is_it)]
    };
    assert_eq!(is_held(), [true, true]);
    // SAFETY: the child calls what may be called after fork in a program with threads, and ends without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let forked = |code: Option<Code>| code == Some(Code::FORKED);
            let checks = [
                is_held() == [false, false],
                forked(region.channels().err().map(|error| error.code())),
                forked(region.stats().err().map(|error| error.code())),
                forked(region.create_channel("two", &slots(2)).err().map(|error| error.code())),
                region.clone().path() == path,
            ];
            drop(region.clone());
            let anew = open(&path).is_ok_and(|anew| anew.create_channel("two", &slots(2)).is_ok());
            let wrong = checks.iter().position(|is_right| !is_right).map(|index| index as i32 + 1);
            wrong.unwrap_or(if anew { 0 } else { 100 })
        }));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(outcome.unwrap_or(101)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(libc::WIFEXITED(status), "{status:#x}");
    assert_eq!(libc::WEXITSTATUS(status), 0, "the number of the check that failed");
    assert_eq!(region.channels().expect("the parent's is as before").len(), 2);
    assert!(std::fs::metadata(&path).expect("there").len() > FIRST_BAND_OFFSET);
}
