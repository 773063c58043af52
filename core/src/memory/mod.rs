//! Memory: a region in one linear memory, which several threads share and none can map a file into.
//!
//! The bytes are those of a region's file, to the last one ([`crate::layout`]); rings, seats, repair and waiting are the
//! same code. What differs is who lives: the threads of one process know of each other's end from whoever ended them,
//! and no kernel drops a lock.
//!
//! ```text
//!   instance 1 (a thread, with its own stack)  ─┐   lock word of the annex: number of the instance that has it, or 0
//!   instance 2                                 ─┼─  participant.process_start: number of its instance
//!   instance 3, ended: `bury(3)`               ─┘   participant.pid: 0 once it is buried
//! ```
//!
//! **What must always be true.** An instance has a number that is never used again while the memory lives. A participant
//! belongs to one instance and is dead when its pid is 0; nothing but [`Linear::bury`], or its own closing, makes it so.
//! Whoever buries has the proof: the thread has ended, and its last store is visible. What is done under the lock can be
//! interrupted anywhere and be done again, so a lock whose owner was buried is broken and nothing needs mending.
//! The memory is as large at the beginning as it will ever be: other threads' views would not follow its growth.
//!
//! **What was refused.** A heartbeat of threads (a thread over a long computation has none), and a lock of JavaScript's
//! own (the core must be able to try it in the middle of a call).
//!
//! The files: `producer` and `consumer` are the handles, `vigil` is what somebody sees who waits for one.

mod consumer;
#[cfg(all(feature = "pause_points", not(feature = "std")))]
pub mod pause;
mod producer;
#[cfg(all(test, feature = "std"))]
mod rules;
mod vigil;

pub use consumer::{Consumer, Reading};
pub use producer::Producer;
pub use vigil::Vigil;

use crate::error::{Code, Fault};
use crate::image::{self, Place, terminated};
use crate::layout::{
    ANNEX_OFFSET, ANNEX_VERSION, AnnexHeader, BAND_ALIGN, CHANNEL_FOREIGN_CODE, CHANNEL_FOREIGN_DOCUMENT, CHANNEL_MAX,
    CHANNEL_RECORDED, CHANNELS_OFFSET, COUNTERS_OFFSET, ChannelEntry, ChannelName, FIRST_BAND_OFFSET, MAGIC,
    NAMES_OFFSET, PARTICIPANT_MAX, PARTICIPANTS_OFFSET, Participant, RegionHeader, STATE_FREE, STATE_JOINING, VERSION,
    layout_hash,
};
use crate::ring::{Guest, Hall, Host, Ring, Unblocked, step};
use crate::sync::{AtomicU32, Ordering, spin_hint};
use crate::views::Views;
use core::ptr::NonNull;

/// How long one nap before the lock is, nanoseconds.
const LOCK_NAP_NS: u64 = 1_000_000;

/// Value of a BUSY that is of the lock, beside the number of who holds it; else it is a process id.
pub const LOCK_BUSY: u64 = 1 << 32;

/// The world around one instance: its clocks, and sleep and wake.
pub trait World {
    /// Wall clock, nanoseconds since 1970.
    fn now_ns(&self) -> u64;

    /// A clock that never goes back, nanoseconds.
    fn monotonic_ns(&self) -> u64;

    /// Wakes up to `count` of those who sleep on `word`, in any thread.
    fn wake(&self, word: &AtomicU32, count: u32);

    /// Sleeps while `word` holds `expected`, at most `timeout_ns`; a thread that may not sleep returns at once.
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64);
}

/// Who attaches.
#[derive(Debug, Clone, Copy)]
pub struct Instance {
    /// Never 0, and no other instance of this memory has or had it.
    pub number: u32,
    /// Process id, for people.
    pub pid: u32,
    /// How long control calls wait for the lock, nanoseconds.
    pub lock_timeout_ns: u64,
}

/// A region in linear memory, as one instance sees it. Used by one thread.
pub struct Linear<'m, W> {
    views: Views<'m>,
    instance: Instance,
    world: W,
}

/// Holding it is holding the region lock.
pub struct LinearLock<'a, W: World> {
    word: &'a AtomicU32,
    world: &'a W,
}

impl<W: World> Drop for LinearLock<'_, W> {
    fn drop(&mut self) {
        // sync: linear-lock. Release; pairs with the Acquire in `try_lock`.
        self.word.store(0, Ordering::Release);
        self.world.wake(self.word, 1);
    }
}

