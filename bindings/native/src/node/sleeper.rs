//! Sleeper: one native thread that sleeps on behalf of many handles, so that the event loop need not.
//!
//! ```text
//!   loop:    wait(handle) ──> Waiting ──────────────┐            ┌──> taken: waits again, or nobody asks
//!   sleeper:                  word, look, arm, look, nap … Ready ┤
//!   loop:                                                        └──> 1 ms later still Told: passed on to others
//! ```
//!
//! After any return from a nap it looks at every handle that waits, because a nap ends for one word and says nothing
//! of the others. A handle is told about once and then left alone until the loop waits for it again: while the loop is
//! busy with what it has, nobody need wake this thread. What the loop was told of and still leaves in a queue 1 ms later
//! is passed on, for another process may sleep while this one is busy (the writer woke only one of us).
//!
//! The list is shared with the loop's thread under a lock that is never held over a nap. Who changes the list calls the
//! sleeper by its control word, which was read before the list was.

#![allow(clippy::disallowed_types, reason = "the types are those of tailrace_core::sync; clippy sees through the door")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tailrace_core::region::Look;
use tailrace_core::ring::step;
use tailrace_core::sync::{AtomicU32, Ordering};

use super::bell::News;
use super::nap::{self, Bed, Word};
use super::tally::Tally;
use crate::handles::{self, Kind};
use crate::vigil::Vigil;

const NAP: Duration = Duration::from_millis(10);
/// While a hole is ahead, and how long the loop has to take what it was told of.
const PATIENCE: Duration = Duration::from_millis(1);
/// A thread with nothing to do is called when there is.
const LONG: Duration = Duration::from_secs(3600);

enum State {
    Idle,
    Waiting { wait: u64, nap: Option<Nap> },
    Told { since: Instant },
}

/// What was so before a nap.
#[derive(Clone, Copy)]
struct Nap {
    word: u32,
    due: Instant,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Room,
    Durable,
}

impl Purpose {
    /// A handle that is negated waits for its disk, beside its wait for anything else.
    fn of(handle: i64) -> Self {
        match handles::kind(handle) {
            _ if handle < 0 => Self::Durable,
            Some(Kind::Producer) => Self::Room,
            _ => Self::Read,
        }
    }
}

struct Entry {
    handle: i64,
    purpose: Purpose,
    watch: Vigil,
    state: State,
}

#[derive(Default)]
struct List {
    entries: Vec<Entry>,
    tallies: Vec<Tally>,
    is_ending: bool,
}

/// The shared part of one sleeping thread.
pub struct Sleeper {
    bed: Bed,
    control: AtomicU32,
    list: Mutex<List>,
}

