//! Wire: how the messages of this folder say what they say, once, to the compiler and to the generator.
//!
//! `structures!` turns a list of offsets into a structure whose every offset the compiler checks, a writer, a reader, and
//! a row of a table. With `type` it has its type in byte 0; without, it is a record that stands where it is expected.
//! Everything is little-endian.

use super::{event, market, message, mold, record, session};
use crate::schema::{Constant, Struct};

/// What a field may be.
pub(super) trait Part: Copy {
    const ZERO: Self;
    /// Writes all of `bytes`, which has the part's size.
    fn put(self, bytes: &mut [u8]);
    /// Reads all of `bytes`, which has the part's size.
    fn take(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($($type:ty)*) => {$(
        impl Part for $type {
            const ZERO: Self = 0;

            #[inline(always)]
            fn put(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }

            #[inline(always)]
            fn take(bytes: &[u8]) -> Self {
                let mut part = [0; size_of::<Self>()];
                part.copy_from_slice(bytes);
                Self::from_le_bytes(part)
            }
        }
    )*};
}
number! { u8 u16 u32 u64 i64 }

impl<const LENGTH: usize> Part for [u8; LENGTH] {
    const ZERO: Self = [0; LENGTH];

    fn put(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self);
    }

    fn take(bytes: &[u8]) -> Self {
        let mut part = Self::ZERO;
        part.copy_from_slice(bytes);
        part
    }
}

/// Whether a field of this name is zero in every image that says something.
pub(super) const fn is_padding(name: &str) -> bool {
    matches!(name.as_bytes().first_chunk::<4>(), Some(b"zero"))
}

/// Bytes of a type, whichever it is.
pub(super) const fn bytes_of_type(_: u8) -> usize {
    1
}

