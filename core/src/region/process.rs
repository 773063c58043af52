//! Who a process is, so that a number used again is not taken for it: its id, its start time and its pid namespace.

use crate::os;
use std::fmt::Write as _;
use std::path::Path;

/// One process, for as long as the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start time, clock ticks since boot; 0 where /proc does not tell.
    pub start: u64,
    /// Inode of the pid namespace; 0 where /proc does not tell.
    pub namespace: u64,
}

impl Identity {
    /// This process.
    pub fn own() -> Self {
        Self {
            pid: std::process::id(),
            start: running("self").unwrap_or(0),
            namespace: os::inode_behind(Path::new("/proc/self/ns/pid")).unwrap_or(0),
        }
    }

    /// Whether /proc shows this very process running, and still mapping `file`. Where the list of mappings cannot be
    /// read, the process is taken to map it.
    pub fn is_provably_alive(&self, file: Option<&MappedFile>) -> bool {
        if running(&self.pid.to_string()) != Some(self.start) {
            return false;
        }
        let Some(file) = file else { return true };
        match std::fs::read(format!("/proc/{}/maps", self.pid)) {
            Ok(maps) => maps.split(|byte| *byte == b'\n').any(|line| file.is_in(line)),
            Err(_) => true,
        }
    }
}

/// Start time of a process that runs and is no zombie.
fn running(pid: &str) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows the last one are numbers, from the state on.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
    let start = fields.nth(18)?.parse().ok()?;
    (!is_dead).then_some(start)
}

/// A file as lists of mappings name it: device and inode, which need not be those of `fstat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MappedFile(Vec<u8>);

impl MappedFile {
    /// The file that this process has mapped at `address`.
    pub fn at(address: u64) -> Option<Self> {
        let maps = std::fs::read("/proc/self/maps").ok()?;
        let mut start = String::new();
        write!(start, "{address:x}-").ok()?;
        let line = maps.split(|byte| *byte == b'\n').find(|line| line.starts_with(start.as_bytes()))?;
        Some(Self(Self::key(line)?))
    }

    fn is_in(&self, line: &[u8]) -> bool {
        Self::key(line).is_some_and(|key| key == self.0)
    }

    /// `08:01 1234` of `addresses permissions offset 08:01 1234 path`.
    fn key(line: &[u8]) -> Option<Vec<u8>> {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let (device, inode) = (fields.next()?, fields.next()?);
        Some([device, b" ", inode].concat())
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_not_a_namesake() {
        let own = Identity::own();
        assert!(own.start > 0 && own.namespace > 0);
        assert!(own.is_provably_alive(None));
        assert!(!Identity { start: own.start + 1, ..own }.is_provably_alive(None));
        assert!(!Identity { pid: 0, ..own }.is_provably_alive(None));
    }

    #[test]
    fn a_process_that_does_not_map_the_file_is_another_one() {
        let own = Identity::own();
        let elsewhere = MappedFile(b"00:00 18446744073709551615".to_vec());
        assert!(!own.is_provably_alive(Some(&elsewhere)));
    }

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let pid = child.id().to_string();
        while running(&pid).is_some() {
            std::thread::yield_now();
        }
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "not reaped yet");
        child.wait().expect("wait");
    }
}