impl Sleeper {
    /// A sleeper with nothing to do.
    pub fn new(bed: Bed) -> Self {
        Self { bed, control: AtomicU32::new(0), list: Mutex::default() }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can take one more.
    pub fn has_room(&self) -> bool {
        let list = self.list();
        list.entries.len() + list.tallies.len() < self.bed.width()
    }

    /// Adds a handle that nobody waits for yet.
    pub fn add(&self, handle: i64, watch: Vigil) {
        let purpose = Purpose::of(handle);
        self.list().entries.push(Entry { handle, purpose, watch, state: State::Idle });
    }

    /// Adds a region whose counters are to be reported.
    pub fn add_tally(&self, tally: Tally) {
        self.list().tallies.push(tally);
        nap::call(&self.control);
    }

    /// Reports no more of a region, or sleeps no more for a handle.
    pub fn remove(&self, handle: i64) {
        let mut list = self.list();
        list.entries.retain(|entry| entry.handle != handle);
        list.tallies.retain(|tally| tally.region() != handle);
        drop(list);
        nap::call(&self.control);
    }

    /// Tells of this handle as soon as there is something to do for it: something to read, room for `target` slots, or
    /// the sequence `target` on disk.
    pub fn wait(&self, handle: i64, wait: u64, target: u64) {
        self.change(handle, |entry| {
            match entry.purpose {
                Purpose::Read => {}
                Purpose::Room => entry.watch.want_room(target),
                Purpose::Durable => entry.watch.want_durable(target),
            }
            entry.state = State::Waiting { wait, nap: None };
        });
        nap::call(&self.control);
    }

    /// Nobody waits any more.
    pub fn cancel(&self, handle: i64) {
        self.change(handle, |entry| entry.state = State::Idle);
    }

    fn change(&self, handle: i64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.list().entries.iter_mut().find(|entry| entry.handle == handle) {
            change(entry);
        }
    }

    /// Ends `run`.
    pub fn end(&self) {
        self.list().is_ending = true;
        nap::call(&self.control);
    }

    /// The thread: tells its news by `ring`, until `end`.
    pub fn run(&self, ring: impl Fn(&[News])) {
        let mut words = Vec::with_capacity(self.bed.width());
        let mut news = Vec::new();
        loop {
            // sync: control-word. Acquire, before the list is read; pairs with the Release in `nap::call`.
            let control = self.control.load(Ordering::Acquire);
            words.clear();
            let Some(longest) = self.look(Instant::now(), &mut words, &mut news) else { return };
            if !news.is_empty() {
                ring(&news);
            }
            news.clear();
            if !words.is_empty() {
                step("wait.sleeping");
            }
            self.bed.sleep(&words, Word::private(&self.control, control), longest);
        }
    }

    /// Looks at everything once: what to sleep on, what to tell, and how long nothing else is due.
    fn look(&self, now: Instant, words: &mut Vec<Word>, news: &mut Vec<News>) -> Option<Duration> {
        let mut list = self.list();
        if list.is_ending {
            return None;
        }
        let mut due = now + LONG;
        for entry in &mut list.entries {
            if let Some(at) = entry.look(now, words, news) {
                due = due.min(at);
            }
        }
        for tally in &mut list.tallies {
            due = due.min(tally.look(now, news));
        }
        Some(due.saturating_duration_since(now))
    }
}

impl Entry {
    /// Looks once; says when the next thing is due.
    fn look(&mut self, now: Instant, words: &mut Vec<Word>, news: &mut Vec<News>) -> Option<Instant> {
        match self.state {
            State::Idle => None,
            State::Told { since } if now >= since + PATIENCE => {
                if self.watch.look() == Look::Ready {
                    self.watch.pass_on();
                }
                self.state = State::Idle;
                None
            }
            State::Told { since } => Some(since + PATIENCE),
            State::Waiting { wait, nap } => match self.ready_or_nap(now, nap) {
                None => {
                    news.push(News::Ready { handle: self.handle, wait });
                    self.state = State::Told { since: now };
                    Some(now + PATIENCE)
                }
                Some(nap) => {
                    words.push(Word::shared(self.watch.futex(), nap.word));
                    self.state = State::Waiting { wait, nap: Some(nap) };
                    Some(nap.due)
                }
            },
        }
    }

