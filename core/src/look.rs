//! Look: what whoever is about to sleep finds, in a ring or a log.

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Something to do.
    Ready,
    /// Nothing.
    Empty,
    /// A position that was claimed and is not published stands in the way.
    Hole,
}
