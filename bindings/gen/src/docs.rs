//! Documentation: `docs/reference/layout.md` and `docs/reference/errors.md`.

use crate::{Kind, origin};
use std::fmt::Write as _;
use tailrace_core::error::CODES;
use tailrace_core::layout::{CONSTANTS, STRUCTS, layout_hash};

const ABOUT_LAYOUT: &str = "
# Layout

Every byte that processes share through a region file. Integers are little-endian and of fixed width; padding is zero;
what refers to another place is an offset from the start of the file. A `bytes` field is text padded with NUL, an id, or
a payload. How the words are used is told in [the ring protocol](../internals/ring-protocol.md).

";

const ABOUT_ERRORS: &str = "
# Errors

Numbers are for ever. *Full* and *empty* are answers, not errors. TypeScript has one class, `TailraceError`, whose `code`
is `'ERR_ARGUMENT'` and so on; Python has one subclass of `TailraceError` for each code; Rust has `Code::ARGUMENT`; C has
`TR_ERR_ARGUMENT`, the negative answer of a call.

| number | code | what happened | what to do next |
|---|---|---|---|
";

/// Structures and constants.
pub fn layout() -> String {
    let mut text = format!("<!-- {}. -->\n{ABOUT_LAYOUT}", origin(crate::LAYOUT));
    _ = writeln!(
        text,
        "The layout's hash, the CRC-32 of the lines `struct.field offset size`, is `0x{:08x}`.",
        layout_hash()
    );
    for structure in STRUCTS {
        _ = writeln!(text, "\n## {}, {} bytes\n", structure.name, structure.size);
        _ = writeln!(
            text,
            "{}\n\n| offset | size | kind | field | what |\n|---|---|---|---|---|",
            structure.doc.trim()
        );
        for field in structure.fields {
            let (kind, doc) = (Kind::of(field).name(), cell(field.doc));
            _ = writeln!(text, "| {} | {} | {kind} | `{}` | {doc} |", field.offset, field.size, field.name);
        }
    }
    text.push_str("\n## Constants\n\n| name | value | what |\n|---|---|---|\n");
    for constant in CONSTANTS {
        let value = match constant.value {
            value @ 0..=0xFFFF_FFFF => value.to_string(),
            value => format!("0x{value:016x}"),
        };
        _ = writeln!(text, "| `{}` | {value} | {} |", constant.name, cell(constant.doc));
    }
    text
}

/// The table of codes.
pub fn errors() -> String {
    let mut text = format!("<!-- {}. -->\n{ABOUT_ERRORS}", origin(crate::ERRORS));
    for code in CODES {
        _ = writeln!(
            text,
            "| {} | `ERR_{}` | {} | {} |",
            *code as i32,
            code.name(),
            cell(code.text()),
            cell(code.advice())
        );
    }
    text
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}
