//! Idle: a thread that runs when nobody else wants the processor.

use tailrace_core::error::{Code, Error, Result};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    thread_schedule_policy,
};

/// Sets SCHED_IDLE for this thread, and for those that it starts.
///
/// # Errors
/// PERMISSION: the system keeps it where it was.
pub fn become_idle() -> Result<()> {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // It sets a nice value too, which may be refused and means nothing then: what counts is what can be read back.
    let outcome = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    match thread_schedule_policy() {
        Ok(policy) if policy == idle => Ok(()),
        _ => Err(Error::new(Code::PERMISSION, format!("setting SCHED_IDLE: {outcome:?}"))),
    }
}
