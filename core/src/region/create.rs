//! Making a region, so that nobody ever opens a half-made one.
//!
//! The file has no name while it is filled; storage is allocated first, so that a full file system is an error here
//! and never a SIGBUS later. Where files without a name are unsupported, it is filled under `.NAME.PID.tmp`, with its
//! region lock held; such a name is removed by the next create when its process is gone and nobody has the lock.

use super::lock::LockFile;
use super::options::CreateOptions;
use super::shared::{Opening, Shared};
use super::{boot_id, fail, refused, remove};
use crate::error::{Code, Error, Result};
use crate::image;
use crate::layout::{ANNEX_OFFSET, FIRST_BAND_OFFSET, LOCK_OFFSET, MAGIC, RegionHeader};
use crate::os::mapping::Mapping;
use crate::os::{self, Access, Advice, Descriptor};
use crate::sync::Ordering;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Makes the region at `path`, which is absolute.
pub(super) fn create(path: &Path, options: &CreateOptions) -> Result<Shared> {
    let (directory, name, opening) = prepare(path, options)?;
    match os::open_unnamed(directory, options.mode) {
        Ok(descriptor) if os::reopen(&descriptor, Access::Read).is_ok() => {
            let shared = fill(&descriptor, path, path, options, opening)?;
            os::link_unnamed(&descriptor, path).map_err(|cause| naming(path, cause))?;
            Ok(shared)
        }
        Err(cause) if !os::is_unnamed_unsupported(&cause) => Err(creating(path, cause)),
        // Without /proc, a file without a name can neither be named nor be opened again.
        _ => create_named(path, directory.join(temporary_name(name, std::process::id())), options, opening),
    }
}

/// Makes a region that has no file: it lives as long as this process has it open.
pub(super) fn memory(options: &CreateOptions) -> Result<Shared> {
    let limit_bytes = options.checked_limit()?;
    let opening =
        Opening { limit_bytes, lock_timeout_ms: options.lock_timeout_ms, is_read_only: false, foreign_flags: None };
    let name = Path::new("memory");
    let descriptor = os::open_memory().map_err(|cause| creating(name, cause))?;
    fill(&descriptor, name, name, options, opening)
}

/// Everything before the file: arguments, the name, what others left there.
fn prepare<'a>(path: &'a Path, options: &CreateOptions) -> Result<(&'a Path, &'a OsStr, Opening)> {
    let limit_bytes = options.checked_limit()?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return fail(Code::ARGUMENT, format!("{} is not the name of a file", path.display()));
    };
    if os::identity_of(path).is_ok() && !remove::finish(path) {
        return Err(exists(path));
    }
    remove_stale(directory, name);
    let lock_timeout_ms = options.lock_timeout_ms;
    Ok((directory, name, Opening { limit_bytes, lock_timeout_ms, is_read_only: false, foreign_flags: None }))
}

fn create_named(path: &Path, temporary: PathBuf, options: &CreateOptions, opening: Opening) -> Result<Shared> {
    // The name holds nothing but the process id, so this process uses one at a time; what is there is stale.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    remove_unlocked(&temporary);
    let descriptor = os::open_new(&temporary, options.mode).map_err(|cause| creating(path, cause))?;
    let temporary = TemporaryName(temporary);
    let shared = fill(&descriptor, &temporary.0, path, options, opening)?;
    let renamed = match os::rename_new(&temporary.0, path) {
        Err(cause) if os::is_rename_unsupported(&cause) => std::fs::hard_link(&temporary.0, path),
        renamed => renamed,
    };
    renamed.map_err(|cause| naming(path, cause))?;
    shared.locks.unlock_region();
    Ok(shared)
}

/// A name that goes when this value goes, unless it became another.
struct TemporaryName(PathBuf);

