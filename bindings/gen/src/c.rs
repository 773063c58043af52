//! C: `bindings/native/include/tailrace.h`, for C11 and C++11.
//!
//! Structures are printed for programs that look at a region's file. Their words change under the reader, and only the
//! library may store to them.

use crate::signatures::{FLAGS, Signature};
use crate::{GLUE, Kind, constants, messages, origin, signatures, snake, structs, wrapped};
use std::fmt::Write as _;
use tailrace_core::book::{REASONS, wire};
use tailrace_core::error::CODES;
use tailrace_core::layout::{Struct, layout_hash};

const WIDTH: usize = 100;

const OPENING: &str = r#"
#ifndef TAILRACE_H
#define TAILRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TR_ASSERT(condition, text) static_assert(condition, text)
extern "C" {
#else
#define TR_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define TR_SIZE(name, size) TR_ASSERT(sizeof(tr_##name) == size, #name)
#define TR_AT(name, field, offset) TR_ASSERT(offsetof(tr_##name, field) == offset, #name "." #field)
"#;

const HANDLE: &str = "
/* A region, a producer, a consumer, a recorder, a log or a book: index and generation, never a
 * pointer. 0 is none. */
typedef int64_t tr_handle;

/* Called with bytes done and bytes in all, or NULL. */
typedef void (*tr_progress)(uint64_t done_bytes, uint64_t total_bytes);
";

const CLOSING: &str = r"
#ifdef __cplusplus
}
#endif

#endif
";

/// The header.
pub fn header() -> String {
    let sources = origin(crate::SEVERAL);
    let mut text = format!("/* {sources}. */\n{OPENING}");
    text.push_str("\n/* Answers below 0. */\n");
    for code in CODES {
        let about = format!("{}; {}", code.text(), code.advice());
        let (name, value) = (format!("ERR_{}", code.name()), format!("({})", *code as i32));
        define(&mut text, &name, &value, &about);
    }
    text.push_str("\n/* The layout. */\n");
    let hash = format!("UINT32_C(0x{:08X})", layout_hash());
    define(&mut text, "LAYOUT_HASH", &hash, "Of these structures.");
    for constant in constants() {
        let value = number(constant.value);
        define(&mut text, constant.name, &value, constant.doc);
    }
    text.push_str("\n/* Arguments of the functions. */\n");
    for flag in FLAGS {
        let value = match u64::try_from(flag.value) {
            Ok(value) => number(value),
            Err(_) => format!("({})", flag.value),
        };
        define(&mut text, flag.name, &value, flag.doc);
    }
    text.push_str("\n/* The shared bytes: others change them, and only the library may store. */\n");
    for structure in structs() {
        print_struct(&mut text, structure);
    }
    print_messages(&mut text);
    text.push_str(HANDLE);
    for signature in signatures() {
        print_prototype(&mut text, signature);
    }
    text.push_str(CLOSING);
    text
}

fn number(value: u64) -> String {
    match value {
        0..=0xFFFF_FFFF if value & 0x8000_0000 == 0 => value.to_string(),
        0..=0xFFFF_FFFF => format!("UINT32_C(0x{value:08X})"),
        _ => format!("UINT64_C(0x{value:016X})"),
    }
}

fn define(text: &mut String, name: &str, value: &str, about: &str) {
    let start = format!("#define TR_{name} {value}");
    beside(text, &format!("{start:<42}"), about.trim());
}

/// A comment after `start`, or above it when the line would be too long.
fn beside(text: &mut String, start: &str, about: &str) {
    if start.chars().count() + about.chars().count() + 7 <= WIDTH {
        _ = writeln!(text, "{start} /* {about} */");
    } else {
        let indent = &start[..start.len() - start.trim_start().len()];
        _ = writeln!(text, "{indent}/* {about} */\n{}", start.trim_end());
    }
}

fn comment(text: &mut String, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let (start, end) = (if index == 0 { "/*" } else { " *" }, if index + 1 == lines.len() { " */" } else { "" });
        _ = writeln!(text, "{start} {line}{end}");
    }
}

