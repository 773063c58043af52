//! Host: parts of the exchange in a process of their own, run as `tailrace-exchange run --spin` runs them, all on one
//! processor; and paused, so that another may have the processor for a while.

use crate::allocations;
use crate::aside::{Aside, Board};
use crate::clock;
use crate::disk;
use crate::pair::Outcome;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tailrace_core::error::Result;
use tailrace_exchange::agent::{self, Agent, Running};
use tailrace_exchange::config::{Config, Role};
use tailrace_exchange::gateway::Gateway;
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::publisher::Publisher;

/// Words of the board.
pub const READY: usize = 0;
/// The process works while it is 1, and says 1 in the next while it rests.
pub const TURN: usize = 1;
pub const RESTS: usize = 2;
pub const STOP: usize = 3;
pub const ENDED: usize = 4;
pub const PORT: usize = 5;
/// Allocations of the thread of the agents while it worked, and turns in which there were some.
const ALLOCATIONS: usize = 6;
const ALLOCATING: usize = 7;

/// The processor of everything that is measured; the bench itself is on 0.
pub const PROCESSOR: usize = 1;

/// How long whoever rests sleeps between two looks: whoever works is on the same processor, and is not to notice.
const NAP: Duration = Duration::from_millis(5);
/// Between two looks of the bench whether he has woken up.
const LOOK: Duration = Duration::from_micros(50);

