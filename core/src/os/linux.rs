//! Linux, one thin call each: nothing here decides anything.
//!
//! Every descriptor is close-on-exec, every path is opened without following a symbolic link at its end, and nothing
//! blocks: a FIFO put where a region was expected is opened, seen not to be a file, and refused.

use crate::sync::AtomicU32;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
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

/// An open file; closed when dropped.
#[derive(Debug)]
pub struct Descriptor(i32);

impl Descriptor {
    /// The kernel's number for it.
    pub fn number(&self) -> i32 {
        self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// What `fstat` says.
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

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn terminated(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn open_with(path: &Path, flags: i32, mode: u32) -> io::Result<Descriptor> {
    let path = terminated(path)?;
    let flags = flags | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: the path is NUL-terminated and lives through the call.
    checked(unsafe { libc::open(path.as_ptr(), flags, mode) }).map(Descriptor)
}

/// Opens an existing file, never through a symbolic link.
pub fn open(path: &Path, access: Access) -> io::Result<Descriptor> {
    open_with(path, access_flag(access) | libc::O_NOFOLLOW, 0)
}

/// Makes a file with a name nobody has.
pub fn open_new(path: &Path, mode: u32) -> io::Result<Descriptor> {
    open_with(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, mode)
}

/// Makes a file without a name.
pub fn open_unnamed(directory: &Path, mode: u32) -> io::Result<Descriptor> {
    open_with(directory, libc::O_RDWR | libc::O_TMPFILE, mode)
}

/// Makes a file that is in memory only and has no name anywhere.
pub fn open_memory() -> io::Result<Descriptor> {
    // SAFETY: the name is a string that ends with NUL.
    checked(unsafe { libc::memfd_create(c"tailrace".as_ptr(), libc::MFD_CLOEXEC) }).map(Descriptor)
}

/// A second, independent description of the same file.
pub fn reopen(descriptor: &Descriptor, access: Access) -> io::Result<Descriptor> {
    open_with(Path::new(&format!("/proc/self/fd/{}", descriptor.0)), access_flag(access), 0)
}

fn access_flag(access: Access) -> i32 {
    match access {
        Access::Read => libc::O_RDONLY,
        Access::Write => libc::O_RDWR,
    }
}

/// Closes a descriptor by number; may be called between fork and exec.
pub fn close(number: i32) {
    // SAFETY: callers own the number; a wrong one is refused by the kernel.
    unsafe { libc::close(number) };
}

/// Length, owner and mode of an open file.
pub fn status(descriptor: &Descriptor) -> io::Result<Status> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the structure it is given.
    checked(unsafe { libc::fstat(descriptor.0, stat.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded, so every field is set.
    let stat = unsafe { stat.assume_init() };
    Ok(Status {
        device: stat.st_dev,
        inode: stat.st_ino,
        bytes: stat.st_size as u64,
        owner: stat.st_uid,
        group: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        is_regular: stat.st_mode & libc::S_IFMT == libc::S_IFREG,
    })
}

/// Device and inode of what the name stands for, a symbolic link itself included.
pub fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Inode of what a link of /proc leads to.
pub fn inode_behind(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|found| found.ino())
}

/// Makes `name` a symbolic link to `target`, in the place of what was there, in one step.
pub fn link_to(target: &Path, name: &Path) -> io::Result<()> {
    let mut fresh = name.as_os_str().to_owned();
    fresh.push(format!(".{}.tmp", std::process::id()));
    match std::fs::remove_file(&fresh) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &fresh)?;
    std::fs::rename(&fresh, name).inspect_err(|_| {
        let _ = std::fs::remove_file(&fresh);
    })
}

/// Owner of a symbolic link; none: it is something else.
pub fn owner_of_link(name: &Path) -> io::Result<Option<u32>> {
    let found = std::fs::symlink_metadata(name)?;
    Ok(found.is_symlink().then(|| found.uid()))
}

/// Sets the exact permission bits, whatever the umask.
pub fn set_mode(descriptor: &Descriptor, mode: u32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { libc::fchmod(descriptor.0, mode) }).map(drop)
}

/// Makes the file at least `offset + length` long, with storage behind every byte of the range.
pub fn allocate(descriptor: &Descriptor, offset: u64, length: u64) -> io::Result<()> {
    loop {
        // SAFETY: no memory is passed.
        match unsafe { libc::posix_fallocate(descriptor.0, offset as i64, length as i64) } {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Puts the file's bytes on its device; nothing on tmpfs.
pub fn sync(descriptor: &Descriptor) -> io::Result<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { libc::fdatasync(descriptor.0) }).map(drop)
}

/// Gives a file without a name its first one.
pub fn link_unnamed(descriptor: &Descriptor, path: &Path) -> io::Result<()> {
    let source = terminated(Path::new(&format!("/proc/self/fd/{}", descriptor.0)))?;
    let path = terminated(path)?;
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: both paths are NUL-terminated and live through the call.
    checked(unsafe { libc::linkat(here, source.as_ptr(), here, path.as_ptr(), follow) }).map(drop)
}

/// Renames, unless the new name exists.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (terminated(from)?, terminated(to)?);
    let here = libc::AT_FDCWD;
    // SAFETY: both paths are NUL-terminated and live through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), libc::RENAME_NOREPLACE) };
    checked(result as i32).map(drop)
}

fn range(kind: i32, offset: u64, length: u64) -> libc::flock {
    // SAFETY: a flock is integers only, for which zero is a value; l_pid must be 0 for these commands.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as i16;
    range.l_whence = libc::SEEK_SET as i16;
    range.l_start = offset as i64;
    range.l_len = length as i64;
    range
}

/// Takes the lock on one byte for this description; false when another one has it.
pub fn try_lock(descriptor: &Descriptor, offset: u64) -> io::Result<bool> {
    let range = range(libc::F_WRLCK, offset, 1);
    // SAFETY: the structure lives through the call.
    match checked(unsafe { libc::fcntl(descriptor.0, libc::F_OFD_SETLK, &raw const range) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets go of the locks of this description on a range of bytes.
pub fn unlock(descriptor: &Descriptor, offset: u64, length: u64) {
    let range = range(libc::F_UNLCK, offset, length);
    // SAFETY: the structure lives through the call.
    unsafe { libc::fcntl(descriptor.0, libc::F_OFD_SETLK, &raw const range) };
}

/// Whether another description has a lock on any byte of the range.
pub fn is_locked(descriptor: &Descriptor, offset: u64, length: u64) -> io::Result<bool> {
    let mut range = range(libc::F_WRLCK, offset, length);
    // SAFETY: the structure lives through the call, which writes it.
    checked(unsafe { libc::fcntl(descriptor.0, libc::F_OFD_GETLK, &raw mut range) })?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

/// Maps the first `bytes` of the file, shared; pages beyond its end are address space only.
pub fn map(descriptor: &Descriptor, bytes: usize, access: Access) -> io::Result<NonNull<u8>> {
    let protection = match access {
        Access::Read => libc::PROT_READ,
        Access::Write => libc::PROT_READ | libc::PROT_WRITE,
    };
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED the kernel chooses free address space.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, descriptor.0, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

/// Ends a mapping.
///
/// # Safety
/// `address` and `bytes` are those of [`map`], in this process, and nothing borrows the memory.
pub unsafe fn unmap(address: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's.
    unsafe { libc::munmap(address.as_ptr().cast(), bytes) };
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

/// Advises the kernel about a whole mapping.
pub fn advise(address: NonNull<u8>, bytes: usize, advice: Advice) -> io::Result<()> {
    let address = address.as_ptr().cast();
    // SAFETY: none of the three changes what the memory holds or where it is.
    let result = unsafe {
        match advice {
            Advice::NotForked => libc::madvise(address, bytes, libc::MADV_DONTFORK),
            Advice::HugePages => libc::madvise(address, bytes, libc::MADV_HUGEPAGE),
            Advice::Locked => libc::syscall(libc::SYS_mlock2, address, bytes, libc::MLOCK_ONFAULT) as i32,
        }
    };
    checked(result).map(drop)
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure it is given; both clocks exist everywhere.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Wall clock, nanoseconds since 1970.
#[inline]
pub fn now_ns() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// A clock that never goes back, nanoseconds.
#[inline]
pub fn monotonic_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Wakes up to `count` of those who sleep on the word, in any process.
pub fn futex_wake(word: &AtomicU32, count: u32) {
    let count = count.min(i32::MAX as u32) as i32;
    // SAFETY: the word is alive; a shared futex, for sleepers are in other processes.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
}

/// Sleeps while the word holds `expected`, at most `timeout_ns`; may come back early.
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: u64) {
    let timeout =
        libc::timespec { tv_sec: (timeout_ns / 1_000_000_000) as i64, tv_nsec: (timeout_ns % 1_000_000_000) as i64 };
    // SAFETY: word and time-out live through the call; a shared futex, for wakers are in other processes.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const timeout) };
}

/// Random bytes from the kernel.
pub fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer is as long as said.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if length == bytes.len() as isize { Ok(bytes) } else { Err(io::Error::last_os_error()) }
}

/// The user this process acts as.
pub fn user() -> u32 {
    // SAFETY: always succeeds, and no memory is passed.
    unsafe { libc::geteuid() }
}

/// Whether this process acts as a member of the group.
pub fn is_member(group: u32) -> bool {
    // SAFETY: always succeeds, and no memory is passed.
    if unsafe { libc::getegid() } == group {
        return true;
    }
    // SAFETY: with 0 the kernel only counts.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups = vec![0; count.max(0) as usize];
    // SAFETY: the buffer has as many places as said.
    let count = unsafe { libc::getgroups(count.max(0), groups.as_mut_ptr()) };
    groups.get(..count.max(0) as usize).is_some_and(|groups| groups.contains(&group))
}

/// Whether a process has this id, in this pid namespace.
pub fn is_process(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else { return false };
    // SAFETY: signal 0 is only a question.
    let answer = checked(unsafe { libc::kill(pid, 0) });
    !answer.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

/// Has the three called around every fork: before it, then in the parent, then in the child.
pub fn at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the three live as long as the program, and do only what may be done between fork and exec.
    match unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Lets another thread run.
pub fn give_way() {
    // SAFETY: always succeeds, and no memory is passed.
    unsafe { libc::sched_yield() };
}

/// Whether O_TMPFILE failed because nothing here supports it.
pub fn is_unnamed_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL))
}

/// Whether the file system cannot rename in this way.
pub fn is_rename_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP))
}

/// Whether the last part of the path was a symbolic link.
pub fn is_symbolic_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Whether there is no storage, quota or address space left.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::ENOMEM | libc::EFBIG))
}

