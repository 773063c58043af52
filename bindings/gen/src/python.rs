//! Python: `_generated/layout.py`, `errors.py` and `signatures.py`, as Ruff would write them.
//!
//! Buffers are `c_void_p` in the signatures: it takes bytes, an address, an array and None, and converts nothing. The
//! small words that the library fills in are typed pointers, for `byref`.

use crate::signatures::FLAGS;
use crate::{Kind, constants, origin, pascal, structs, wrapped};
use std::fmt::Write as _;
use tailrace_core::book::{REASONS, wire};
use tailrace_core::error::{CODES, Code};
use tailrace_core::layout::layout_hash;

const WIDTH: usize = 100;

const FIELD: &str = r#"

class Field(NamedTuple):
    """Where a field is, and what its bytes are; integers are little-endian."""

    offset: int
    size: int
    kind: str
"#;

/// The package of the other files.
pub fn package() -> String {
    format!("# {}.\n\"\"\"Printed files.\"\"\"\n", origin(crate::SEVERAL))
}

/// Offsets, sizes and constants.
pub fn layout() -> String {
    let mut text = format!("# {}.\n", origin(crate::LAYOUTS));
    text.push_str("\"\"\"Every byte that two processes share.\"\"\"\n\n");
    text.push_str("from typing import Final, NamedTuple\n\n");
    text.push_str("# CRC-32 of the lines `struct.field offset size`.\n");
    _ = writeln!(text, "LAYOUT_HASH: Final = 0x{:08X}", layout_hash());
    for constant in constants() {
        comment(&mut text, "", constant.doc);
        let value = if constant.value > 0xFFFF_FFFF {
            format!("0x{:016X}", constant.value)
        } else {
            constant.value.to_string()
        };
        _ = writeln!(text, "{}: Final = {value}", constant.name);
    }
    text.push_str(FIELD);
    for structure in structs() {
        class(&mut text, structure.name, structure.doc);
        _ = writeln!(text, "    SIZE: Final = {}", structure.size);
        for field in structure.fields {
            comment(&mut text, "    ", field.doc);
            let kind = Kind::of(field).name();
            _ = writeln!(text, "    {}: Final = Field({}, {}, \"{kind}\")", field.name, field.offset, field.size);
        }
    }
    text
}

const SHAPES: &str = r#"

class Shape(NamedTuple):
    """A message or a record: its type in byte 0, or None; its bytes; its fields, but for the type."""

    type: int | None
    size: int
    fields: Mapping[str, Field]
"#;

/// The messages of the book: offsets, sizes, numbers and reasons.
pub fn messages() -> String {
    let mut text = format!("# {}.\n", origin(crate::MESSAGES));
    text.push_str("\"\"\"Every message of the book.\"\"\"\n\n");
    text.push_str("from collections.abc import Mapping\nfrom typing import Final, NamedTuple\n\n");
    text.push_str("from .layout import Field\n\n");
    for constant in wire::constants() {
        comment(&mut text, "", constant.doc);
        let value = if constant.value > 0xFFFF_FFFF {
            format!("0x{:016X}", constant.value)
        } else {
            constant.value.to_string()
        };
        _ = writeln!(text, "{}: Final = {value}", constant.name);
    }
    text.push_str("\n# Why an order was refused, or ended.\nREASONS: Final[Mapping[str, int]] = {\n");
    for reason in REASONS {
        _ = writeln!(text, "    \"{}\": {},", reason.name(), *reason as u8);
    }
    text.push_str("}\n\n# The same in words.\nREASON_TEXTS: Final[Mapping[str, str]] = {\n");
    for reason in REASONS {
        _ = writeln!(text, "    \"{}\": {:?},", reason.name(), reason.text());
    }
    text.push_str("}\n");
    text.push_str(SHAPES);
    text.push_str("\n\n# Every message and record by its name.\nMESSAGES: Final[Mapping[str, Shape]] = {\n");
    for (message_type, structure) in crate::messages() {
        comment(&mut text, "    ", structure.doc);
        let message_type = message_type.map_or("None".to_string(), |message_type| message_type.to_string());
        _ = writeln!(text, "    \"{}\": Shape(\n        {message_type},", structure.name);
        _ = writeln!(text, "        {},\n        {{", structure.size);
        for field in structure.fields.iter().filter(|field| field.name != "message_type") {
            comment(&mut text, "            ", field.doc);
            let kind = Kind::of(field).name();
            _ = writeln!(text, "            \"{}\": Field({}, {}, \"{kind}\"),", field.name, field.offset, field.size);
        }
        text.push_str("        },\n    ),\n");
    }
    text.push_str("}\n");
    text
}

const BASE: &str = r##"import os
from collections.abc import Mapping
from typing import Final, Literal


class TailraceError(Exception):
    """A call failed: what happened, what was seen, and what to do next.

    `code` is one of the table, the same in every language. `value` is the bytes needed with
    ERR_TOO_LARGE, a process id with ERR_BUSY, the oldest sequence with ERR_GONE of a log, 1 with
    ERR_IO when the outcome is unknown, a message's sequence with ERR_TIMED_OUT when it was written
    and is not on disk yet, else 0. The operating system's error, where there is one, is the cause.
    """

    code: str = "ERR_INTERNAL"

    def __init__(self, message: str, code: str | None = None, os_errno: int = 0, value: int = 0) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.value = value
        if os_errno:
            self.__cause__ = OSError(os_errno, os.strerror(os_errno))

    @property
    def outcome(self) -> Literal["unknown"] | None:
        """Says "unknown" when nobody knows whether the record is on disk: the disk failed while it
        was being written.
        """
        return "unknown" if self.code == "ERR_IO" and self.value == 1 else None

    @property
    def oldest_sequence(self) -> int | None:
        """With ERR_GONE of a log: the oldest sequence that is kept."""
        return self.value if self.code == "ERR_GONE" and self.value else None
