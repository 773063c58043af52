//! AssemblyScript: `bindings/assemblyscript/layout.ts`, as Biome would write it.
//!
//! A structure is a namespace of offsets, for AssemblyScript reads memory by address; what is above 32 bits is a u64, in
//! two halves that a JavaScript number would not round.

use crate::{constants, origin, structs, wrapped};
use std::fmt::Write as _;
use tailrace_core::layout::layout_hash;

const WIDTH: usize = 96;

/// Offsets, sizes and constants.
pub fn layout() -> String {
    let mut text = format!("// {}.\n\n", origin(crate::LAYOUTS));
    text.push_str("/** CRC-32 of the lines `struct.field offset size`. */\n");
    _ = writeln!(text, "export const LAYOUT_HASH: u32 = 0x{:08x};", layout_hash());
    for constant in constants() {
        comment(&mut text, "", constant.doc);
        if constant.value > 0xFFFF_FFFF {
            let (high, low) = (constant.value >> 32, constant.value & 0xFFFF_FFFF);
            _ = writeln!(text, "export const {}: u64 = ((<u64>0x{high:x}) << 32) | 0x{low:x};", constant.name);
        } else {
            _ = writeln!(text, "export const {}: u32 = {};", constant.name, constant.value);
        }
    }
    for structure in structs() {
        comment(&mut text, "", structure.doc);
        _ = writeln!(text, "export namespace {} {{\n  export const SIZE: u32 = {};", structure.name, structure.size);
        for field in structure.fields.iter().filter(|field| !field.name.starts_with("zero")) {
            let doc = format!("{} ({} bytes)", field.doc.trim_end_matches('.'), field.size);
            comment(&mut text, "  ", &doc);
            _ = writeln!(text, "  export const {}: u32 = {};", field.name, field.offset);
        }
        text.push_str("}\n");
    }
    text
}

fn comment(text: &mut String, indent: &str, doc: &str) {
    if indent.is_empty() {
        text.push('\n');
    }
    let lines = wrapped(doc, WIDTH - indent.len());
    match lines.as_slice() {
        [line] => _ = writeln!(text, "{indent}/** {line} */"),
        lines => {
            _ = writeln!(text, "{indent}/**");
            for line in lines {
                _ = writeln!(text, "{indent} * {line}");
            }
            _ = writeln!(text, "{indent} */");
        }
    }
}