impl Drop for TemporaryName {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Allocates, maps and fills the file that `descriptor` has open and that is called `current`, if anything.
fn fill(
    descriptor: &Descriptor,
    current: &Path,
    path: &Path,
    options: &CreateOptions,
    opening: Opening,
) -> Result<Shared> {
    let is_named = current != path;
    os::set_mode(descriptor, options.mode).map_err(|cause| creating(path, cause))?;
    os::allocate(descriptor, 0, FIRST_BAND_OFFSET).map_err(|cause| creating(path, cause))?;
    let status = os::status(descriptor).map_err(|cause| creating(path, cause))?;
    let locks = LockFile::open(descriptor, &status, current, Access::Write)?;
    if is_named && !locks.try_lock_region()? {
        return fail(Code::BUSY, format!("somebody locked {} while it was made", current.display()));
    }
    let mapping = map(descriptor, opening.limit_bytes, Access::Write, options.hugepages, options.lock_memory)?;
    fill_header(mapping.view(0), opening.limit_bytes)?;
    image::fill_annex_header(mapping.view(ANNEX_OFFSET));
    // sync: region-magic. Release; pairs with the Acquire in `open`.
    mapping.view::<RegionHeader>(0).magic.store(MAGIC, Ordering::Release);
    os::sync(descriptor).map_err(|cause| creating(path, cause))?;
    let mut shared = Shared::new(mapping, locks, path.to_path_buf(), opening);
    shared.adopt_region_id();
    Ok(shared)
}

/// Maps a region file and gives the kernel the advice that was asked for.
pub(super) fn map(
    descriptor: &Descriptor,
    bytes: u64,
    access: Access,
    hugepages: bool,
    lock_memory: bool,
) -> Result<Mapping> {
    let mapping = Mapping::new(descriptor, bytes, access)
        .map_err(|cause| refused(format_args!("mapping {bytes} bytes of address space"), cause))?;
    if hugepages {
        let _ = mapping.advise(Advice::HugePages);
    }
    if lock_memory {
        mapping.advise(Advice::Locked).map_err(|cause| {
            let what = format!("locking {bytes} bytes in memory (see RLIMIT_MEMLOCK)");
            Error::os(Code::PERMISSION, what, cause)
        })?;
    }
    Ok(mapping)
}

fn fill_header(header: &RegionHeader, limit_bytes: u64) -> Result<()> {
    let id = os::random().map_err(|cause| refused("asking for random bytes", cause))?;
    image::fill_header(header, limit_bytes, &boot_id().unwrap_or_default(), &id, os::now_ns());
    Ok(())
}

fn temporary_name(name: &OsStr, pid: u32) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{pid}.tmp"));
    temporary
}

/// Removes what creators of this name left when they were killed.
fn remove_stale(directory: &Path, name: &OsStr) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let pid = found.to_str().and_then(|found| found.strip_suffix(".tmp")?.rsplit('.').next()?.parse().ok());
        if pid.is_some_and(|pid| found == temporary_name(name, pid) && !os::is_process(pid)) {
            remove_unlocked(&entry.path());
        }
    }
}

fn remove_unlocked(path: &Path) {
    let Ok(descriptor) = os::open(path, Access::Write) else { return };
    let is_ours = os::status(&descriptor).is_ok_and(|status| status.is_regular && status.owner == os::user());
    // Its creator may be a living process of another pid namespace; then it has the lock.
    if is_ours && os::is_locked(&descriptor, LOCK_OFFSET, 1).is_ok_and(|is_locked| !is_locked) {
        let _ = std::fs::remove_file(path);
    }
}

fn creating(path: &Path, cause: std::io::Error) -> Error {
    refused(format_args!("creating {}", path.display()), cause)
}

fn naming(path: &Path, cause: std::io::Error) -> Error {
    if cause.kind() == std::io::ErrorKind::AlreadyExists { exists(path) } else { creating(path, cause) }
}

fn exists(path: &Path) -> Error {
    Error::new(Code::EXISTS, format!("{} exists already", path.display()))
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use crate::region::Region;
    use crate::region::options::OpenOptions;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn without_unnamed_files_a_temporary_name_comes_and_goes() {
        let directory = directory();
        let path = directory.path().join("region");
        let temporary = directory.path().join(temporary_name(OsStr::new("region"), std::process::id()));
        std::fs::write(&temporary, b"half").expect("written");
        let options = CreateOptions::default();
        let opening = prepare(&path, &options).expect("prepared").2;
        let made = create_named(&path, temporary.clone(), &options, opening).expect("created");
        assert_eq!(names(directory.path()), ["region"]);
        let again = create_named(&path, temporary, &options, opening);
        assert_eq!(again.err().map(|error| error.code()), Some(Code::EXISTS));
        assert_eq!(names(directory.path()), ["region"]);
        let other = Region::open(&path, &OpenOptions::default()).expect("opened");
        assert!(other.shared().lock(0).is_ok(), "the creator let go of the region lock");
        assert!(made.lock(0).is_ok());
    }

    #[test]
    fn what_a_killed_creator_left_is_removed() {
        let directory = directory();
        let dead = {
            let mut child = std::process::Command::new("true").spawn().expect("spawn");
            child.wait().expect("wait");
            child.id()
        };
        let stale = directory.path().join(format!(".region.{dead}.tmp"));
        let living = directory.path().join(".region.1.tmp");
        let other = directory.path().join(format!(".other.{dead}.tmp"));
        let locked = directory.path().join(format!(".locked.{dead}.tmp"));
        for path in [&stale, &living, &other, &locked] {
            std::fs::write(path, b"half").expect("written");
        }
        let holder = os::open(&locked, Access::Write).expect("opened");
        assert!(os::try_lock(&holder, LOCK_OFFSET).expect("asked"));
        for name in ["region", "locked"] {
            Region::create(directory.path().join(name), &CreateOptions::default()).expect("created");
        }
        assert!(!stale.exists() && living.exists() && other.exists() && locked.exists());
    }
}
