//! Link: where the log of a channel is, for those who only know the region.
//!
//! A symbolic link beside the region file, `<region file>.<channel index>.log`, leads to the log's directory. Each
//! recorder puts its own in the place of what was there; it goes when the region is removed. It is a hint: whoever
//! follows it compares the log's id with the one in shared memory, and follows none that a third user has made.

use super::shared::Shared;
use crate::error::{Code, Error, Result};
use crate::layout::CHANNEL_MAX;
use crate::os;
use std::path::{Path, PathBuf};

/// The name of the link of a channel.
fn name_of(region: &Path, channel: u32) -> PathBuf {
    let mut name = region.as_os_str().to_owned();
    name.push(format!(".{channel}.log"));
    name.into()
}

/// Makes the channel's link lead to `log`, an absolute path. The caller holds the recorder's role.
pub(crate) fn store(shared: &Shared, channel: u32, log: &Path) -> std::io::Result<()> {
    let Some(_guard) = shared.lock(shared.lock_timeout_ms()).ok().filter(|_| !shared.is_removed()) else {
        return Err(std::io::ErrorKind::WouldBlock.into());
    };
    os::link_to(log, &name_of(shared.path(), channel))
}

/// Where the channel's link leads.
///
/// # Errors
/// NOT_FOUND: there is none; PERMISSION: neither this user nor the region's owner has made it; IO.
pub(crate) fn load(shared: &Shared, channel: u32) -> Result<PathBuf> {
    let name = name_of(shared.path(), channel);
    let refused = |cause| os::refused(format_args!("reading the link {}", name.display()), cause);
    let missing = || {
        let message = format!("nothing leads to the log of channel {:?}: say where it is", shared.name(channel));
        Error::new(Code::NOT_FOUND, message)
    };
    let owner = match os::owner_of_link(&name) {
        Ok(Some(owner)) => owner,
        Ok(None) => return Err(missing()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(cause) => return Err(refused(cause)),
    };
    if owner != os::user() && owner != shared.file_owner()? {
        let message = format!("{} was made by user {owner}, who does not own the region", name.display());
        return Err(Error::new(Code::PERMISSION, message));
    }
    std::fs::read_link(&name).map_err(refused)
}

/// Removes the links of all channels of the region at `region`, as far as there are any.
pub(super) fn remove_all(region: &Path) {
    for channel in 0..CHANNEL_MAX {
        let name = name_of(region, channel);
        if matches!(os::owner_of_link(&name), Ok(Some(_))) {
            let _ = std::fs::remove_file(&name);
        }
    }
}