fn print_struct(text: &mut String, structure: &Struct) {
    let name = snake(structure.name);
    text.push('\n');
    comment(text, &wrapped(structure.doc, WIDTH - 6));
    _ = writeln!(text, "typedef struct tr_{name} {{");
    for field in structure.fields {
        let declaration = match Kind::of(field) {
            Kind::U8 => format!("uint8_t {};", field.name),
            Kind::U16 => format!("uint16_t {};", field.name),
            Kind::U32 => format!("uint32_t {};", field.name),
            Kind::U64 => format!("uint64_t {};", field.name),
            Kind::I64 => format!("int64_t {};", field.name),
            Kind::Bytes | Kind::Zeros => format!("uint8_t {}[{}];", field.name, field.size),
        };
        beside(text, &format!("    {declaration:<30}"), field.doc.trim());
    }
    _ = writeln!(text, "}} tr_{name};");
    let mut facts = vec![format!("TR_SIZE({name}, {});", structure.size)];
    for field in structure.fields {
        facts.push(format!("TR_AT({name}, {}, {});", field.name, field.offset));
    }
    for line in unbroken(&facts, " ", WIDTH) {
        _ = writeln!(text, "{}", line.replace(GLUE, " "));
    }
}

/// What goes into a book and comes out of it.
fn print_messages(text: &mut String) {
    text.push_str("\n/* Messages of the book: little-endian; those with a type have it in their first byte. */\n");
    for (message_type, structure) in messages() {
        let Some(message_type) = message_type else { continue };
        let (name, value) = (format!("TYPE_{}", snake(structure.name).to_uppercase()), message_type.to_string());
        define(text, &name, &value, structure.doc);
    }
    for constant in wire::constants() {
        define(text, constant.name, &number(constant.value), constant.doc);
    }
    text.push_str("\n/* Why an order was refused, or ended. */\n");
    for reason in REASONS {
        define(text, &format!("REASON_{}", reason.name()), &(*reason as u8).to_string(), reason.text());
    }
    for (_, structure) in messages() {
        print_struct(text, structure);
    }
}

/// Lines of whole `items`, whose spaces are [`GLUE`].
fn unbroken(items: &[String], separator: &str, width: usize) -> Vec<String> {
    let glued: Vec<String> = items.iter().map(|item| item.replace(' ', GLUE)).collect();
    wrapped(&glued.join(separator), width)
}

fn print_prototype(text: &mut String, signature: &Signature) {
    text.push('\n');
    let mut lines = wrapped(signature.doc, WIDTH - 6);
    // A handle's name says all of it.
    let told = signature.arguments.iter().filter(|argument| argument.type_name != "Handle");
    let longest = told.clone().map(|argument| argument.name.len()).max().unwrap_or(0);
    for argument in told {
        for (index, line) in wrapped(argument.doc, WIDTH - 8 - longest).iter().enumerate() {
            let name = if index == 0 { argument.name } else { "" };
            lines.push(format!("  {name:<longest$}  {line}"));
        }
    }
    comment(text, &lines);
    let start = format!("{}(", declared(signature.answer, signature.name));
    let mut arguments: Vec<String> =
        signature.arguments.iter().map(|argument| declared(argument.type_name, argument.name)).collect();
    if arguments.is_empty() {
        arguments.push("void".to_string());
    }
    let whole = format!("{start}{});", arguments.join(", "));
    if whole.len() <= WIDTH {
        _ = writeln!(text, "{whole}");
        return;
    }
    let lines = unbroken(&arguments, ", ", WIDTH - 6).join("\n    ").replace(GLUE, " ");
    _ = writeln!(text, "{start}\n    {lines});");
}

fn declared(type_name: &str, name: &str) -> String {
    let c_type = match type_name {
        "u16" => "uint16_t ",
        "u32" => "uint32_t ",
        "u64" => "uint64_t ",
        "i32" => "int32_t ",
        "i64" => "int64_t ",
        "Handle" => "tr_handle ",
        "Progress" => "tr_progress ",
        "*const c_char" => "const char *",
        "*mut c_char" => "char *",
        "*const u8" => "const uint8_t *",
        "*mut u8" => "uint8_t *",
        "*const u32" => "const uint32_t *",
        "*const u64" => "const uint64_t *",
        "*mut u64" => "uint64_t *",
        "*mut i32" => "int32_t *",
        "*const *const u8" => "const uint8_t *const *",
        other => panic!("C has no word for {other} of {name}"),
    };
    format!("{c_type}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn compile(compiler: &str, arguments: &[&str]) {
        let started = Command::new(compiler).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return eprintln!("skipped: {compiler}: {error}"),
        };
        child.stdin.take().unwrap().write_all(header().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn the_header_compiles_without_warnings() {
        let common = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-"];
        compile("gcc", &[&["-xc", "-std=c11"], &common[..]].concat());
        compile("g++", &[&["-xc++", "-std=c++11"], &common[..]].concat());
    }
}
