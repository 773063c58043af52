//! No operating system that regions know: every call that makes one is refused, so nothing else is ever reached.

use crate::sync::AtomicU32;
use std::io;
use std::path::Path;
use std::ptr::NonNull;

/// What a descriptor or mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looking only.
    Read,
    /// Looking and changing.
    Write,
}

/// An open file: there is none.
#[derive(Debug)]
#[allow(dead_code, reason = "never made, so that nothing else is ever reached")]
pub struct Descriptor(i32);

impl Descriptor {
    /// The kernel's number for it.
    pub fn number(&self) -> i32 {
        self.0
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Device of the file system.
    pub device: u64,
    /// Number of the file there.
    pub inode: u64,
    /// Length.
    pub bytes: u64,
    /// User id.
    pub owner: u32,
    /// Group id.
    pub group: u32,
    /// Permission bits.
    pub mode: u32,
    /// Whether it is a plain file.
    pub is_regular: bool,
}

/// What a mapping is to be, besides mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Not there in a child of fork.
    NotForked,
    /// Made of huge pages where the kernel can.
    HugePages,
    /// Never paged out.
    Locked,
}

fn absent<T>() -> io::Result<T> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

macro_rules! refused {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(pub fn $name($($argument: $type),*) -> io::Result<$result> {
            $(let _ = $argument;)*
            absent()
        })*
    };
}

refused! {
    open(path: &Path, access: Access) -> Descriptor;
    open_new(path: &Path, mode: u32) -> Descriptor;
    open_unnamed(directory: &Path, mode: u32) -> Descriptor;
    open_memory() -> Descriptor;
    reopen(descriptor: &Descriptor, access: Access) -> Descriptor;
    status(descriptor: &Descriptor) -> Status;
    identity_of(path: &Path) -> (u64, u64);
    inode_behind(path: &Path) -> u64;
    link_to(target: &Path, name: &Path) -> ();
    owner_of_link(name: &Path) -> Option<u32>;
    set_mode(descriptor: &Descriptor, mode: u32) -> ();
    allocate(descriptor: &Descriptor, offset: u64, length: u64) -> ();
    sync(descriptor: &Descriptor) -> ();
    link_unnamed(descriptor: &Descriptor, path: &Path) -> ();
    rename_new(from: &Path, to: &Path) -> ();
    try_lock(descriptor: &Descriptor, offset: u64) -> bool;
    is_locked(descriptor: &Descriptor, offset: u64, length: u64) -> bool;
    map(descriptor: &Descriptor, bytes: usize, access: Access) -> NonNull<u8>;
    advise(address: NonNull<u8>, bytes: usize, advice: Advice) -> ();
    random() -> [u8; 16];
    at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> ();
}

pub fn close(_number: i32) {}

pub fn unlock(_descriptor: &Descriptor, _offset: u64, _length: u64) {}

/// Nothing: no mapping was ever made.
///
/// # Safety
/// None.
pub unsafe fn unmap(_address: NonNull<u8>, _bytes: usize) {}

pub fn now_ns() -> u64 {
    0
}

pub fn monotonic_ns() -> u64 {
    0
}

pub fn futex_wake(_word: &AtomicU32, _count: u32) {}

pub fn futex_wait(_word: &AtomicU32, _expected: u32, _timeout_ns: u64) {}

pub fn user() -> u32 {
    0
}

pub fn is_member(_group: u32) -> bool {
    false
}

pub fn is_process(_pid: u32) -> bool {
    false
}

pub fn give_way() {}

pub fn is_unnamed_unsupported(_error: &io::Error) -> bool {
    false
}

pub fn is_rename_unsupported(_error: &io::Error) -> bool {
    false
}

pub fn is_symbolic_link(_error: &io::Error) -> bool {
    false
}

/// Never reached.
pub fn free_bytes(_path: &Path) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn is_no_space(_error: &io::Error) -> bool {
    false
}

/// Never reached.
pub fn pin(_processor: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Never reached.
#[cfg(feature = "pause_points")]
pub fn stop_here(_descriptor: i32, _name: &str) {}

pub fn read_ahead(_number: i32, _offset: u64, _length: u64) {}

pub fn write_back(_number: i32, _offset: u64, _length: u64) {}
