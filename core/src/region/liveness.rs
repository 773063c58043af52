//! The proof of a death, and what a ring asks of the world.
//!
//! A participant is dead when the kernel dropped its lock *and* nothing proves that it lives: not the same process, by
//! id, start and namespace, running and still mapping this very file. Both, because a program may close descriptors
//! that it does not know and live on. A paused process keeps its lock, and is never dead.

use super::guard::RegionGuard;
use super::process::Identity;
use super::shared::Shared;
use crate::error::Result;
use crate::layout::{PARTICIPANT_MAX, Participant};
use crate::os;
use crate::ring::Host;
use crate::sync::{AtomicU32, Ordering};

impl Shared {
    /// Takes the lock of a participant's life; false when somebody, this process included, holds it.
    pub(crate) fn lock_participant(&self, index: u32) -> Result<bool> {
        self.locks.try_lock_participant(index)
    }

    /// Lets go of it; nothing in a child of fork.
    pub(crate) fn unlock_participant(&self, index: u32) {
        if !self.is_forked() {
            self.locks.unlock_participant(index);
        }
    }

    /// Whether nobody holds it; a doubt is no.
    pub(crate) fn participant_lock_is_free(&self, index: u32) -> bool {
        index < PARTICIPANT_MAX && self.locks.is_participant_free(index)
    }

    /// Who an entry says that its owner is.
    pub(super) fn owner(&self, participant: &Participant) -> Identity {
        Identity {
            pid: participant.pid.load(Ordering::Acquire),
            start: participant.process_start.load(Ordering::Relaxed),
            namespace: participant.pid_namespace.load(Ordering::Relaxed),
        }
    }

    /// Whether the owner of this entry is proved dead.
    pub(crate) fn is_dead(&self, index: u32) -> bool {
        let Some(participant) = self.participants().get(index as usize) else { return false };
        if self.is_forked() || !self.participant_lock_is_free(index) {
            return false;
        }
        let owner = self.owner(participant);
        if owner.pid == 0 || owner.namespace != self.identity().namespace {
            return true;
        }
        owner != self.identity() && !owner.is_provably_alive(self.mapped_file())
    }
}

impl Host for Shared {
    type Lock<'a> = RegionGuard<'a>;

    #[inline]
    fn now_ns(&self) -> u64 {
        os::now_ns()
    }

    #[inline]
    fn monotonic_ns(&self) -> u64 {
        os::monotonic_ns()
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        os::futex_wake(word, count);
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64) {
        os::futex_wait(word, expected, timeout_ns);
    }