impl<'m, W: World> Linear<'m, W> {
    /// Makes a region of memory that is all zero.
    ///
    /// # Errors
    /// `ARGUMENT` when there is less than a region needs.
    ///
    /// # Safety
    /// `bytes` from `base` on are there as long as `'m`, begin at a multiple of 4,096, and nobody else uses them.
    pub unsafe fn create(
        base: NonNull<u8>,
        bytes: u64,
        id: [u8; 16],
        instance: Instance,
        world: W,
    ) -> Result<Self, Fault> {
        let bytes = bytes / BAND_ALIGN * BAND_ALIGN;
        if bytes < FIRST_BAND_OFFSET {
            return Err(Fault::with(Code::ARGUMENT, FIRST_BAND_OFFSET));
        }
        // SAFETY: the caller's promise.
        let region = Self { views: unsafe { Views::new(base, bytes) }, instance, world };
        image::fill_header(region.header(), bytes, &[0; 16], &id, region.world.now_ns());
        image::fill_annex_header(region.annex());
        // sync: region-magic. Release; pairs with the Acquire in `open`.
        region.header().magic.store(MAGIC, Ordering::Release);
        Ok(region)
    }

    /// Attaches to a region that somebody made.
    ///
    /// # Errors
    /// `FOREIGN`, `VERSION`, `CORRUPT`: what is there is no such region. `GONE`: it was removed.
    ///
    /// # Safety
    /// `bytes` from `base` on are there as long as `'m`, begin at a multiple of 4,096, and are used as a region or not at all.
    pub unsafe fn open(base: NonNull<u8>, bytes: u64, instance: Instance, world: W) -> Result<Self, Fault> {
        if bytes < FIRST_BAND_OFFSET {
            return Err(Fault::new(Code::FOREIGN));
        }
        // SAFETY: the caller's promise.
        let mut region = Self { views: unsafe { Views::new(base, bytes) }, instance, world };
        let header = region.header();
        // sync: region-magic. Acquire; pairs with the Release in `create`.
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(Fault::new(Code::FOREIGN));
        }
        let seen = (
            header.version.load(Ordering::Relaxed),
            header.annex_version.load(Ordering::Relaxed),
            header.layout_hash.load(Ordering::Relaxed),
        );
        let annex = header.annex_offset.load(Ordering::Relaxed);
        if annex == 0 {
            return Err(Fault::new(Code::FOREIGN));
        }
        if seen != (VERSION, ANNEX_VERSION, layout_hash()) {
            return Err(Fault::new(Code::VERSION));
        }
        let limit = header.limit_bytes.load(Ordering::Relaxed);
        let is_right = header.max_channels.load(Ordering::Relaxed) == CHANNEL_MAX
            && annex == ANNEX_OFFSET
            && (FIRST_BAND_OFFSET..=bytes).contains(&limit)
            && limit.is_multiple_of(BAND_ALIGN);
        if !is_right || !image::is_annex_right(region.annex()) {
            return Err(Fault::with(Code::CORRUPT, limit));
        }
        if header.removed.load(Ordering::Acquire) != 0 {
            return Err(Fault::new(Code::GONE));
        }
        // SAFETY: the caller's promise; it is no more than before.
        region.views = unsafe { Views::new(base, limit) };
        Ok(region)
    }

    fn header(&self) -> &'m RegionHeader {
        self.views.one(0)
    }

    fn annex(&self) -> &'m AnnexHeader {
        self.views.one(ANNEX_OFFSET)
    }

    fn entry(&self, channel: u32) -> &'m ChannelEntry {
        &self.views.many(CHANNELS_OFFSET, CHANNEL_MAX as usize)[channel as usize]
    }

    fn names(&self) -> &'m [ChannelName] {
        self.views.many(NAMES_OFFSET, CHANNEL_MAX as usize)
    }

    fn seats(&self) -> &'m [Participant] {
        self.views.many(PARTICIPANTS_OFFSET, PARTICIPANT_MAX as usize)
    }

    /// This instance.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// What the instance has of the world.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// How many channels were added.
    ///
    /// # Errors
    /// `CORRUPT`.
    pub fn channel_count(&self) -> Result<u32, Fault> {
        // sync: channel-count. Acquire; pairs with the Release that commits a new channel.
        match self.header().channel_count.load(Ordering::Acquire) {
            count @ 0..=CHANNEL_MAX => Ok(count),
            count => Err(Fault::with(Code::CORRUPT, count.into())),
        }
    }

    /// The index of the channel with this name.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CORRUPT`.
    pub fn find_channel(&self, name: &str) -> Result<u32, Fault> {
        let count = self.channel_count()?;
        let is_named = |index: &u32| terminated(&self.names()[*index as usize].text.load()) == name.as_bytes();
        (0..count).find(is_named).ok_or(Fault::new(Code::NOT_FOUND))
    }

    /// Where a counted channel is, checked against the memory and the other bands.
    #[inline(never)]
    fn place(&self, channel: u32) -> Result<Place, Fault> {
        let count = self.channel_count()?;
        if channel >= count {
            return Err(Fault::new(Code::NOT_FOUND));
        }
        let stated = |channel: u32| {
            let place = Place::stated(self.entry(channel));
            let is_right = place.flaw(FIRST_BAND_OFFSET, BAND_ALIGN, self.views.bytes()).is_none();
            is_right.then_some(place)
        };
        if self.entry(channel).channel_id.load(Ordering::Relaxed) != channel {
            return Err(Fault::with(Code::CORRUPT, channel.into()));
        }
        let seen = stated(channel).ok_or(Fault::with(Code::CORRUPT, channel.into()))?;
        let others = (0..count).filter(|other| *other != channel);
        if others.filter_map(stated).any(|theirs| seen.overlaps(&theirs)) {
            return Err(Fault::with(Code::CORRUPT, channel.into()));
        }
        Ok(seen)
    }

    /// The ring of a counted channel.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CORRUPT`.
    #[inline(never)]
    pub fn ring(&self, channel: u32) -> Result<Ring<'m>, Fault> {
        let place = self.place(channel)?;
        let memory = crate::ring::Memory {
            entry: self.entry(channel),
            slots: self.views.many(place.band_offset, place.capacity as usize),
            participants: self.seats(),
            participants_high: &self.annex().participants_high,
            counters: &self.views.many(COUNTERS_OFFSET, CHANNEL_MAX as usize)[channel as usize],
            recorder: None,
        };
        Ok(Ring::new(channel, place.flags & !CHANNEL_RECORDED, memory))
    }

    /// Adds a channel, or finds the one with this name and the same options; its index.
    ///
    /// # Errors
    /// `ARGUMENT`, `UNSUPPORTED` (recorded and foreign channels), `EXISTS` (with other options), `NO_SPACE`, `BUSY`, `CORRUPT`.
    pub fn create_channel(&self, name: &str, flags: u32, capacity: u64) -> Result<u32, Fault> {
        if image::name_refusal(name).is_some() || image::flags_refusal(flags).is_some() || !image::is_capacity(capacity)
        {
            return Err(Fault::new(Code::ARGUMENT));
        }
        if flags & (CHANNEL_RECORDED | CHANNEL_FOREIGN_CODE | CHANNEL_FOREIGN_DOCUMENT) != 0 {
            return Err(Fault::new(Code::UNSUPPORTED));
        }
        let _lock = self.lock()?;
        match self.find_channel(name) {
            Ok(existing) => {
                let seen = self.place(existing)?;
                let is_same = (seen.flags, seen.capacity) == (flags, capacity);
                return if is_same { Ok(existing) } else { Err(Fault::with(Code::EXISTS, existing.into())) };
            }
            Err(fault) if fault.code == Code::NOT_FOUND => {}
            Err(fault) => return Err(fault),
        }
        let count = self.channel_count()?;
        if count == CHANNEL_MAX {
            return Err(Fault::new(Code::NO_SPACE));
        }
        let mut end = 0;
        for channel in 0..count {
            end = end.max(self.place(channel)?.end());
        }
        let place = Place::behind(end, flags, capacity, self.views.bytes())?;
        image::fill_slots(self.views.many(place.band_offset, capacity as usize));
        image::fill_entry(self.entry(count), count, place);
        self.names()[count as usize].text.store(name.as_bytes());
        // sync: channel-count. Release; pairs with the Acquire in `channel_count`.
        self.header().channel_count.store(count + 1, Ordering::Release);
        Ok(count)
    }

    /// The region lock.
    ///
    /// # Errors
    /// `BUSY` with [`LOCK_BUSY`] and the number of the instance that holds it.
    #[inline(never)]
    fn lock(&self) -> Result<LinearLock<'_, W>, Fault> {
        let start = self.world.monotonic_ns();
        loop {
            let word = &self.annex().region_lock_holder;
            // sync: linear-lock. Acquire, before the attempt; the one that lets go wakes who sleeps on it.
            let holder = word.load(Ordering::Acquire);
            if let Some(lock) = self.try_lock() {
                return Ok(lock);
            }
            let waited = self.world.monotonic_ns().wrapping_sub(start);
            if waited >= self.instance.lock_timeout_ns {
                return Err(Fault::with(Code::BUSY, LOCK_BUSY | u64::from(holder)));
            }
            if holder != 0 {
                self.world.sleep(word, holder, LOCK_NAP_NS.min(self.instance.lock_timeout_ns - waited));
            }
            spin_hint();
        }
    }

    /// Deals with the dead of every channel. The caller holds the region lock.
    #[inline(never)]
    fn mend_members(&self) {
        for channel in 0..self.channel_count().unwrap_or(0) {
            let has_dead =
                (0..).zip(self.seats()).take(self.annex().participants_high.load(Ordering::Acquire) as usize);
            let mut has_dead = has_dead.filter(|(_, member)| member.channel.load(Ordering::Relaxed) == channel);
            if has_dead.any(|(index, member)| member.state.load(Ordering::Acquire) != STATE_FREE && self.is_dead(index))
                && let Ok(ring) = self.ring(channel)
            {
                ring.free_members(self);
            }
        }
    }

    /// Takes a place on a channel; the index of the entry.
    #[inline(never)]
    fn join(&self, ring: &Ring<'_>, guest: &Guest<'_>) -> Result<u32, Fault> {
        let _lock = self.lock()?;
        step("join.locked");
        self.mend_members();
        ring.seat(self, guest)
    }

    /// Declares an instance dead, whose thread has ended: its participants are dead from now on, its lock is free, and
    /// what holes and claims it left is repaired by whoever meets them. How many participants that were.
    pub fn bury(&self, number: u32) -> u32 {
        let mut buried = 0;
        let high = self.annex().participants_high.load(Ordering::Acquire) as usize;
        for member in self.seats().iter().take(high.max(1)) {
            let is_its = member.process_start.load(Ordering::Relaxed) == u64::from(number);
            if is_its && member.state.load(Ordering::Acquire) != STATE_FREE && member.pid.load(Ordering::Acquire) != 0 {
                // sync: linear-death. Release; pairs with the Acquire in `is_dead`.
                member.pid.store(0, Ordering::Release);
                buried += 1;
            }
        }
        let word = &self.annex().region_lock_holder;
        // sync: linear-lock. Release; who takes it now sees the deaths.
        if word.compare_exchange(number, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.world.wake(word, 1);
        }
        if let Some(_lock) = self.try_lock() {
            self.mend_members();
        }
        self.wake_all();
        buried
    }

    /// Everybody looks again: a death may be what they waited for.
    fn wake_all(&self) {
        for channel in 0..self.channel_count().unwrap_or(0) {
            if let Ok(ring) = self.ring(channel) {
                ring.pass_on(self);
                ring.wake_room(self);
            }
        }
    }

    /// Repairs what the dead left on one channel, with what an operator allows besides; each position touched is reported.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CORRUPT`, `BUSY`.
    pub fn unblock(
        &self,
        channel: u32,
        force: bool,
        drop_stuck: bool,
        report: &mut dyn FnMut(Unblocked),
    ) -> Result<(), Fault> {
        let ring = self.ring(channel)?;
        let _lock = self.lock()?;
        ring.unblock(self, force, drop_stuck, report);
        Ok(())
    }
}