/// A folder in memory that goes when it is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    /// An empty one.
    pub fn new(name: &str) -> Outcome<Self> {
        let path = PathBuf::from(format!("/dev/shm/bench-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A configuration whose region is in memory and whose logs are in `directory`.
pub fn config(memory: &Folder, directory: &Path, differences: &Value) -> Outcome<Config> {
    std::fs::create_dir_all(directory)?;
    let mut value = json!({
        "region": memory.0.join("region"),
        "data": directory.join("data"),
        "gateway": { "listen": "127.0.0.1:0" },
        "publisher": { "feed": ["127.0.0.1:9"], "requests": "127.0.0.1:0", "heartbeat_ms": 60_000 },
        "snapshot": { "listen": "127.0.0.1:0" },
        "users": [],
    });
    for (name, difference) in differences.as_object().into_iter().flatten() {
        value[name] = difference.clone();
    }
    Ok(serde_json::from_value(value)?)
}

/// Names and values that stand beside a sample.
pub type Told = Vec<(&'static str, Value)>;

/// A running exchange, or a part of one.
pub struct Host {
    /// Its process.
    pub aside: Aside,
    status: PathBuf,
    data: PathBuf,
    /// Segments of all logs when counting began.
    segments: u64,
}

impl Host {
    /// Starts it; it rests.
    pub fn start(config: &Config, roles: &[Role]) -> Outcome<Self> {
        let status = config.data.with_extension("status");
        let aside = Aside::start(|board| serve(board, config, roles, &status))?;
        let mut host = Self { aside, status, data: config.data.clone(), segments: 0 };
        host.aside.wait_for(READY, 1)?;
        Ok(host)
    }

    /// While it rests: what it has allocated until now does not count.
    pub fn forget_allocations(&mut self) -> Outcome<()> {
        self.aside.board.set(ALLOCATIONS, 0);
        self.aside.board.set(ALLOCATING, 0);
        self.segments = self.count_segments()?;
        Ok(())
    }

    fn count_segments(&self) -> Outcome<u64> {
        let logs = ["orders", "reports", "market"].map(|stream| disk::segments(&self.data.join(stream)));
        logs.into_iter().try_fold(0, |sum, segments| Ok(sum + segments?.len() as u64))
    }

    /// Ends it in good order; how each part is in the end, and what is told of the whole.
    pub fn end(mut self) -> Outcome<(Vec<Value>, Told)> {
        let board = self.aside.board;
        end(&mut self.aside)?;
        let statuses: Vec<Value> = serde_json::from_slice(&std::fs::read(&self.status)?)?;
        let matcher = matcher_of(&statuses);
        let mut told = vec![
            ("allocations", json!(board.get(ALLOCATIONS))),
            ("allocating_turns", json!(board.get(ALLOCATING))),
            ("segments_begun", json!(self.count_segments()? - self.segments)),
        ];
        for name in ["output_hash", "service_p50_ns", "service_p99_ns", "executions", "orders"] {
            told.push((name, matcher[name].clone()));
        }
        Ok((statuses, told))
    }
}

/// What the matcher says of itself.
pub fn matcher_of(statuses: &[Value]) -> &Value {
    statuses.iter().find(|status| status["journal_sequence"].is_u64()).unwrap_or(&Value::Null)
}

/// Lets one process work, when the others rest, and waits until it does.
pub fn work(board: &Board) {
    board.set(TURN, 1);
    while board.get(RESTS) == 1 {
        std::thread::sleep(LOOK);
    }
}

/// Lets it rest, and waits until it does.
pub fn rest(aside: &mut Aside) -> Outcome<()> {
    aside.board.set(TURN, 0);
    aside.wait_for(RESTS, 1)
}

/// Ends it, whether it works or rests.
pub fn end(aside: &mut Aside) -> Outcome<()> {
    aside.board.set(STOP, 1);
    aside.board.set(TURN, 0);
    aside.wait_for(ENDED, 1)
}

/// What a process that rests does, until it may work; false: it is to end.
pub fn wait_for_turn(board: &Board) -> bool {
    board.set(RESTS, 1);
    while board.get(TURN) == 0 {
        if board.get(STOP) == 1 {
            return false;
        }
        std::thread::sleep(NAP);
    }
    board.set(RESTS, 0);
    true
}

/// The last of the agents: holds them all up while the process rests, and counts what they allocate while it does not.
struct Warden {
    board: &'static Board,
    /// Allocations until now.
    seen: u64,
}

impl Agent for Warden {
    fn role(&self) -> Role {
        Role::Shadow
    }

    fn turn(&mut self) -> Result<usize> {
        let now = allocations::of_this_thread();
        if now != self.seen {
            self.board.set(ALLOCATIONS, self.board.get(ALLOCATIONS) + now - self.seen);
            self.board.set(ALLOCATING, self.board.get(ALLOCATING) + 1);
            self.seen = now;
        }
        if self.board.get(TURN) == 0 && !wait_for_turn(self.board) {
            // SAFETY: the process catches it, as one that is asked to end.
            unsafe { libc::raise(libc::SIGTERM) };
        }
        Ok(0)
    }

    fn wait(&mut self, _most: Duration) -> Result<()> {
        Ok(())
    }

    fn status(&mut self) -> Value {
        json!({})
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn serve(board: &'static Board, config: &Config, roles: &[Role], status: &Path) -> Outcome<()> {
    // Before any thread is started, so that all of them share the processor.
    clock::pin(PROCESSOR);
    be_quiet();
    let mut agents: Vec<Box<dyn Agent>> = Vec::new();
    for role in roles {
        agents.push(match role {
            Role::Matcher => Box::new(Matcher::start(config)?),
            Role::Publisher => Box::new(Publisher::start(config)?),
            Role::Gateway => {
                let gateway = Gateway::start(config)?;
                board.set(PORT, gateway.address().port().into());
                Box::new(gateway)
            }
            Role::Shadow => return Err("the shadow has a process of its own".into()),
        });
    }
    // Each has its turn before the one that waits for what it does, as in a process of an exchange.
    let way = [Role::Gateway, Role::Matcher, Role::Publisher];
    agents.sort_by_key(|agent| way.iter().position(|role| *role == agent.role()));
    agents.push(Box::new(Warden { board, seen: allocations::of_this_thread() }));
    board.set(READY, 1);
    agent::run(config, &mut agents, Running { is_spinning: true, ..Running::default() })?;
    agents.pop();
    let statuses: Vec<_> = agents.iter_mut().map(|agent| agent.status()).collect();
    std::fs::write(status, serde_json::to_vec(&statuses)?)?;
    board.set(ENDED, 1);
    Ok(())
}

/// Runs one agent as a process of an exchange does, until it is to end; it sleeps when there is nothing to do, or spins.
pub fn serve_one(
    board: &'static Board,
    config: &Config,
    start: impl FnOnce() -> Result<Box<dyn Agent>>,
    status: &Path,
    is_spinning: bool,
) -> Outcome<()> {
    be_quiet();
    let mut agent = start()?;
    if let Some(port) = agent.ready()["listen"].as_str().and_then(|address| address.rsplit(':').next()) {
        board.set(PORT, port.parse()?);
    }
    // SAFETY: it is this process, which catches the signal as one that is asked to end.
    let end = |pid| unsafe { libc::kill(pid, libc::SIGTERM) };
    std::thread::spawn(move || {
        while board.get(STOP) == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        end(std::process::id() as libc::pid_t)
    });
    board.set(READY, 1);
    let mut agents = [agent];
    agent::run(config, &mut agents, Running { is_spinning, ..Running::default() })?;
    std::fs::write(status, serde_json::to_vec(&agents[0].status())?)?;
    board.set(ENDED, 1);
    Ok(())
}

/// What agents say on standard output is not what the bench says there.
fn be_quiet() {
    // SAFETY: the descriptor is this process's own, and replaced by one that takes everything.
    unsafe {
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
        libc::dup2(nowhere, libc::STDOUT_FILENO);
        libc::close(nowhere);
    }
}
