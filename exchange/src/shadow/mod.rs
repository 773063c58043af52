//! Shadow: replays the journal beside the matcher, so that a snapshot costs the matcher nothing.
//!
//! ```text
//!  journal ──► follower ──► replica ──► snapshots/*.snapshot      every so many commands, in a thread for the file
//!                 ▲  │ image, once for all who wait
//!                 └──▼
//!              service ──► clients that come late
//! ```
//!
//! It reads the journal's files and nothing else: no region, no ring, nothing of a living matcher; at level `wal` only
//! what is on disk. So it is never ahead of what a matcher finds when it starts again, it does not notice when one dies,
//! and nobody notices when it does.
//!
//! All its work is done by threads of its own that stand behind everybody else's (`priority`); whoever runs the agent
//! only looks after them. And because no kernel leaves the middle of a copy for a thread that wakes up, they write to
//! sockets and files in pieces of a few microseconds. A follower that hardly gets a processor falls behind, and images
//! are as old as that: how far is in the status as `lag`, and how long ago that was said as `silent_ms`.
//!
//! **What was refused.** Forking the matcher for a snapshot (a copy of a page for each that it writes from then on, in
//! the very thread that must not stall); a copy of the book between two commands (tens of milliseconds); following the
//! ring (a command that is in it and not in the journal may never have been).

mod follower;
mod priority;

use crate::agent::{Agent, pin, say};
use crate::config::{Config, Priority, Role};
use crate::snapshot::client::End;
use crate::snapshot::image::Image;
use crate::snapshot::service::{Limits, Served, Service};
use follower::{Follower, Progress};
use mio::Waker;
use serde_json::{Map, Value, json};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tailrace_core::error::{Code, Error, Result};

/// The longest sleep of the service.
const LOOK: Duration = Duration::from_millis(50);

type Worker = JoinHandle<Result<()>>;

/// The agent.
pub struct Shadow {
    address: String,
    /// Dropped when it has to end.
    stop: Option<Sender<()>>,
    waker: Arc<Waker>,
    workers: Vec<Worker>,
    served: Arc<Mutex<Served>>,
    progress: Arc<Mutex<Progress>>,
    priority: Priority,
    /// What was last read of them.
    seen: (Served, Progress),
}

impl Shadow {
    /// Listens for clients, and begins to look for the journal.
    ///
    /// # Errors
    /// BUSY: somebody listens there already; PERMISSION, IO.
    pub fn start(config: &Config) -> Result<Self> {
        let limits = Limits { clients_max: config.snapshot.clients_max, ..Limits::default() };
        let service = Service::listen(config.snapshot.listen, limits)?;
        let waker = Arc::new(service.waker()?);
        let ((stop, stopped), (wanted, wishes), (give, images)) = (channel(), channel(), channel());
        let mut shadow = Self {
            address: service.address().to_string(),
            stop: Some(stop),
            waker: Arc::clone(&waker),
            workers: Vec::new(),
            served: Arc::default(),
            progress: Arc::default(),
            priority: config.snapshot.priority,
            seen: Default::default(),
        };
        let follower = Follower::new(config, wishes, give, waker, Arc::clone(&shadow.progress));
        let served = Arc::clone(&shadow.served);
        let (cpu, priority) = (config.pin_of(Role::Shadow), shadow.priority);
        shadow.work("shadow-follower", cpu, move || follower.run())?;
        shadow.work("shadow-service", cpu, move || serve(service, priority, &wanted, &images, &stopped, &served))?;
        Ok(shadow)
    }

    fn work(
        &mut self,
        name: &str,
        cpu: Option<usize>,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let priority = self.priority;
        let prepared = move || {
            cpu.map_or(Ok(()), pin)?;
            if let Err(error) = priority.take() {
                say(&json!({ "role": Role::Shadow.name(), "report": "not behind", "why": error.to_string() }));
            }
            work()
        };
        let thread = Builder::new().name(name.into()).spawn(prepared);
        self.workers.push(thread.map_err(|cause| Error::os(Code::IO, "starting a thread of the shadow", cause))?);
        Ok(())
    }

    /// What the first worker that has ended says.
    fn look_after(&mut self) -> Result<()> {
        match self.workers.iter().position(JoinHandle::is_finished) {
            None => Ok(()),
            Some(index) => {
                joined(self.workers.swap_remove(index))?;
                Err(Error::new(Code::INTERNAL, "a thread of the shadow ended before it was asked to"))
            }
        }
    }
}

fn joined(worker: Worker) -> Result<()> {
    worker.join().unwrap_or_else(|_| Err(Error::new(Code::INTERNAL, "a thread of the shadow has panicked")))
}

/// Serves clients until nobody holds the other end of `stopped`, or nobody makes images any more.
fn serve(
    mut service: Service,
    priority: Priority,
    wanted: &Sender<()>,
    images: &Receiver<Arc<Image>>,
    stopped: &Receiver<()>,
    served: &Mutex<Served>,
) -> Result<()> {
    let mut is_asked = false;
    loop {
        if service.turn(LOOK)? {
            priority.rest();
        }
        match images.try_recv() {
            Ok(image) => {
                service.give(&image);
                is_asked = false;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        if stopped.try_recv() == Err(TryRecvError::Disconnected) {
            return Ok(());
        }
        if !is_asked && service.ask() {
            is_asked = wanted.send(()).is_ok();
        }
        *served.lock().unwrap_or_else(PoisonError::into_inner) = service.served();
    }
}

impl Agent for Shadow {
    fn role(&self) -> Role {
        Role::Shadow
    }

    fn turn(&mut self) -> Result<usize> {
        self.look_after().map(|()| 0)
    }

    fn wait(&mut self, most: Duration) -> Result<()> {
        std::thread::sleep(most);
        Ok(())
    }

    fn ready(&mut self) -> Value {
        json!({ "listen": self.address })
    }

    fn status(&mut self) -> Value {
        // Never waits for a thread that may not run for long: what was read last must do then.
        if let (Ok(served), Ok(progress)) = (self.served.try_lock(), self.progress.try_lock()) {
            self.seen = (*served, *progress);
        }
        let (served, progress) = self.seen;
        let silent_ms = progress.noted_at.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        let ended: Map<_, _> =
            End::ALL.iter().map(|&end| (end.name().into(), served.ended[end as usize].into())).collect();
        json!({
            "journal_sequence": progress.journal_sequence,
            "lag": progress.lag,
            "silent_ms": silent_ms,
            "market_sequence": progress.market_sequence,
            "report_ordinal": progress.report_ordinal,
            "orders": progress.orders,
            "state_hash": format!("{:016x}", progress.state_hash),
            "output_hash": format!("{:016x}", progress.output_hash),
            "files": progress.files,
            "file_sequence": progress.file_sequence,
            "files_failed": progress.files_failed,
            "images": progress.images,
            "clients": served.clients,
            "served": served.answers,
            "served_bytes": served.bytes,
            "refused": served.refused,
            "ended": ended,
        })
    }

    fn close(&mut self) -> Result<()> {
        self.stop = None;
        // It looks every now and then in any case.
        let _ = self.waker.wake();
        let mut outcome = Ok(());
        for worker in self.workers.drain(..) {
            let ended = joined(worker);
            outcome = outcome.and(ended);
        }
        outcome
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        let _ = self.close();
    }
}
