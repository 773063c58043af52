//! What all handles of one open region share: the mapping, the lock descriptor, and what was checked at open.
//!
//! Everything that decides where memory is (limit, capacities, offsets) was read once, checked, and stands here; the
//! same words in shared memory are never read again. Cursors and counters are read where they are used, by those who
//! distrust them there.
//!
//! A region without annex, or one mapped for reading, has no place in shared memory for counters that handles write;
//! they get private ones.

use super::fail;
use super::lock::LockFile;
use super::process::{Identity, MappedFile};
use crate::error::{Code, Fault, Result};
use crate::image::{Place, terminated};
use crate::layout::{
    ANNEX_OFFSET, AnnexHeader, BAND_ALIGN, CHANNEL_MAX, CHANNELS_OFFSET, COUNTERS_OFFSET, ChannelEntry, ChannelName,
    Counters, FIRST_BAND_OFFSET, GROUP_MAX, GROUPS_OFFSET, Group, HEADER_BYTES, NAMES_OFFSET, PARTICIPANT_MAX,
    PARTICIPANTS_OFFSET, Participant, RECORDERS_OFFSET, Recorder, RegionHeader, Slot,
};
use crate::os::fork;
use crate::os::mapping::Mapping;
use crate::sync::{AtomicU32, Ordering, Zeroed};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// How a region was opened, and what its header said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    /// Address space, bytes.
    pub limit_bytes: u64,
    /// Default of control calls.
    pub lock_timeout_ms: u64,
    /// Mapped for reading.
    pub is_read_only: bool,
    /// The flags of every channel of a region without annex.
    pub foreign_flags: Option<u32>,
}

struct PrivateWords {
    participants_high: AtomicU32,
    counters: Vec<Counters>,
}

/// One open region.
pub(crate) struct Shared {
    pub(super) mapping: Mapping,
    pub(super) locks: LockFile,
    pub(super) mutex: Mutex<()>,
    path: PathBuf,
    opening: Opening,
    generation: u32,
    identity: Identity,
    region_id: [u8; 16],
    mapped_file: OnceLock<Option<MappedFile>>,
    channels: Vec<OnceLock<Place>>,
    private: Option<PrivateWords>,
}

impl Shared {
    pub(super) fn new(mapping: Mapping, locks: LockFile, path: PathBuf, opening: Opening) -> Self {
        let is_private = opening.is_read_only || opening.foreign_flags.is_some();
        let private = is_private.then(|| PrivateWords {
            participants_high: AtomicU32::zeroed(),
            counters: (0..CHANNEL_MAX).map(|_| Counters::zeroed()).collect(),
        });
        Self {
            mapping,
            locks,
            mutex: Mutex::new(()),
            path,
            opening,
            generation: fork::generation(),
            identity: Identity::own(),
            region_id: [0; 16],
            mapped_file: OnceLock::new(),
            channels: (0..CHANNEL_MAX).map(|_| OnceLock::new()).collect(),
            private,
        }
    }

    /// Reads the region's id, once it is final.
    pub(super) fn adopt_region_id(&mut self) {
        if !self.is_foreign() {
            self.region_id = self.header().region_id.load();
        }
    }

