//! Removing a region: those who are attached are told by one word, those who come later find no name. The links to the
//! logs of its channels go with it; the logs stay.

use super::link;
use super::lock::LockFile;
use super::open::{checked_limit, map_header, open_checked};
use super::shared::{Opening, Shared};
use super::{fail, refused};
use crate::error::{Code, Result};
use crate::layout::{FIRST_BAND_OFFSET, HEADER_BYTES, RegionHeader};
use crate::os::mapping::Mapping;
use crate::os::{self, Access};
use crate::sync::Ordering;
use std::path::Path;

/// Removes the region at `path`, which is absolute. One whose channels or annex are damaged can be removed too.
pub(super) fn remove(path: &Path, lock_timeout_ms: u64) -> Result<()> {
    unlink(path, lock_timeout_ms, |_| true).map(drop)
}

/// Removes the name of a region whose removal was begun and interrupted; whether it did.
pub(super) fn finish(path: &Path) -> bool {
    // sync: removed. Acquire; pairs with the Release of `unlink`.
    unlink(path, 0, |header| header.removed.load(Ordering::Acquire) != 0).unwrap_or(false)
}

/// Tells those who are attached and takes the name away, if the header is as wanted; whether it was.
fn unlink(path: &Path, lock_timeout_ms: u64, is_wanted: impl Fn(&RegionHeader) -> bool) -> Result<bool> {
    let (descriptor, status) = open_checked(path, Access::Write)?;
    let header = map_header(&descriptor, &status, path)?;
    let is_foreign = header.view::<RegionHeader>(0).annex_offset.load(Ordering::Relaxed) == 0;
    if !is_foreign {
        match checked_limit(header.view(0), &status, path) {
            Err(error) if error.code() == Code::VERSION => return Err(error),
            _ => {}
        }
    }
    drop(header);
    let locks = LockFile::open(&descriptor, &status, path, Access::Write)?;
    // A file that is too short for an annex has nobody attached, and nothing there may be touched.
    let is_whole = !is_foreign && status.bytes >= FIRST_BAND_OFFSET;
    let bytes = if is_whole { FIRST_BAND_OFFSET } else { HEADER_BYTES };
    let mapping = Mapping::new(&descriptor, bytes, Access::Write)
        .map_err(|cause| refused(format_args!("mapping {}", path.display()), cause))?;
    let foreign_flags = (!is_whole).then_some(0);
    let opening = Opening { limit_bytes: bytes, lock_timeout_ms, is_read_only: false, foreign_flags };
    let shared = Shared::new(mapping, locks, path.to_path_buf(), opening);
    let _guard = shared.lock(lock_timeout_ms)?;
    match os::identity_of(path) {
        Ok(found) if found == (status.device, status.inode) => {}
        _ => return fail(Code::GONE, format!("{} was removed or replaced by somebody else", path.display())),
    }
    if !is_wanted(shared.header()) {
        return Ok(false);
    }
    if !is_foreign {
        // sync: removed. Release; pairs with the Acquire in `is_removed`.
        shared.header().removed.store(1, Ordering::Release);
    }
    // Before the name: a new region of this name has links of its own.
    link::remove_all(path);
    std::fs::remove_file(path).map_err(|cause| refused(format_args!("removing {}", path.display()), cause))?;
    Ok(true)
}
