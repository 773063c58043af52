//! Pause points: the process stops at a named step of the protocol and tells its parent.
//!
//! Only with the feature `pause_points`, for the kill matrix; a release build has none of it. `TAILRACE_PAUSE` names
//! the step, `TAILRACE_PAUSE_SKIP` how many times it is passed first, and `TAILRACE_PAUSE_FD` the descriptor that gets
//! one line, `step\n`, before the process stops itself with SIGSTOP. Whoever kills or continues it is its parent.

use crate::sync::{AtomicU32, Ordering};
use std::sync::OnceLock;

struct Plan {
    step: String,
    descriptor: i32,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
static LEFT: AtomicU32 = AtomicU32::new(0);

fn plan() -> Option<Plan> {
    let step = std::env::var("TAILRACE_PAUSE").ok()?;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    LEFT.store(number("TAILRACE_PAUSE_SKIP").unwrap_or(0) as u32 + 1, Ordering::SeqCst);
    Some(Plan { step, descriptor: number("TAILRACE_PAUSE_FD").unwrap_or(2) })
}

/// The process is at this step.
pub fn step(name: &'static str) {
    let Some(plan) = PLAN.get_or_init(plan) else { return };
    if plan.step != name {
        return;
    }
    let is_now = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1);
    if is_now {
        crate::os::stop_here(plan.descriptor, name);
    }
}
