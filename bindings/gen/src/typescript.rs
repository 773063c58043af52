//! TypeScript: `sdk/generated/layout.ts` and `sdk/generated/errors.ts`, as Biome would write them.
//!
//! A number above 2^53 is printed as a bigint, for a JavaScript number would round it.

use crate::{Kind, camel, constants, origin, structs, wrapped};
use std::fmt::Write as _;
use tailrace_core::book::{REASONS, wire};
use tailrace_core::error::{CODES, Code};
use tailrace_core::layout::{self, layout_hash};
use tailrace_core::log;

const WIDTH: usize = 96;

/// Offsets, sizes and constants.
pub fn layout() -> String {
    let mut text = format!("// {}.\n\n", origin(crate::LAYOUTS));
    text.push_str(concat!(
        "/** Where a field is, and what its bytes are; integers are little-endian. */\n",
        "export type Field = {\n",
        "  readonly offset: number;\n",
        "  readonly size: number;\n",
        "  readonly kind: 'u8' | 'u16' | 'u32' | 'u64' | 'bytes' | 'zeros';\n",
        "};\n",
    ));
    text.push_str("\n/** CRC-32 of the lines `struct.field offset size`. */\n");
    _ = writeln!(text, "export const LAYOUT_HASH = 0x{:08x};", layout_hash());
    for constant in constants() {
        text.push('\n');
        comment(&mut text, "", constant.doc);
        let value = match constant.value {
            0..=0x1F_FFFF_FFFF_FFFF => constant.value.to_string(),
            value => format!("0x{value:x}n"),
        };
        _ = writeln!(text, "export const {} = {value};", constant.name);
    }
    for structure in structs() {
        text.push('\n');
        comment(&mut text, "", structure.doc);
        _ = writeln!(text, "export const {} = {{\n  size: {},", structure.name, structure.size);
        for field in structure.fields {
            assert!(field.name != "size", "`size` is the structure's own");
            let kind = Kind::of(field).name();
            comment(&mut text, "  ", field.doc);
            _ = writeln!(
                text,
                "  {}: {{ offset: {}, size: {}, kind: '{kind}' }},",
                field.name, field.offset, field.size
            );
        }
        text.push_str("} as const;\n");
    }
    for (about, name, structures) in [
        ("Every structure of a region, in file order.", "STRUCTS", layout::STRUCTS),
        ("Every structure of a log's files.", "LOG_STRUCTS", log::layout::STRUCTS),
    ] {
        _ = writeln!(text, "\n/** {about} */\nexport const {name} = {{");
        for structure in structures {
            _ = writeln!(text, "  {},", structure.name);
        }
        text.push_str("} as const;\n");
    }
    text
}

/// Codes with their numbers, texts and advice.
pub fn errors() -> String {
    let mut text = format!("// {}.\n\n", origin(crate::ERRORS));
    text.push_str("/** Why a call failed. */\nexport type Code =");
    for code in CODES {
        _ = write!(text, "\n  | 'ERR_{}'", code.name());
    }
    text.push_str(";\n");
    let start = "Readonly<Record<Code, number>>";
    table(&mut text, "What the library answers.", "NUMBERS", start, |code| (code as i32).to_string());
    text.push_str("\n/** The code of a number. */\n");
    text.push_str("export const CODES: ReadonlyMap<number, Code> = new Map<number, Code>([\n");
    for code in CODES {
        _ = writeln!(text, "  [{}, 'ERR_{}'],", *code as i32, code.name());
    }
    text.push_str("]);\n");
    let start = "Readonly<Record<Code, string>>";
    table(&mut text, "What happened.", "TEXTS", start, |code| quoted(code.text()));
    table(&mut text, "What to do next.", "ADVICE", start, |code| quoted(code.advice()));
    text
}

/// The messages of the book: offsets, sizes, numbers and reasons.
pub fn messages() -> String {
    let mut text = format!("// {}.\n", origin(crate::MESSAGES));
    for constant in wire::constants() {
        let value = match constant.value {
            0..=0x1F_FFFF_FFFF_FFFF => constant.value.to_string(),
            value => format!("0x{value:x}n"),
        };
        text.push('\n');
        comment(&mut text, "", constant.doc);
        _ = writeln!(text, "export const {} = {value};", constant.name);
    }
    text.push_str("\n/** Why an order was refused, or ended. */\nexport const REASONS = {\n");
    for reason in REASONS {
        _ = writeln!(text, "  /** {} */\n  {}: {},", sentence(reason.text()), reason.name(), *reason as u8);
    }
    text.push_str("} as const;\n\n/** The same in words. */\n");
    text.push_str("export const REASON_TEXTS: Readonly<Record<keyof typeof REASONS, string>> = {\n");
    for reason in REASONS {
        _ = writeln!(text, "  {}: {},", reason.name(), quoted(reason.text()));
    }
    text.push_str("};\n\n/** Every message and record by its name; those with a type have it in byte 0. */\n");
    text.push_str("export const MESSAGES = {\n");
    for (message_type, structure) in crate::messages() {
        comment(&mut text, "  ", structure.doc);
        let message_type = message_type.map_or("undefined".to_string(), |message_type| message_type.to_string());
        _ = writeln!(text, "  {}: {{\n    type: {message_type},\n    size: {},", structure.name, structure.size);
        text.push_str("    fields: {\n");
        for field in structure.fields.iter().filter(|field| field.name != "message_type") {
            comment(&mut text, "      ", field.doc);
            let (name, kind) = (camel(field.name), Kind::of(field).name());
            _ = writeln!(text, "      {name}: {{ offset: {}, size: {}, kind: '{kind}' }},", field.offset, field.size);
        }
        text.push_str("    },\n  },\n");
    }
    text.push_str("} as const;\n");
    text
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..] + "."
}

/// Single quotes, unless the text has one.
fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("{text:?}") } else { format!("'{text}'") }
}

fn table(text: &mut String, about: &str, name: &str, type_name: &str, value: impl Fn(Code) -> String) {
    _ = writeln!(text, "\n/** {about} */\nexport const {name}: {type_name} = {{");
    for code in CODES {
        _ = writeln!(text, "  ERR_{}: {},", code.name(), value(*code));
    }
    text.push_str("};\n");
}

fn comment(text: &mut String, indent: &str, about: &str) {
    let lines = wrapped(about, WIDTH);
    if let [line] = &lines[..] {
        _ = writeln!(text, "{indent}/** {line} */");
        return;
    }
    _ = writeln!(text, "{indent}/**");
    for line in lines {
        _ = writeln!(text, "{indent} * {line}");
    }
    _ = writeln!(text, "{indent} */");
}