/// Pins this thread to a processor.
pub fn pin(processor: usize) -> io::Result<()> {
    if processor >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a set of processors is a bit field; all zero is the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number was checked against the size of the set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: 0 is this thread, and the set is as long as said.
    checked(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(|_| ())
}

/// Writes `name` and a newline to a descriptor, and stops this process until somebody continues it.
#[cfg(feature = "pause_points")]
pub fn stop_here(descriptor: i32, name: &str) {
    let line = format!("{name}\n");
    // SAFETY: the text is as long as said; a bad descriptor is an error, not harm.
    unsafe { libc::write(descriptor, line.as_ptr().cast(), line.len()) };
    // SAFETY: no memory is passed.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Bytes that an ordinary user may still write to the file system of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = terminated(path)?;
    let mut seen = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is NUL-terminated, and the kernel fills the structure it is given.
    checked(unsafe { libc::statvfs(path.as_ptr(), seen.as_mut_ptr()) })?;
    // SAFETY: statvfs succeeded, so every field is set.
    let seen = unsafe { seen.assume_init() };
    Ok(seen.f_bavail * seen.f_frsize)
}

/// Lets the kernel begin to read a part of a file; best effort, nothing waits.
pub fn read_ahead(number: i32, offset: u64, length: u64) {
    // SAFETY: no memory is passed; a bad descriptor is an error, not harm.
    unsafe { libc::posix_fadvise(number, offset as i64, length as i64, libc::POSIX_FADV_WILLNEED) };
}

/// Lets the kernel begin to write a part of a file to the disk; best effort. What fails is told by the next fdatasync.
pub fn write_back(number: i32, offset: u64, length: u64) {
    // SAFETY: no memory is passed; a bad descriptor is an error, not harm.
    unsafe { libc::sync_file_range(number, offset as i64, length as i64, libc::SYNC_FILE_RANGE_WRITE) };
}
