//! Code: one numbered table of failures, printed into every language.
//!
//! Numbers are for ever. *Full* and *empty* are answers, not failures, and are not here. A [`Fault`] is what rings say:
//! a code and one number, no allocation. An [`Error`] is what people read: what happened, what was seen, what to do
//! next, and the operating system's error where there is one.

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $value:literal, $text:literal, $advice:literal;)*) => {
        /// Why a call failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[allow(non_camel_case_types, reason = "the table's own spelling, the same in every language")]
        pub enum Code { $($(#[doc = $doc])* $name = $value,)* }

        /// Every code, in order of number.
        pub static CODES: &[Code] = &[$(Code::$name,)*];

        impl Code {
            /// `ARGUMENT`, `IO`, ...: the same in every language, after a prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// One sentence: what happened.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// One sentence: what to do next.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }

            /// The code with this number.
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($value => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// A wrong argument.
    ARGUMENT = -1, "an argument is wrong", "correct the call";
    /// The operating system refused.
    IO = -2, "the operating system refused", "see the cause";
    /// Not our file.
    FOREIGN = -3, "the file was not made by tailrace", "give another path, or open it with recovery off";
    /// Another layout.
    VERSION = -4, "the file has another version or layout", "use the version of tailrace that made it, or make it anew";
    /// Bytes that cannot be right.
    CORRUPT = -5, "the shared bytes are wrong", "make the region or channel anew; of a log, see tailrace log repair";
    /// Longer than the channel or the buffer allows.
    TOO_LARGE = -6, "the message is too large", "split it, or give a larger buffer";
    /// Somebody else has it.
    BUSY = -7, "somebody else holds it", "wait for the holder, or end it";
    /// The handle is closed.
    CLOSED = -8, "the handle is closed", "open a new one";
    /// Not on this platform, backend or kind of channel.
    UNSUPPORTED = -9, "this is not supported here", "see the message";
    /// A mistake of ours.
    INTERNAL = -10, "tailrace made a mistake", "report it with the message";
    /// No such thing.
    NOT_FOUND = -11, "there is no such thing", "look at the name";
    /// There is one already.
    EXISTS = -12, "it exists already, with other options", "open it, or use another name";
    /// Shared memory, channels or participants are used up.
    NO_SPACE = -13, "there is no space left", "raise the limit, close handles, or free shared memory";
    /// The disk is full; retriable.
    DISK_FULL = -14, "the disk is full", "free some space; writing resumes by itself";
    /// Removed, or older than what is kept.
    GONE = -15, "it was removed", "open it anew";
    /// Used in a child of fork.
    FORKED = -16, "the handle belongs to the parent process", "open the region anew in the child";
    /// The time is up.
    TIMED_OUT = -17, "the time is up", "wait longer, or find out why nothing comes";
    /// Not allowed.
    PERMISSION = -18, "this user may not do that", "look at the file's owner and mode";
}

/// Value of an IO error after which nobody knows whether what was asked for has happened: the record may be on disk.
pub const OUTCOME_UNKNOWN: u64 = 1;

/// What rings say: a code, and the one number that helps to understand it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub code: Code,
    /// Bytes needed for `TOO_LARGE`, a process id for `BUSY`, else 0.
    pub value: u64,
}

impl Fault {
    /// A fault without a number.
    pub const fn new(code: Code) -> Self {
        Self { code, value: 0 }
    }

    /// A fault with its number.
    pub const fn with(code: Code, value: u64) -> Self {
        Self { code, value }
    }
}

#[cfg(feature = "std")]
pub use detailed::{Error, Result};

#[cfg(feature = "std")]
mod detailed {
    use super::{Code, Fault};
    use std::fmt;

    /// What people read.
    #[derive(Debug)]
    pub struct Error {
        code: Code,
        message: String,
        value: u64,
        cause: Option<std::io::Error>,
    }

    /// The result of calls that can fail.
    pub type Result<T> = std::result::Result<T, Error>;

    impl Error {
        /// An error: `message` says what happened and what was seen.
        pub fn new(code: Code, message: impl Into<String>) -> Self {
            Self { code, message: message.into(), value: 0, cause: None }
        }

        /// An error of the operating system while doing `what`.
        pub fn os(code: Code, what: impl fmt::Display, cause: std::io::Error) -> Self {
            Self { code, message: format!("{what}: {cause}"), value: 0, cause: Some(cause) }
        }

        /// The same with the number that belongs to the code.
        #[must_use]
        pub fn with_value(mut self, value: u64) -> Self {
            self.value = value;
            self
        }

        /// Why.
        pub fn code(&self) -> Code {
            self.code
        }

        /// What happened and what was seen.
        pub fn message(&self) -> &str {
            &self.message
        }

        /// Bytes needed for `TOO_LARGE`, a process id for `BUSY`, else 0.
        pub fn value(&self) -> u64 {
            self.value
        }

        /// The operating system's number, or 0.
        pub fn os_errno(&self) -> i32 {
            self.cause.as_ref().and_then(std::io::Error::raw_os_error).unwrap_or(0)
        }
    }

    impl fmt::Display for Error {
        fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(to, "{}: {}; {}", self.code.name(), self.message, self.code.advice())
        }
    }

    impl std::error::Error for Error {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.cause.as_ref().map(|cause| cause as _)
        }
    }

    impl From<Fault> for Error {
        fn from(fault: Fault) -> Self {
            let message = match (fault.code, fault.value) {
                (code, 0) => code.text().to_string(),
                (Code::TOO_LARGE, bytes) => format!("{}: {bytes} bytes", fault.code.text()),
                (Code::BUSY, pid) => format!("{}: process {pid}", fault.code.text()),
                (code, value) => format!("{} ({value})", code.text()),
            };
            Self { code: fault.code, message, value: fault.value, cause: None }
        }
    }
}
