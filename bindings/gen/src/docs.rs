//! Documentation: `docs/reference/layout.md`, `errors.md` and `wire.md`.

use crate::{Kind, origin};
use std::fmt::Write as _;
use tailrace_core::book::{REASONS, wire};
use tailrace_core::error::CODES;
use tailrace_core::layout::{CONSTANTS, STRUCTS, Struct, layout_hash};

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

const ABOUT_WIRE: &str = "
# Wire

The messages that go into a book and come out of it. They have fixed sizes and no padding; integers are little-endian,
`i64` in two's complement. A message has its type in byte 0; a record has none, and stands where it is expected. Fields
named `zero` are zero, and whoever reads another value there calls the message malformed. Prices are whole ticks.

Types 1 to 31 are clients' and sessions', 32 to 63 are the operator's, and letters are the market stream's.

## Framing

**TCP, orders.** Each frame is `[length u16][message]`; a length other than the size of the type ends the session.

**TCP, sessions.** The first message is a `Login`, within five seconds; `heartbeat_ms` is 100 to 60,000. The answer is a
`LoginReply`; with a reason (`LOGIN`, `LOGIN_VERSION`, `MALFORMED`, `UNAVAILABLE`) the connection ends behind it. Then
come the account's reports from `next_report` on, older ones first and in order; a number that there is none for yet
means only new ones. `last_client_order_id` covers what is still on its way. Both sides send a `Heartbeat` when they have
been silent for `heartbeat_ms`. Whoever is silent three times as long, or leaves more unread than `backlog_bytes`, is cut
off. An account has one session: another login ends the first one, which gets a `Logout` so that it does not come back.
With `LOGIN_CANCEL_ON_DISCONNECT` no order of the account outlives the session, whichever way that ends, or the gateway;
the mass cancel has client order id 0.

**Orders sent again.** A new order, replace or mass cancel whose id is not above the account's last one is not executed.
If the id was answered, that report comes once more, with `REPORT_REPEAT`; else a rejection, `DUPLICATE`. A rejected
command has not used its id. Rejections have sequence 0 and do not come again by themselves. What the gateway refuses
(`FOREIGN_ACCOUNT`, `RATE`, `QUANTITY_MAX` of the user) never reaches the journal; every command counts for the rate.

**Unix socket, operator.** `control.sock` in the exchange's folder, for its owner only: frames as above with `SetState`,
`SetLimits`, `SetKilled`, and `MassCancel` of any account with id 0. Each is answered by one line of JSON, in order:
`{\"ok\":true,\"sequence\":N}` with its global sequence when it stands in `orders`, or `{\"ok\":false,\"error\":\"...\"}`.

**TCP, snapshots.** A `SnapshotRequest` without a frame. The answer: a `SnapshotHead`, as many `SnapshotOrder`s as it
says, and the CRC-32 (IEEE) of all of it as `u32`. Who comes late buffers the feed first, asks, and drops what the
snapshot has: sequences up to the head's. Byte 0 of the head is the letter `A`, too; the two never share a connection.

**UDP, market stream.** MoldUDP64: a datagram begins with 20 bytes in big-endian order, session (10 characters),
sequence of its first message (`u64`), count of messages (`u16`); then each message as `[length u16, big-endian]` and its
bytes, which are little-endian as here. Count 0 is a heartbeat, 0xFFFF the end of the session. The session is the
exchange's epoch in digits, right-justified with spaces; it changes whenever numbering starts again. A command's messages
stand in one datagram, unless they fill more than one.

**UDP, retransmission.** Such a header alone, sent to the publisher's address for requests, asks for `count` messages from
`sequence` on. The answer comes back as one datagram with as many of them as fit; what does not come within a time is
asked for again. No answer: another session, nothing asked for, or a sequence that is not there yet or not any more.

**Batches** of a book, inside a process: `StampedCommand`s in, `Event`s out.

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
        fields(&mut text, structure);
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

/// The messages of the book, and its reasons.
pub fn messages() -> String {
    let mut text = format!("<!-- {}. -->\n{}\n", origin(crate::MESSAGES), ABOUT_WIRE.trim_end());
    for (message_type, structure) in crate::messages() {
        let about = message_type.map_or("a record".to_string(), |message_type| format!("type {message_type}"));
        _ = writeln!(text, "\n## {}, {} bytes, {about}\n", structure.name, structure.size);
        fields(&mut text, structure);
    }
    text.push_str("\n## Numbers\n\n| name | value | what |\n|---|---|---|\n");
    for constant in wire::constants() {
        _ = writeln!(text, "| `{}` | {} | {} |", constant.name, constant.value, cell(constant.doc));
    }
    text.push_str(
        "\n## Reasons\n\nBelow 32 stand refusals, which change nothing; from 32 on, ends of orders that had ",
    );
    text.push_str("been accepted.\n\n| number | reason | what |\n|---|---|---|\n");
    for reason in REASONS {
        _ = writeln!(text, "| {} | `{}` | {} |", *reason as u8, reason.name(), cell(reason.text()));
    }
    text
}

/// What a structure is, and the table of its fields.
fn fields(text: &mut String, structure: &Struct) {
    let about = structure.doc.trim();
    _ = writeln!(text, "{about}\n\n| offset | size | kind | field | what |\n|---|---|---|---|---|");
    for field in structure.fields {
        let (kind, doc) = (Kind::of(field).name(), cell(field.doc));
        _ = writeln!(text, "| {} | {} | {kind} | `{}` | {doc} |", field.offset, field.size, field.name);
    }
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