    fn try_lock(&self) -> Option<RegionGuard<'_>> {
        Shared::try_lock(self)
    }

    fn is_dead(&self, participant: u32) -> bool {
        Shared::is_dead(self, participant)
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use crate::layout::{MAGIC, STATE_LIVE};
    use crate::region::{CreateOptions, OpenOptions, Region};
    use std::io::{BufRead, BufReader, Write as _};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    const SEAT: u32 = 3;

    fn attach(region: &Region, index: u32) {
        let shared = region.shared();
        assert!(shared.lock_participant(index).expect("asked"));
        let participant = &shared.participants()[index as usize];
        let Identity { pid, start, namespace } = shared.identity();
        participant.pid.store(pid, Ordering::Relaxed);
        participant.process_start.store(start, Ordering::Relaxed);
        participant.pid_namespace.store(namespace, Ordering::Relaxed);
        participant.state.store(STATE_LIVE, Ordering::Release);
    }

    fn region() -> (tempfile::TempDir, Region) {
        let directory = tempfile::tempdir().expect("a directory");
        let region = Region::create(directory.path().join("region"), &CreateOptions::default()).expect("created");
        (directory, region)
    }

    /// Runs `actor` below in a process of its own, which attaches to the region and then does as it is told.
    fn act(region: &Region, deed: &str) -> Child {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "region::liveness::tests::actor", "--nocapture"])
            .env("TAILRACE_ACTOR", deed)
            .env("TAILRACE_REGION", region.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let output = child.stdout.as_mut().expect("piped");
        assert!(BufReader::new(output).lines().any(|line| line.expect("read").ends_with("attached")));
        child
    }

    /// Not a test by itself: what a process started by [`act`] does.
    #[test]
    fn actor() {
        let Ok(deed) = std::env::var("TAILRACE_ACTOR") else { return };
        let path = std::env::var("TAILRACE_REGION").expect("set by act");
        let region = Region::open(path, &OpenOptions::default()).expect("opened");
        attach(&region, SEAT);
        match deed.as_str() {
            "wait" => {}
            "lose the lock" => os::close(region.shared().locks.descriptor().number()),
            "exec" => {
                println!("attached");
                let failed = Command::new("sleep").arg("60").exec();
                panic!("exec: {failed}");
            }
            "fork" => {
                // SAFETY: the child only sleeps and ends.
                if unsafe { libc::fork() } == 0 {
                    std::thread::sleep(std::time::Duration::from_secs(5));
                    std::process::exit(0);
                }
            }
            other => panic!("{other}"),
        }
        println!("attached");
        let _ = std::io::stdin().read_line(&mut String::new());
    }

    fn becomes_dead(region: &Region) -> bool {
        let mut asked = 0..2_000;
        asked.any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            region.shared().is_dead(SEAT)
        })
    }

    fn end(mut child: Child) {
        let _ = child.kill();
        let _ = child.wait();
    }

    #[test]
    fn own_handles_are_alive_until_given_up() {
        let (_directory, region) = region();
        let other = Region::open(region.path(), &OpenOptions::default()).expect("opened");
        attach(&region, SEAT);
        for handle in [&region, &other] {
            assert!(!handle.shared().is_dead(SEAT));
        }
        let participant = &region.shared().participants()[SEAT as usize];
        participant.pid.store(0, Ordering::Relaxed);
        assert!(!other.shared().is_dead(SEAT), "its lock is held");
        region.shared().unlock_participant(SEAT);
        assert!(region.shared().is_dead(SEAT) && other.shared().is_dead(SEAT));
        participant.pid.store(region.shared().identity().pid, Ordering::Relaxed);
        assert!(!region.shared().is_dead(SEAT), "lock or not, this process lives");
    }

    #[test]
    fn a_killed_process_is_dead_even_as_a_zombie() {
        let (_directory, region) = region();
        let mut child = act(&region, "wait");
        assert!(!region.shared().is_dead(SEAT));
        child.kill().expect("killed");
        assert!(becomes_dead(&region), "before anybody waited for it");
        end(child);
        assert!(region.shared().is_dead(SEAT));
    }

    #[test]
    fn a_stopped_process_is_not_dead() {
        let (_directory, region) = region();
        let child = act(&region, "wait");
        // SAFETY: a signal to a process of this test.
        unsafe { libc::kill(child.id() as i32, libc::SIGSTOP) };
        for _ in 0..50 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            assert!(!region.shared().is_dead(SEAT));
        }
        end(child);
        assert!(becomes_dead(&region));
    }

    #[test]
    fn a_process_that_lost_its_lock_and_lives_is_not_dead() {
        let (_directory, region) = region();
        let child = act(&region, "lose the lock");
        assert!(region.shared().participant_lock_is_free(SEAT) && !region.shared().is_dead(SEAT));
        end(child);
        assert!(region.shared().is_dead(SEAT));
    }

    #[test]
    fn after_exec_only_the_process_id_is_the_same() {
        let (_directory, region) = region();
        let child = act(&region, "exec");
        assert!(becomes_dead(&region));
        end(child);
    }

    #[test]
    fn a_forked_child_does_not_keep_its_parent_alive() {
        let (_directory, region) = region();
        let mut child = act(&region, "fork");
        assert!(!region.shared().is_dead(SEAT));
        child.stdin.take().expect("piped").write_all(b"end\n").expect("told");
        child.wait().expect("wait");
        assert!(becomes_dead(&region));
        assert_eq!(region.shared().header().magic.load(Ordering::Relaxed), MAGIC);
    }

    #[test]
    fn another_namespace_proves_nothing() {
        let (_directory, region) = region();
        attach(&region, SEAT);
        let participant = &region.shared().participants()[SEAT as usize];
        participant.pid_namespace.fetch_add(1, Ordering::Relaxed);
        assert!(!region.shared().is_dead(SEAT), "its lock is held");
        region.shared().unlock_participant(SEAT);
        assert!(region.shared().is_dead(SEAT));
        assert!(!region.shared().is_dead(u32::MAX), "no such entry");
    }
}
