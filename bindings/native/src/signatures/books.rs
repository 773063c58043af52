//! The part of the C ABI that is about books; the module above tells how.

use super::{Argument, Handle, Signature};

signatures! {
    /// Makes a book without orders; answers with its handle. All memory that it will ever need is taken now.
    fn tr_book_create(
        /// Orders that can rest at once: 1 to 2^28; about 130 bytes each.
        slot_count: u32,
        /// Accounts are numbered from 0 to one less than this.
        account_count: u32,
        /// Prices that are found without a search: a power of two, 64 to 262,144.
        band_ticks: u32,
        /// Resting orders an account may have; 0: no limit.
        open_orders_max: u32,
        /// Quantity of one order; 0: as much as the book can count, 2^63 / `slot_count`.
        quantity_max: u64,
        /// How far from the last trade a command may trade, ticks; 0: no collar.
        collar_ticks: u64,
        /// 16 random bytes that no client knows; NULL: the system's.
        key: *const u8,
    ) -> i64;
    /// Makes a book from a snapshot, whose limits it takes; answers with its handle.
    fn tr_book_restore(
        /// As in `tr_book_create`; the snapshot's orders must fit.
        slot_count: u32,
        /// As in `tr_book_create`; the snapshot's accounts must fit.
        account_count: u32,
        /// As in `tr_book_create`.
        band_ticks: u32,
        /// As in `tr_book_create`; it need not be the same as before.
        key: *const u8,
        /// What `tr_book_snapshot` wrote.
        snapshot: *const u8,
        /// Its bytes.
        length: u64,
    ) -> i64;
    /// Applies commands in order; answers with how many events were written. When there is no more room for events, it
    /// stops, in the middle of a command if need be (`TR_BOOK_PENDING`): the next call goes on with that command, also when
    /// it is given no others. A command that cannot be read is `TR_ERR_ARGUMENT`, and then none of the call is applied.
    fn tr_book_apply(
        /// A book.
        book: Handle,
        /// `tr_stamped_command`s.
        commands: *const u8,
        /// How many.
        count: u64,
        /// Where `tr_event`s go.
        events: *mut u8,
        /// Room there, events.
        room: u64,
        /// How many commands were taken; may be NULL.
        consumed: *mut u64,
    ) -> i64;
    /// Hash, best prices, sequences and counts.
    fn tr_book_state(
        /// A book.
        book: Handle,
        /// One `tr_book_summary`; 88 bytes.
        state: *mut u8,
    ) -> i64;
    /// What a book knows of an account.
    fn tr_book_account(
        /// A book.
        book: Handle,
        /// Number of the account.
        account: u32,
        /// One `tr_account_record`; 24 bytes.
        record: *mut u8,
    ) -> i64;
    /// Writes the prices of a side, best first, as many as fit; answers with how many.
    fn tr_book_depth(
        /// A book.
        book: Handle,
        /// `SIDE_BUY` or `SIDE_SELL`.
        side: u32,
        /// Where `tr_depth_level`s go.
        levels: *mut u8,
        /// Room there, levels.
        room: u64,
    ) -> i64;
    /// The whole state in bytes: fills `bytes` when all of it fits; answers with how many those are either way.
    /// `TR_ERR_BUSY` while events of a command wait for room.
    fn tr_book_snapshot(
        /// A book.
        book: Handle,
        /// Where the state goes; may be NULL.
        bytes: *mut u8,
        /// Room there.
        length: u64,
    ) -> i64;
}
