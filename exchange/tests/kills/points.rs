//! Killed at every step on purpose: the build with `pause_points` stops there and says so.

use crate::flow::Kind;
use crate::part::{Part, journaled, until};
use crate::stage::{Shape, Stage, flow};
use tailrace_exchange::config::Acknowledge;

/// The matcher's own steps, and those of what it stands on.
const STEPS: [&str; 16] = [
    "matcher.taken",
    "matcher.journaled",
    "matcher.matched",
    "matcher.reported",
    "matcher.published",
    "output.published",
    "output.recorded",
    "recorder.copy",
    "recorder.copied",
    "recorder.appended",
    "recorder.published",
    "write.looked",
    "write.claimed",
    "write.rewriting",
    "write.publish",
    "write.published",
];

fn die_at(step: &str, skip: u64, acknowledge: Acknowledge) {
    let stage = Stage::new(&Shape { acknowledge, streams: [256, 256, 256], ..Shape::default() });
    let environment = [("TAILRACE_PAUSE", step.to_string()), ("TAILRACE_PAUSE_SKIP", skip.to_string())];
    let matcher = Part::start(&stage.file, "matcher", &environment);
    let commands = flow(Kind::Adversarial, skip + 77, 2_000);
    let mut done = 0;
    let mut stopped = None;
    let mut has_stopped = || {
        stopped = stopped.take().or_else(|| matcher.complaint());
        stopped.is_some()
    };
    let mut is_ready = false;
    until("it is ready, or stops before that", || {
        is_ready = is_ready || matcher.is_ready();
        is_ready || has_stopped()
    });
    if is_ready {
        let mut writer = stage.writer();
        while done < 1_500 && !has_stopped() {
            done += writer.write(&commands[done..done + 30]);
            until("it is taken, or never will be", || has_stopped() || journaled(&stage.config) == done as u64 + 1);
        }
        until("it stops", &mut has_stopped);
    }
    assert_eq!(stopped.as_deref(), Some(step));
    matcher.kill();

    let matcher = Part::start(&stage.file, "matcher", &[]);
    matcher.line("ready");
    let mut writer = stage.writer();
    let mut rest = &commands[done..];
    until("all is written", || {
        let written = writer.write(&rest[..rest.len().min(40)]);
        rest = &rest[written..];
        rest.is_empty()
    });
    until("all is journaled", || journaled(&stage.config) == 2_001);
    let live = matcher.end();
    let said = stage.said();
    said.check_numbers();
    let (replica, follows) = stage.follows();
    assert!(said == follows, "{step} {skip} {acknowledge:?}");
    assert_eq!(live["state_hash"], format!("{:016x}", replica.book().state_hash()), "{step} {skip} {acknowledge:?}");
}

fn die_everywhere(acknowledge: Acknowledge) {
    for step in STEPS {
        if step == "matcher.published" && acknowledge == Acknowledge::Wal {
            // There is no such step: what is published waits for the disk.
            continue;
        }
        for skip in [0, 7] {
            die_at(step, skip, acknowledge);
        }
    }
}

#[test]
fn killed_at_every_step_at_level_memory() {
    die_everywhere(Acknowledge::Memory);
}

#[test]
fn killed_at_every_step_at_level_written() {
    die_everywhere(Acknowledge::Written);
}

#[test]
fn killed_at_every_step_at_level_wal() {
    die_everywhere(Acknowledge::Wal);
}