"##;

/// One exception for each code, and the tables.
pub fn errors() -> String {
    let mut text = format!("# {}.\n", origin(crate::ERRORS));
    text.push_str("\"\"\"Why a call failed.\"\"\"\n\n");
    text.push_str(BASE);
    for code in CODES {
        let about = format!("{}; {}.", code.text(), code.advice());
        let name = format!("{}(TailraceError)", exception(*code));
        class(&mut text, &name, &(about[..1].to_uppercase() + &about[1..]));
        _ = writeln!(text, "    code = \"ERR_{}\"", code.name());
    }
    text.push('\n');
    let name = |code: Code| format!("\"ERR_{}\"", code.name());
    let number = |code: Code| format!("{}", code as i32);
    let classes = "CLASSES: Final[Mapping[int, type[TailraceError]]]";
    table(&mut text, "The exception of a number.", classes, number, exception);
    let numbers = "NUMBERS: Final[Mapping[str, int]]";
    table(&mut text, "What the library answers.", numbers, name, number);
    let texts = "TEXTS: Final[Mapping[str, str]]";
    table(&mut text, "What happened.", texts, name, |code| format!("{:?}", code.text()));
    let advice = "ADVICE: Final[Mapping[str, str]]";
    table(&mut text, "What to do next.", advice, name, |code| format!("{:?}", code.advice()));
    text
}

/// `CorruptError`; not `PermissionError`, which would hide Python's own.
fn exception(code: Code) -> String {
    match code {
        Code::PERMISSION => "PermissionDeniedError".to_string(),
        code => format!("{}Error", pascal(code.name())),
    }
}

fn table(text: &mut String, about: &str, name: &str, key: impl Fn(Code) -> String, value: impl Fn(Code) -> String) {
    _ = writeln!(text, "\n# {about}\n{name} = {{");
    for code in CODES {
        _ = writeln!(text, "    {}: {},", key(*code), value(*code));
    }
    text.push_str("}\n");
}

/// The head of a class: two blank lines, its name, what it is.
fn class(text: &mut String, name: &str, about: &str) {
    _ = writeln!(text, "\n\nclass {name}:");
    match &wrapped(about, WIDTH - 10)[..] {
        [line] => _ = writeln!(text, "    \"\"\"{line}\"\"\"\n"),
        lines => _ = writeln!(text, "    \"\"\"{}\n    \"\"\"\n", lines.join("\n    ")),
    }
}

const IMPORTS: &str = r"import ctypes
from collections.abc import Mapping
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int32, c_int64, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any, Final

# Called with bytes done and bytes in all.
PROGRESS: Final = CFUNCTYPE(None, c_uint64, c_uint64)
";

const BIND: &str = r#"

def bind(library: ctypes.CDLL) -> None:
    """Gives every function of `library` its exact types."""
    for name, (answer, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype = answer
        function.argtypes = arguments
"#;

/// The types of every function.
pub fn signatures() -> String {
    let mut text = format!("# {}.\n", origin(crate::SIGNATURES));
    text.push_str("\"\"\"The C ABI of the library, for ctypes.\"\"\"\n\n");
    text.push_str(IMPORTS);
    for flag in FLAGS {
        comment(&mut text, "", flag.doc);
        _ = writeln!(text, "{}: Final = {}", flag.name, flag.value);
    }
    text.push_str("\n# Answer and arguments of each function.\n");
    text.push_str("SIGNATURES: Final[Mapping[str, tuple[Any, tuple[Any, ...]]]] = {\n");
    for signature in crate::signatures() {
        let answer = ctype(signature.answer);
        comment(&mut text, "    ", signature.doc);
        if signature.arguments.is_empty() {
            _ = writeln!(text, "    \"{}\": ({answer}, ()),", signature.name);
            continue;
        }
        _ = writeln!(text, "    \"{}\": (\n        {answer},\n        (", signature.name);
        for argument in signature.arguments {
            _ = writeln!(text, "            {},  # {}", ctype(argument.type_name), argument.name);
        }
        text.push_str("        ),\n    ),\n");
    }
    text.push_str("}\n");
    text.push_str(BIND);
    text
}

fn ctype(type_name: &str) -> &'static str {
    match type_name {
        "u16" => "c_uint16",
        "u32" => "c_uint32",
        "u64" => "c_uint64",
        "i32" => "c_int32",
        "i64" | "Handle" => "c_int64",
        "Progress" => "PROGRESS",
        "*const c_char" => "c_char_p",
        "*mut u64" => "POINTER(c_uint64)",
        "*mut i32" => "POINTER(c_int32)",
        "*mut c_char" | "*const u8" | "*mut u8" | "*const u32" | "*const u64" | "*const *const u8" => "c_void_p",
        other => panic!("ctypes has no word for {other}"),
    }
}

fn comment(text: &mut String, indent: &str, about: &str) {
    for line in wrapped(about, WIDTH - indent.len() - 2) {
        _ = writeln!(text, "{indent}# {line}");
    }
}