impl<W: World> Host for Linear<'_, W> {
    type Lock<'a>
        = LinearLock<'a, W>
    where
        Self: 'a;

    fn now_ns(&self) -> u64 {
        self.world.now_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.world.monotonic_ns()
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        self.world.wake(word, count);
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64) {
        self.world.sleep(word, expected, timeout_ns);
    }

    fn try_lock(&self) -> Option<LinearLock<'_, W>> {
        let word = &self.annex().region_lock_holder;
        // sync: linear-lock. Acquire; pairs with the Release of who lets go, or buries the holder.
        let taken = word.compare_exchange(0, self.instance.number, Ordering::AcqRel, Ordering::Relaxed);
        // Made only when it was taken: dropping one lets go.
        taken.is_ok().then(|| LinearLock { word, world: &self.world })
    }

    fn is_dead(&self, participant: u32) -> bool {
        let Some(member) = self.seats().get(participant as usize) else { return false };
        // Joining happens under the lock, which the asker has when it decides: nobody else is joining.
        member.state.load(Ordering::Acquire) == STATE_JOINING
            // sync: linear-death. Acquire; pairs with the Release in `bury` and in closing.
            || member.pid.load(Ordering::Acquire) == 0
    }
}

impl<W: World> Hall for Linear<'_, W> {
    type Failure = Fault;

    fn participants(&self) -> &[Participant] {
        self.seats()
    }

    fn participants_high(&self) -> &AtomicU32 {
        &self.annex().participants_high
    }

    fn claim_life(&self, _index: u32) -> Result<bool, Fault> {
        Ok(true)
    }

    fn release_life(&self, _index: u32) {}

    fn sign(&self, member: &Participant) {
        member.process_start.store(self.instance.number.into(), Ordering::Relaxed);
        member.pid_namespace.store(0, Ordering::Relaxed);
        member.pid.store(self.instance.pid, Ordering::Release);
    }
}