    /// The name it was opened by, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Address space, bytes.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.opening.limit_bytes
    }

    /// What control calls wait for the region lock.
    pub(crate) fn lock_timeout_ms(&self) -> u64 {
        self.opening.lock_timeout_ms
    }

    /// Whether it has no annex: made by a program that knows only the published layout.
    #[inline(always)]
    pub(crate) fn is_foreign(&self) -> bool {
        self.opening.foreign_flags.is_some()
    }

    /// Whether it is mapped for reading.
    #[inline(always)]
    pub(crate) fn is_read_only(&self) -> bool {
        self.opening.is_read_only
    }

    /// Random id of the region, as of when it was opened.
    pub(crate) fn region_id(&self) -> [u8; 16] {
        self.region_id
    }

    /// Who owns the file.
    pub(crate) fn file_owner(&self) -> Result<u32> {
        Ok(self.locks.status()?.owner)
    }

    /// This process.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The file as lists of mappings name it.
    pub(super) fn mapped_file(&self) -> Option<&MappedFile> {
        self.mapped_file.get_or_init(|| MappedFile::at(self.mapping.address())).as_ref()
    }

    /// Whether this process inherited it by fork: nothing of it may be touched then.
    #[inline(always)]
    pub(crate) fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Whether the region's name was removed.
    #[inline]
    pub(crate) fn is_removed(&self) -> bool {
        // sync: removed. Acquire; pairs with the Release of `remove`.
        !self.is_forked() && !self.is_foreign() && self.header().removed.load(Ordering::Acquire) != 0
    }

    /// FORKED in a child of fork, GONE once the region was removed.
    #[inline]
    pub(crate) fn check(&self) -> std::result::Result<(), Fault> {
        if self.is_forked() {
            return Err(Fault::new(Code::FORKED));
        }
        if self.is_removed() {
            return Err(Fault::new(Code::GONE));
        }
        Ok(())
    }

    /// The start of the file.
    #[inline]
    pub(crate) fn header(&self) -> &RegionHeader {
        self.mapping.view(0)
    }

    /// Where the parts of the annex are.
    ///
    /// # Panics
    /// In a region without annex.
    #[inline]
    pub(crate) fn annex(&self) -> &AnnexHeader {
        assert!(!self.is_foreign(), "callers ask whether there is an annex");
        self.mapping.view(ANNEX_OFFSET)
    }

    /// The entry of a channel, counted or not.
    #[inline]
    pub(crate) fn entry(&self, channel: u32) -> &ChannelEntry {
        &self.mapping.views(CHANNELS_OFFSET, CHANNEL_MAX as usize)[channel as usize]
    }

    /// All participants; none in a region without annex.
    #[inline]
    pub(crate) fn participants(&self) -> &[Participant] {
        if self.is_foreign() { &[] } else { self.mapping.views(PARTICIPANTS_OFFSET, PARTICIPANT_MAX as usize) }
    }

    /// No participant at or above this index was ever used.
    #[inline]
    pub(crate) fn participants_high(&self) -> &AtomicU32 {
        match &self.private {
            Some(private) if self.is_foreign() => &private.participants_high,
            _ => &self.annex().participants_high,
        }
    }

    /// The counters that handles of a channel write.
    #[inline]
    pub(crate) fn counters(&self, channel: u32) -> &Counters {
        match &self.private {
            Some(private) => &private.counters[channel as usize],
            None => self.shared_counters(channel),
        }
    }

    /// The counters that everybody sees.
    pub(super) fn shared_counters(&self, channel: u32) -> &Counters {
        match &self.private {
            Some(private) if self.is_foreign() => &private.counters[channel as usize],
            _ => &self.mapping.views(COUNTERS_OFFSET, CHANNEL_MAX as usize)[channel as usize],
        }
    }

    pub(super) fn names(&self) -> &[ChannelName] {
        if self.is_foreign() { &[] } else { self.mapping.views(NAMES_OFFSET, CHANNEL_MAX as usize) }
    }

    /// The recorder entry of a channel.
    ///
    /// # Panics
    /// In a region without annex.
    pub(crate) fn recorder(&self, channel: u32) -> &Recorder {
        assert!(!self.is_foreign(), "callers ask whether there is an annex");
        &self.mapping.views(RECORDERS_OFFSET, CHANNEL_MAX as usize)[channel as usize]
    }

    /// All groups; none in a region without annex.
    pub(crate) fn groups(&self) -> &[Group] {
        if self.is_foreign() { &[] } else { self.mapping.views(GROUPS_OFFSET, GROUP_MAX as usize) }
    }

    /// How many channels were added. Without annex, every entry with a capacity is a channel, so all are looked at.
    pub(super) fn channel_count(&self) -> Result<u32> {
        if self.is_foreign() {
            return Ok(CHANNEL_MAX);
        }
        // sync: channel-count. Acquire; pairs with the Release that commits a new channel.
        match self.header().channel_count.load(Ordering::Acquire) {
            count @ 0..=CHANNEL_MAX => Ok(count),
            count => fail(Code::CORRUPT, format!("the header counts {count} channels, of at most {CHANNEL_MAX}")),
        }
    }

    /// What a channel is called; its number where channels have no names.
    pub(crate) fn name(&self, channel: u32) -> String {
        match self.names().get(channel as usize) {
            Some(name) => String::from_utf8_lossy(terminated(&name.text.load())).into_owned(),
            None => channel.to_string(),
        }
    }

    /// The index of the channel with this name (`3` or `#3` where channels have no names), checked and ready to open.
    ///
    /// # Errors
    /// NOT_FOUND, or CORRUPT when its entry cannot be right.
    pub(crate) fn find_channel(&self, name: &str) -> Result<u32> {
        let count = self.channel_count()?;
        let found = if self.is_foreign() {
            let number = name.strip_prefix('#').unwrap_or(name).parse::<u32>().ok();
            number.filter(|number| *number < count && self.entry(*number).capacity.load(Ordering::Acquire) > 0)
        } else {
            let named = |index: &u32| terminated(&self.names()[*index as usize].text.load()) == name.as_bytes();
            (0..count).find(named)
        };
        let Some(channel) = found else {
            let path = self.path.display();
            return fail(Code::NOT_FOUND, format!("{path} has no channel {name:?}"));
        };
        self.channel(channel)?;
        Ok(channel)
    }

    /// A counted channel, checked once.
    ///
    /// # Errors
    /// NOT_FOUND, or CORRUPT when its entry cannot be right.
    pub(crate) fn channel(&self, channel: u32) -> Result<Place> {
        let Some(place) = self.channels.get(channel as usize) else {
            return fail(Code::NOT_FOUND, format!("there is no channel {channel}; at most {CHANNEL_MAX}"));
        };
        if let Some(known) = place.get() {
            return Ok(*known);
        }
        let checked = self.check_channel(channel)?;
        Ok(*place.get_or_init(|| checked))
    }

    /// The slots of a counted channel.
    ///
    /// # Errors
    /// As for [`Shared::channel`].
    pub(crate) fn slots(&self, channel: u32) -> Result<&[Slot]> {
        let Place { capacity, band_offset, .. } = self.channel(channel)?;
        Ok(self.mapping.views(band_offset, capacity as usize))
    }

    /// Reads a channel's entry and checks it against the file and the other bands.
    pub(super) fn check_channel(&self, channel: u32) -> Result<Place> {
        let count = self.channel_count()?;
        if channel >= count {
            return fail(Code::NOT_FOUND, format!("there is no channel {channel}; {count} were added"));
        }
        let file_bytes = self.locks.status()?.bytes.min(self.limit_bytes());
        let seen = self.stated_channel(channel, file_bytes)?;
        for other in (0..count).filter(|other| *other != channel) {
            let known = self.channels[other as usize].get().copied();
            let Some(theirs) = known.or_else(|| self.stated_channel(other, file_bytes).ok()) else { continue };
            if seen.overlaps(&theirs) {
                return fail(Code::CORRUPT, format!("channels {channel} and {other} have the same band: {seen:?}"));
            }
        }
        Ok(seen)
    }

    /// What an entry says, each word read once, if it could be right in a file of so many bytes.
    pub(super) fn stated_channel(&self, channel: u32, file_bytes: u64) -> Result<Place> {
        let entry = self.entry(channel);
        let stated = Place::stated(entry);
        let seen = Place { flags: self.opening.foreign_flags.unwrap_or(stated.flags), ..stated };
        let wrong = |why: &str| fail(Code::CORRUPT, format!("channel {channel} {why}: {seen:?}"));
        if self.is_foreign() && seen.capacity == 0 {
            return fail(Code::NOT_FOUND, format!("there is no channel {channel}"));
        }
        if !self.is_foreign() && entry.channel_id.load(Ordering::Relaxed) != channel {
            return wrong("has another channel's number");
        }
        let (first, align) =
            if self.is_foreign() { (HEADER_BYTES, align_of::<Slot>() as u64) } else { (FIRST_BAND_OFFSET, BAND_ALIGN) };
        if let Some(why) = seen.flaw(first, align, file_bytes) {
            return wrong(why);
        }
        Ok(seen)
    }
}
