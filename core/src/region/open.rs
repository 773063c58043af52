//! Opening a region: nothing that the file says is believed before it was checked.
//!
//! The file itself comes first (a plain file, of this user, of root, or of a group of ours, that not everybody may
//! write), then the header through a small mapping of its own, and only then is the address space reserved that the
//! header asks for.

use super::create::map;
use super::lock::LockFile;
use super::options::{LIMIT_MAX, OpenOptions};
use super::shared::{Opening, Shared};
use super::{boot_id, fail, refused, remake};
use crate::error::{Code, Error, Result};
use crate::image::is_annex_right;
use crate::layout::{
    ANNEX_OFFSET, ANNEX_VERSION, BAND_ALIGN, CHANNEL_MAX, FIRST_BAND_OFFSET, HEADER_BYTES, MAGIC, RegionHeader,
    VERSION, layout_hash,
};
use crate::os::mapping::Mapping;
use crate::os::{self, Access, Status};
use crate::sync::Ordering;
use std::path::{Path, PathBuf};

/// Opens the region at `path`, which is absolute.
pub(super) fn open(path: PathBuf, options: &OpenOptions) -> Result<Shared> {
    let foreign_flags = options.foreign_flags()?;
    let access = if options.read_only { Access::Read } else { Access::Write };
    let (descriptor, status) = open_checked(&path, access)?;
    let header = map_header(&descriptor, &status, &path)?;
    let is_foreign = header.view::<RegionHeader>(0).annex_offset.load(Ordering::Relaxed) == 0;
    let limit_bytes = if is_foreign {
        check_published(header.view(0), options, &path)?;
        status.bytes
    } else {
        checked_limit(header.view(0), &status, &path)?
    };
    drop(header);
    let locks = LockFile::open(&descriptor, &status, &path, access)?;
    let mapping = map(&descriptor, limit_bytes, access, options.hugepages, options.lock_memory)?;
    if !is_foreign && !is_annex_right(mapping.view(ANNEX_OFFSET)) {
        return fail(Code::CORRUPT, format!("the annex of {} is not where it must be", path.display()));
    }
    let opening = Opening {
        limit_bytes,
        lock_timeout_ms: options.lock_timeout_ms,
        is_read_only: options.read_only,
        foreign_flags: is_foreign.then_some(foreign_flags),
    };
    let mut shared = Shared::new(mapping, locks, path, opening);
    shared.check()?;
    if !is_foreign {
        trust_this_boot(&shared)?;
        shared.adopt_region_id();
    }
    Ok(shared)
}

/// Opens a file that may be a region, by what `fstat` says.
pub(super) fn open_checked(path: &Path, access: Access) -> Result<(os::Descriptor, Status)> {
    let opening = |cause: std::io::Error| {
        if os::is_symbolic_link(&cause) {
            let what = format!("{} is a symbolic link, which is never followed", path.display());
            return Error::os(Code::PERMISSION, what, cause);
        }
        if cause.kind() == std::io::ErrorKind::IsADirectory {
            return Error::os(Code::FOREIGN, format!("opening {}", path.display()), cause);
        }
        refused(format_args!("opening {}", path.display()), cause)
    };
    let descriptor = os::open(path, access).map_err(opening)?;
    let status = os::status(&descriptor).map_err(opening)?;
    if !status.is_regular {
        return fail(Code::FOREIGN, format!("{} is not a plain file", path.display()));
    }
    let user = os::user();
    let is_by_group = status.mode & 0o040 != 0 && os::is_member(status.group);
    if user != 0 && status.owner != user && status.owner != 0 && !is_by_group {
        let owner = status.owner;
        return fail(Code::PERMISSION, format!("{} belongs to user {owner}, not to {user}", path.display()));
    }
    if status.mode & 0o002 != 0 {
        let mode = status.mode;
        return fail(Code::PERMISSION, format!("everybody may write {} (mode {mode:#o})", path.display()));
    }
    Ok((descriptor, status))
}

/// Maps the published header of a file that has the magic number.
pub(super) fn map_header(descriptor: &os::Descriptor, status: &Status, path: &Path) -> Result<Mapping> {
    if status.bytes < HEADER_BYTES {
        let bytes = status.bytes;
        return fail(Code::FOREIGN, format!("{} is {bytes} bytes long, no region", path.display()));
    }
    let header = Mapping::new(descriptor, HEADER_BYTES, Access::Read)
        .map_err(|cause| refused(format_args!("mapping the header of {}", path.display()), cause))?;
    // sync: region-magic. Acquire; pairs with the Release in `create`.
    let magic = header.view::<RegionHeader>(0).magic.load(Ordering::Acquire);
    if magic != MAGIC {
        return fail(Code::FOREIGN, format!("{} begins with {magic:#018x}, not with {MAGIC:#018x}", path.display()));
    }
    Ok(header)
}

fn check_published(header: &RegionHeader, options: &OpenOptions, path: &Path) -> Result<()> {
    let path = path.display();
    if options.recovery {
        let why = "was made by a program that knows only the published layout, and cannot repair itself";
        return fail(Code::FOREIGN, format!("{path} {why}"));
    }
    check_version(header, &path)
}

fn check_version(header: &RegionHeader, path: &impl std::fmt::Display) -> Result<()> {
    let version = header.version.load(Ordering::Relaxed);
    if version != VERSION {
        return fail(Code::VERSION, format!("{path} has version {version}; this tailrace knows {VERSION}"));
    }
    let channels = header.max_channels.load(Ordering::Relaxed);
    if channels != CHANNEL_MAX {
        return fail(Code::CORRUPT, format!("{path} has room for {channels} channels, not {CHANNEL_MAX}"));
    }
    Ok(())
}

/// The address space that a header with annex asks for.
pub(super) fn checked_limit(header: &RegionHeader, status: &Status, path: &Path) -> Result<u64> {
    let path = path.display();
    check_version(header, &path)?;
    let (annex, hash) = (header.annex_version.load(Ordering::Relaxed), header.layout_hash.load(Ordering::Relaxed));
    if (annex, hash) != (ANNEX_VERSION, layout_hash()) {
        let known = layout_hash();
        let message = format!("{path} has annex version {annex}, layout {hash:08x}; not {ANNEX_VERSION}, {known:08x}");
        return fail(Code::VERSION, message);
    }
    let offset = header.annex_offset.load(Ordering::Relaxed);
    let limit = header.limit_bytes.load(Ordering::Relaxed);
    if offset != ANNEX_OFFSET || !(FIRST_BAND_OFFSET..=LIMIT_MAX).contains(&limit) || !limit.is_multiple_of(BAND_ALIGN)
    {
        return fail(Code::CORRUPT, format!("{path} has its annex at {offset} and a limit of {limit} bytes"));
    }
    if status.bytes < FIRST_BAND_OFFSET {
        let bytes = status.bytes;
        return fail(Code::CORRUPT, format!("{path} is {bytes} bytes long, shorter than its annex"));
    }
    Ok(limit)
}

/// Re-makes the region if it was made before the machine was started. Where the boot's id cannot be read, it is taken
/// to be the same.
fn trust_this_boot(shared: &Shared) -> Result<()> {
    let Some(boot) = boot_id() else { return Ok(()) };
    if shared.header().boot_id.load() == boot {
        return Ok(());
    }
    if shared.is_read_only() {
        let path = shared.path().display();
        return fail(
            Code::CORRUPT,
            format!("{path} was made before the machine was started; open it for writing once"),
        );
    }
    remake::remake(shared, &boot)
}
