//! The only door to the operating system: what regions and logs ask of Linux, one thin call each.
//!
//! `linux` decides nothing and `absent` refuses everything where there is no Linux; `mapping` is a file in memory,
//! `fork` is what a child of fork must not inherit. What the system refuses is told by [`refused`], once for everybody.

#[cfg_attr(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))), path = "absent.rs")]
mod linux;

pub(crate) mod fork;
pub(crate) mod mapping;

pub(crate) use linux::*;

use crate::error::{Code, Error, Result};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failure of our own finding.
pub(crate) fn fail<T>(code: Code, message: String) -> Result<T> {
    Err(Error::new(code, message))
}

/// What the operating system refused, by the code that fits best.
pub(crate) fn refused(what: impl fmt::Display, cause: io::Error) -> Error {
    let code = match cause.kind() {
        _ if is_no_space(&cause) => Code::NO_SPACE,
        io::ErrorKind::NotFound => Code::NOT_FOUND,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::PERMISSION,
        io::ErrorKind::AlreadyExists => Code::EXISTS,
        io::ErrorKind::Unsupported => Code::UNSUPPORTED,
        _ => Code::IO,
    };
    Error::os(code, what, cause)
}

/// A path that stays the same when the working directory changes.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return fail(Code::ARGUMENT, format!("{path:?} is no path"));
    }
    std::path::absolute(path).map_err(|cause| refused(format_args!("finding {}", path.display()), cause))
}