    /// `None` when there is something to do, else what to remember over the nap.
    fn ready_or_nap(&self, now: Instant, nap: Option<Nap>) -> Option<Nap> {
        let word = self.watch.word();
        let has_news = nap.is_none_or(|nap| nap.word != word);
        let is_due = nap.is_some_and(|nap| now >= nap.due);
        let seen = if nap.is_none() || !(has_news || is_due) { self.watch.look() } else { Look::Empty };
        // Who slept says so to its handle, which then wakes others for what it leaves.
        let has_slept = nap.is_some() && (has_news || is_due || seen == Look::Ready);
        if has_slept {
            step("wait.woken");
        }
        let seen = if has_slept { self.watch.after_sleep(!has_news) } else { seen };
        if seen == Look::Ready {
            return None;
        }
        self.watch.arm();
        step("wait.armed");
        let due = |length| match nap {
            Some(nap) if !has_news && !is_due => nap.due.min(now + length),
            _ => now + length,
        };
        match self.watch.look() {
            Look::Ready => None,
            Look::Empty => Some(Nap { word, due: due(NAP) }),
            Look::Hole => Some(Nap { word, due: due(PATIENCE) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailrace_core::region::{
        ChannelOptions, Consumer, ConsumerOptions, CreateOptions, HandleOptions, Producer, Region,
    };

    struct Scene {
        _folder: tempfile::TempDir,
        region: Region,
        producer: Producer,
        consumer: Consumer,
        sleeper: Sleeper,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
            let region = Region::create(folder.path().join("region"), &CreateOptions::default()).expect("a region");
            region.create_channel("c", &ChannelOptions::default()).expect("a channel");
            let producer = region.open_producer("c", &HandleOptions::default()).expect("a producer");
            let consumer = region.open_consumer("c", &ConsumerOptions::default()).expect("a consumer");
            let sleeper = Sleeper::new(Bed::Many);
            sleeper.add(1, Vigil::Region(consumer.watch()));
            Self { _folder: folder, region, producer, consumer, sleeper, start: Instant::now() }
        }

        /// What is told by a look so many microseconds after the start, how many words to sleep on, and how long.
        fn look(&self, after_us: u64) -> (Vec<News>, usize, Duration) {
            let (mut words, mut news) = (Vec::new(), Vec::new());
            let now = self.start + Duration::from_micros(after_us);
            let longest = self.sleeper.look(now, &mut words, &mut news).expect("it is not ending");
            (news, words.len(), longest)
        }

        fn write(&mut self) {
            assert!(self.producer.write(b"x", 0).expect("it is open"));
        }

        fn wakes(&self) -> u64 {
            self.region.channels().expect("channels")[0].counters.wakes
        }
    }

    const READY: News = News::Ready { handle: 1, wait: 7 };

    #[test]
    fn a_handle_is_told_about_once_for_each_wait() {
        let mut scene = Scene::new();
        scene.write();
        assert_eq!(scene.look(0).0, []);
        scene.sleeper.wait(1, 7, 1);
        assert_eq!(scene.look(1).0, [READY]);
        assert_eq!(scene.look(2).0, []);
        scene.sleeper.wait(1, 7, 1);
        assert_eq!(scene.look(3).0, [READY]);
    }

    #[test]
    fn it_naps_while_there_is_nothing_and_is_woken_by_a_write() {
        let mut scene = Scene::new();
        scene.sleeper.wait(1, 7, 1);
        assert_eq!(scene.look(0), (vec![], 1, NAP));
        assert_eq!(scene.look(4_000), (vec![], 1, NAP - Duration::from_micros(4_000)));
        assert_eq!(scene.look(10_000), (vec![], 1, NAP));
        scene.write();
        assert_eq!(scene.wakes(), 1);
        assert_eq!(scene.look(11_000), (vec![READY], 0, PATIENCE));
    }

    #[test]
    fn what_a_loop_does_not_take_in_time_is_passed_on() {
        let mut scene = Scene::new();
        scene.sleeper.wait(1, 7, 1);
        scene.look(0);
        scene.write();
        scene.look(100);
        assert_eq!(scene.look(900).2, Duration::from_micros(200));
        assert_eq!(scene.wakes(), 1);
        assert_eq!(scene.look(1_100), (vec![], 0, LONG));
        assert_eq!(scene.wakes(), 2);
        scene.look(5_000);
        assert_eq!(scene.wakes(), 2);
    }

    #[test]
    fn what_a_loop_took_in_time_is_not() {
        let mut scene = Scene::new();
        scene.sleeper.wait(1, 7, 1);
        scene.look(0);
        scene.write();
        scene.look(100);
        assert_eq!(scene.consumer.poll(10).expect("it is open").len(), 1);
        scene.look(1_100);
        assert_eq!(scene.wakes(), 1);
    }

    #[test]
    fn a_wait_that_was_given_up_is_not_told_of() {
        let mut scene = Scene::new();
        scene.sleeper.wait(1, 7, 1);
        scene.look(0);
        scene.sleeper.cancel(1);
        scene.write();
        assert_eq!(scene.look(100), (vec![], 0, LONG));
    }

    #[test]
    fn a_thread_tells_of_what_is_written_whatever_it_sleeps_on() {
        for bed in [Bed::One, Bed::of_this_machine()] {
            let mut scene = Scene::new();
            scene.sleeper = Sleeper::new(bed);
            scene.sleeper.add(1, Vigil::Region(scene.consumer.watch()));
            let (told, hear) = std::sync::mpsc::channel();
            let Scene { sleeper, producer, consumer, .. } = &mut scene;
            std::thread::scope(|scope| {
                scope.spawn(|| sleeper.run(move |news| told.send(news.to_vec()).expect("somebody hears")));
                for wait in 0..100 {
                    sleeper.wait(1, wait, 1);
                    assert!(producer.write(b"x", 0).expect("it is open"));
                    let heard = hear.recv_timeout(Duration::from_secs(5)).expect("it tells");
                    assert_eq!(heard, [News::Ready { handle: 1, wait }]);
                    assert_eq!(consumer.poll(10).expect("it is open").len(), 1);
                }
                sleeper.end();
            });
        }
    }

    #[test]
    fn a_sleeper_has_room_for_as_many_as_its_bed() {
        let scene = Scene::new();
        let sleeper = Sleeper::new(Bed::One);
        assert!(sleeper.has_room());
        sleeper.add(2, Vigil::Region(scene.consumer.watch()));
        assert!(!sleeper.has_room());
        sleeper.remove(2);
        assert!(sleeper.has_room());
    }
}
