//! Table: all that an exchange says, a line each, with commas between the columns.

use crate::output::{Origin, Sink};
use std::io::{self, Write};
use tailrace_core::book::market::{Added, Deleted, Executed, Reduced, Replaced, StateChanged};
use tailrace_core::book::message::ExecutionReport;
use tailrace_core::book::record::KeptReport;
use tailrace_core::error::{Code, Error, Result};

/// What a report's kinds are called, by their number.
const KINDS: [&str; 8] =
    ["none", "accepted", "fill", "cancelled", "rejected", "replaced", "decremented", "mass cancel done"];

/// Prints what it is told.
pub(super) struct Table<W: Write> {
    out: W,
    failure: Option<io::Error>,
}

/// One line of market data.
#[derive(Default)]
struct Line {
    letter: char,
    flags: u8,
    sequence: u64,
    order_id: Option<u64>,
    reference: Option<u64>,
    price: Option<i64>,
    quantity: Option<u64>,
}

impl<W: Write> Table<W> {
    /// Begins with the names of the columns.
    pub fn new(mut out: W) -> Result<Self> {
        let names = "command,timestamp_ns,stream,number,kind,reason,flags,account,report_sequence,client_order_id,\
                     order_id,reference,price,quantity";
        writeln!(out, "{names}").map_err(unwritten)?;
        Ok(Self { out, failure: None })
    }

    /// Ends it.
    pub fn finish(mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.failure.map_or(flushed, Err).map_err(unwritten)
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(cause) = written {
            self.failure.get_or_insert(cause);
        }
    }
}

fn unwritten(cause: io::Error) -> Error {
    Error::os(Code::IO, "printing", cause)
}

impl<W: Write> Sink for Table<W> {
    fn report(&mut self, bytes: &[u8; KeptReport::SIZE], origin: Origin) {
        let kept = KeptReport::decode(bytes);
        let report = ExecutionReport::decode(&kept.report);
        let Origin { command_sequence, timestamp_ns } = origin;
        let kind = KINDS.get(usize::from(report.exec_type)).copied().unwrap_or("unknown");
        let ExecutionReport { reason, flags, account, sequence, client_order_id, reference, price, quantity, .. } =
            report;
        let ordinal = kept.ordinal;
        let written = writeln!(
            self.out,
            "{command_sequence},{timestamp_ns},reports,{ordinal},{kind},{reason},{flags},{account},{sequence},\
             {client_order_id},,{reference},{price},{quantity}"
        );
        self.keep(written);
    }

    fn market(&mut self, bytes: &[u8], origin: Origin) {
        let line = line_of(bytes);
        let Origin { command_sequence, timestamp_ns } = origin;
        let Line { letter, flags, sequence, .. } = line;
        let text = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        let price = line.price.map_or(String::new(), |price| price.to_string());
        let (order_id, reference, quantity) = (text(line.order_id), text(line.reference), text(line.quantity));
        let written = writeln!(
            self.out,
            "{command_sequence},{timestamp_ns},market,{sequence},{letter},,{flags},,,,{order_id},{reference},{price},\
             {quantity}"
        );
        self.keep(written);
    }
}

fn line_of(bytes: &[u8]) -> Line {
    let blank = |flags, sequence| Line {
        letter: char::from(bytes.first().copied().unwrap_or(b'?')),
        flags,
        sequence,
        ..Line::default()
    };
    match bytes.first() {
        Some(&Added::TYPE) => bytes.try_into().map(Added::decode).map(|told| Line {
            order_id: Some(told.order_id),
            price: Some(told.price),
            quantity: Some(told.quantity),
            ..blank(told.flags, told.sequence)
        }),
        Some(&Executed::TYPE) => bytes.try_into().map(Executed::decode).map(|told| Line {
            order_id: Some(told.order_id),
            reference: Some(told.match_id),
            price: Some(told.price),
            quantity: Some(told.quantity),
            ..blank(told.flags, told.sequence)
        }),
        Some(&Reduced::TYPE) => bytes.try_into().map(Reduced::decode).map(|told| Line {
            order_id: Some(told.order_id),
            quantity: Some(told.removed),
            ..blank(told.flags, told.sequence)
        }),
        Some(&Deleted::TYPE) => bytes
            .try_into()
            .map(Deleted::decode)
            .map(|told| Line { order_id: Some(told.order_id), ..blank(told.flags, told.sequence) }),
        Some(&Replaced::TYPE) => bytes.try_into().map(Replaced::decode).map(|told| Line {
            order_id: Some(told.order_id),
            reference: Some(told.new_order_id),
            price: Some(told.price),
            quantity: Some(told.quantity),
            ..blank(told.flags, told.sequence)
        }),
        Some(&StateChanged::TYPE) => bytes
            .try_into()
            .map(StateChanged::decode)
            .map(|told| Line { reference: Some(told.state), ..blank(told.flags, told.sequence) }),
        _ => Ok(blank(0, 0)),
    }
    .unwrap_or_else(|_| blank(0, 0))
}
