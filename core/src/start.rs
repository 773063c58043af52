//! Start: where whoever reads a channel or a log begins.

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum From {
    /// With what is written from now on.
    #[default]
    Latest,
    /// With the oldest message that is still there.
    Oldest,
    /// With this log sequence, or the first message after it; logs and recorded channels only.
    Sequence(u64),
    /// With the first message whose running maximum of timestamps is at least this, nanoseconds since 1970; logs and
    /// recorded channels only.
    Time(u64),
}
