//! Schema: how `layout.rs` says what it says, once, to the compiler and to the generator.
//!
//! `layout!` turns a list of offsets into a structure whose every offset the compiler checks, and into a table of its
//! fields; `constants!` does the same for numbers.

/// One field of a shared structure.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name, as in Rust.
    pub name: &'static str,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// Rust type, as written here.
    pub type_name: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// One shared structure.
#[derive(Debug, Clone, Copy)]
pub struct Struct {
    /// Name, as in Rust.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// What it is.
    pub doc: &'static str,
    /// Its fields, in order, without gaps.
    pub fields: &'static [Field],
}

/// One named number of the layout.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    /// Name, as in Rust.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// What it means.
    pub doc: &'static str,
}

macro_rules! layout {
    ($($(#[doc = $about:literal])* pub struct $name:ident: $size:literal align $align:tt {
        $($(#[doc = $doc:literal])* $offset:literal => $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[doc = $about])*
            #[cfg_attr(not(loom), repr(C, align($align)))]
            pub struct $name { $($(#[doc = $doc])* pub $field: $type,)* }

            impl $crate::sync::Zeroed for $name {
                fn zeroed() -> Self {
                    Self { $($field: $crate::sync::Zeroed::field(stringify!($field)),)* }
                }
            }

            #[cfg(not(loom))]
            const _: () = {
                assert!(size_of::<$name>() == $size);
                let mut end = 0;
                $(
                    assert!(core::mem::offset_of!($name, $field) == $offset && end == $offset);
                    end += size_of::<$type>();
                )*
                assert!(end == $size);
            };
        )*

        /// Every shared structure, in file order.
        pub const STRUCTS: &[Struct] = &[$(Struct {
            name: stringify!($name),
            size: $size,
            doc: concat!($($about),*),
            fields: &[$(Field {
                name: stringify!($field),
                offset: $offset,
                size: size_of::<$type>(),
                type_name: stringify!($type),
                doc: concat!($($doc),*),
            },)*],
        },)*];
    };
}

macro_rules! constants {
    ($($(#[doc = $doc:literal])* pub const $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[doc = $doc])* pub const $name: $type = $value;)*

        /// Every named number, in the order of this file.
        pub static CONSTANTS: &[Constant] = &[$(Constant {
            name: stringify!($name),
            value: $name as u64,
            doc: concat!($($doc),*),
        },)*];
    };
}

pub(crate) use constants;
pub(crate) use layout;