macro_rules! structures {
    ($(#[doc = $told:literal])* $table:ident {
        $($(#[doc = $about:literal])* pub struct $name:ident: $size:literal $(type $type:literal)? $(align $align:literal)? {
            $($(#[doc = $doc:literal])* $offset:literal => $field:ident: $field_type:ty,)*
        })*
    }) => {
        $(
            $(#[doc = $about])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
            #[repr(C $(, align($align))?)]
            pub struct $name {
                $(
                    #[doc = concat!("The type: ", stringify!($type), ".")]
                    pub message_type: u8,
                )?
                $($(#[doc = $doc])* pub $field: $field_type,)*
            }

            impl $name {
                $(
                    /// What byte 0 says.
                    pub const TYPE: u8 = $type;
                )?
                /// Bytes.
                pub const SIZE: usize = $size;
                /// All zeros, but for a type: `NewOrder { account: 7, ..NewOrder::BLANK }`.
                pub const BLANK: Self =
                    Self { $(message_type: $type,)? $($field: <$field_type as $crate::book::wire::Part>::ZERO,)* };

                /// The wire image.
                pub fn encode(&self) -> [u8; $size] {
                    let mut bytes = [0; $size];
                    $(bytes[0] = $type;)?
                    $($crate::book::wire::Part::put(
                        self.$field,
                        &mut bytes[$offset..$offset + size_of::<$field_type>()],
                    );)*
                    bytes
                }

                /// What a wire image says; a type in byte 0 is not looked at.
                pub fn decode(bytes: &[u8; $size]) -> Self {
                    Self {
                        $(message_type: $type,)?
                        $($field: $crate::book::wire::Part::take(
                            &bytes[$offset..$offset + size_of::<$field_type>()],
                        ),)*
                    }
                }

                /// The bits that are zero.
                const PADDING: [u8; $size] = {
                    let mut bits = [0; $size];
                    $(
                        let mut at = $offset;
                        while $crate::book::wire::is_padding(stringify!($field))
                            && at < $offset + size_of::<$field_type>()
                        {
                            bits[at] = 0xFF;
                            at += 1;
                        }
                    )*
                    bits
                };

                /// What bytes say that are a wire image: as many, of the type, and zero where the fields are.
                ///
                /// # Errors
                /// [`Reason::MALFORMED`]($crate::book::Reason::MALFORMED): they are none.
                pub fn decode_checked(bytes: &[u8]) -> Result<Self, $crate::book::Reason> {
                    let bytes: &[u8; $size] = bytes.try_into().map_err(|_| $crate::book::Reason::MALFORMED)?;
                    let is_typed = true $(&& bytes[0] == $type)?;
                    let is_padded = bytes.iter().zip(&Self::PADDING).all(|(byte, bits)| byte & bits == 0);
                    if is_typed && is_padded { Ok(Self::decode(bytes)) } else { Err($crate::book::Reason::MALFORMED) }
                }
            }

            const _: () = {
                assert!(size_of::<$name>() == $size);
                let mut end = 0 $(+ $crate::book::wire::bytes_of_type($type))?;
                $(
                    assert!(core::mem::offset_of!($name, $field) == $offset && end == $offset);
                    end += size_of::<$field_type>();
                )*
                assert!(end == $size);
            };
        )*

        $(#[doc = $told])*
        pub static $table: &[(u8, $crate::schema::Struct)] = &[$((0 $(+ $type)?, $crate::schema::Struct {
            name: stringify!($name),
            size: $size,
            doc: concat!($($about),*),
            fields: &[
                $($crate::schema::Field {
                    name: "message_type",
                    offset: 0,
                    size: $crate::book::wire::bytes_of_type($type),
                    type_name: "u8",
                    doc: " The type.",
                },)?
                $($crate::schema::Field {
                    name: stringify!($field),
                    offset: $offset,
                    size: size_of::<$field_type>(),
                    type_name: stringify!($field_type),
                    doc: concat!($($doc),*),
                },)*
            ],
        }),)*];
    };
}
pub(super) use structures;

macro_rules! choice {
    ($(#[doc = $about:literal])* pub enum $choice:ident: $most:literal { $($name:ident,)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $choice { $(#[allow(missing_docs, reason = "the structure says it")] $name($name),)* }

        impl $choice {
            /// The longest of them, bytes.
            pub const SIZE_MAX: usize = $most;

            /// Bytes of one of this type, or `None` for what is none of them.
            pub const fn size_of_type(message_type: u8) -> Option<usize> {
                match message_type { $($name::TYPE => Some($name::SIZE),)* _ => None }
            }

            /// Reads one.
            ///
            /// # Errors
            /// [`Reason::MALFORMED`]($crate::book::Reason::MALFORMED): no bytes, an unknown type, another length than the
            /// type's, or something else than zero where the fields are zero.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::book::Reason> {
                match bytes.first() {
                    $(Some(&$name::TYPE) => $name::decode_checked(bytes).map(Self::$name),)*
                    _ => Err($crate::book::Reason::MALFORMED),
                }
            }

            /// Writes it to the start of `bytes`; says how many bytes it has.
            ///
            /// # Panics
            /// When `bytes` is shorter than that.
            pub fn encode(&self, bytes: &mut [u8]) -> usize {
                match self {
                    $(Self::$name(message) => {
                        bytes[..$name::SIZE].copy_from_slice(&message.encode());
                        $name::SIZE
                    })*
                }
            }
        }

        const _: () = {
            $(assert!($name::SIZE <= $choice::SIZE_MAX);)*
        };

        $(impl From<$name> for $choice {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}
pub(super) use choice;

/// Every message and record with its type (0: it has none), table by table.
pub fn tables() -> impl Iterator<Item = &'static (u8, Struct)> {
    let messages = [message::MESSAGES, session::SESSIONS, market::MARKETS];
    let records = [event::EVENTS, record::RECORDS, market::SNAPSHOTS];
    messages.into_iter().chain(records).flatten()
}

/// Every named number of the messages.
pub fn constants() -> impl Iterator<Item = &'static Constant> {
    let messages = [message::CONSTANTS, event::CONSTANTS, record::CONSTANTS];
    messages.into_iter().chain([session::CONSTANTS, market::CONSTANTS, mold::CONSTANTS]).flatten()
}
