//! Agent: a part of the exchange, as its process runs it.
//!
//! A turn does what there is to do and never waits, so that parts can share a thread; a lonely agent sleeps between its
//! turns, several on one thread spin. What an agent says of itself goes to standard output, a line of JSON each: who
//! started the process reads it, and may hold it on a leash: when standard input ends, the process leaves. A line `end`
//! before that says that the whole exchange ends, and not only this process, which somebody starts again.

use crate::config::{Config, Role};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error, Result};

/// Turns without work until a lonely agent sleeps.
const SPINS: u32 = 64;

/// The longest sleep: a signal that came just before it is seen this late.
const SLEEP: Duration = Duration::from_millis(20);

/// A part of the exchange.
pub trait Agent {
    /// What it is called on the screen.
    fn role(&self) -> Role;

    /// Does what there is to do, without waiting, and says how much that was; 0: nothing.
    ///
    /// # Errors
    /// What it cannot go on after.
    fn turn(&mut self) -> Result<usize>;

    /// Waits until there may be something to do, at most so long. Called only when it is alone on its thread.
    ///
    /// # Errors
    /// What it cannot go on after.
    fn wait(&mut self, most: Duration) -> Result<()>;

    /// What whoever started it must know before it is used, such as a port: fields of the `ready` line.
    fn ready(&mut self) -> Value {
        json!({})
    }

    /// What it has done, and how it is: fields of a status line.
    fn status(&mut self) -> Value;

    /// It ends because the whole exchange does: what others are to know of that, [`Self::close`] tells them.
    fn end_exchange(&mut self) {}

    /// Ends its work in good order, after its last turn.
    ///
    /// # Errors
    /// What could not be ended.
    fn close(&mut self) -> Result<()>;
}

/// Says one line, if anybody listens.
pub fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// How a process runs its agents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Running {
    /// How often each says how it is; none: never.
    pub status: Option<Duration>,
    /// End when standard input does: whoever started the process lets go of it, or has died.
    pub is_on_leash: bool,
    /// Never sleep. Several agents on one thread always spin.
    pub is_spinning: bool,
}

/// Runs agents on this thread until the process is asked to end (SIGTERM, SIGINT), then closes them in their order.
///
/// A process that ends without a fault ends the exchange when its leash said so, or when it runs the matcher and somebody
/// who tells others: then nobody is left to go on.
///
/// # Errors
/// The first that one of them says; the others are closed all the same.
pub fn run(config: &Config, agents: &mut [Box<dyn Agent>], running: Running) -> Result<()> {
    let (stop, is_over) = (stop_flag()?, Arc::new(AtomicBool::new(false)));
    raise_descriptors();
    if running.is_on_leash {
        follow_leash(&stop, &is_over)?;
    }
    if let Some(cpu) = agents.first().and_then(|agent| config.pin_of(agent.role())) {
        pin(cpu)?;
    }
    for agent in agents.iter_mut() {
        let mut line = agent.ready();
        line["report"] = "ready".into();
        line["role"] = agent.role().name().into();
        line["pid"] = std::process::id().into();
        say(&line);
    }
    let mut outcome = turn_until(&stop, agents, running);
    let is_whole = agents.len() > 1 && agents.iter().any(|agent| agent.role() == Role::Matcher);
    if outcome.is_ok() && (is_whole || is_over.load(Ordering::Relaxed)) {
        agents.iter_mut().for_each(|agent| agent.end_exchange());
    }
    for agent in agents.iter_mut() {
        let closed = agent.close();
        outcome = outcome.and(closed);
        say(&told(agent.as_mut(), "closed"));
    }
    outcome
}

fn told(agent: &mut dyn Agent, report: &str) -> Value {
    let mut line = agent.status();
    line["report"] = report.into();
    line["role"] = agent.role().name().into();
    line
}

fn turn_until(stop: &AtomicBool, agents: &mut [Box<dyn Agent>], running: Running) -> Result<()> {
    let is_lonely = agents.len() == 1 && !running.is_spinning;
    let mut idle = 0;
    let mut told_at = Instant::now();
    let mut turns = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let mut worked = 0;
        for agent in agents.iter_mut() {
            worked += agent.turn()?;
        }
        idle = if worked > 0 { 0 } else { idle + 1 };
        if idle > SPINS && is_lonely {
            agents[0].wait(running.status.unwrap_or(SLEEP).min(SLEEP))?;
            idle = 0;
        } else if idle > 0 {
            std::hint::spin_loop();
        }
        turns = turns.wrapping_add(1);
        if let Some(interval) = running.status
            && (idle == 0 || turns.is_multiple_of(1_024))
            && told_at.elapsed() >= interval
        {
            told_at = Instant::now();
            for agent in agents.iter_mut() {
                say(&told(agent.as_mut(), "status"));
            }
        }
    }
    Ok(())
}

fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|cause| Error::new(Code::IO, format!("listening for signals: {cause}")))?;
    }
    Ok(stop)
}

/// From now on the process is asked to end when standard input does, and the exchange is over if that said so before.
fn follow_leash(stop: &Arc<AtomicBool>, is_over: &Arc<AtomicBool>) -> Result<()> {
    let (stop, is_over) = (Arc::clone(stop), Arc::clone(is_over));
    let listen = move || {
        for word in std::io::stdin().lock().split(b'\n').map_while(std::result::Result::ok) {
            is_over.fetch_or(word == b"end", Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new()
        .name("leash".into())
        .spawn(listen)
        .map(drop)
        .map_err(|cause| Error::new(Code::IO, format!("starting the thread of the leash: {cause}")))
}

/// Lets the process open as many files and sockets as its hard limit allows; the soft one is for programs that use `select`.
fn raise_descriptors() {
    let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limits.current = limits.maximum;
    // What cannot be raised is what there is.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limits);
}

/// Keeps this thread on one processor.
///
/// # Errors
/// ARGUMENT: there is no such processor for this process.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|cause| Error::new(Code::ARGUMENT, format!("pinning to processor {cpu}: {cause}")))
}
