//! Priority: how the shadow's threads stand behind everybody else's.
//!
//! At `idle` they run when nobody else wants the processor, and leave it at once. Where somebody always wants it they
//! still get three thousandths of it, in ticks of the kernel's clock (4 ms at 250 Hz) that come seldom: a follower falls
//! behind there for ever, and each tick is one that a matcher on the same processor waits.
//!
//! At `nice` they are ordinary threads of the least weight, so they go on under any load; because they do not leave the
//! processor at once, they work in pieces that are shorter than a tenth of a millisecond, and sleep between two.

use crate::config::Priority;
use rustix::process::{getpriority_process, setpriority_process};
use std::time::Duration;
use tailrace_core::error::{Code, Error, Result};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    thread_schedule_policy,
};

/// The least weight that an ordinary thread can have.
const NICEST: i32 = 19;
/// Sleep after a piece of work.
const REST: Duration = Duration::from_micros(100);

impl Priority {
    /// Sets it for this thread, and for those that it starts.
    ///
    /// # Errors
    /// PERMISSION: the system keeps it where it was.
    pub fn take(self) -> Result<()> {
        match self {
            Self::Idle => become_idle(),
            Self::Nice => become_nice(),
        }
    }

    /// What has to come between two pieces of work.
    pub fn rest(self) {
        match self {
            Self::Idle => std::thread::yield_now(),
            Self::Nice => std::thread::sleep(REST),
        }
    }
}

fn become_idle() -> Result<()> {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // It sets a nice value too, which may be refused and means nothing then: what counts is what can be read back.
    let outcome = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    match thread_schedule_policy() {
        Ok(policy) if policy == idle => Ok(()),
        _ => Err(Error::new(Code::PERMISSION, format!("setting SCHED_IDLE: {outcome:?}"))),
    }
}

fn become_nice() -> Result<()> {
    // None is the caller, which for Linux is a thread.
    let outcome = setpriority_process(None, NICEST);
    match getpriority_process(None) {
        Ok(NICEST) => Ok(()),
        _ => Err(Error::new(Code::PERMISSION, format!("setting the nice value {NICEST}: {outcome:?}"))),
    }
}
