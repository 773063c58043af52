//! The Rust driver: one JSON object a line in, one out. `../../README.md` has the protocol.
#![cfg(target_os = "linux")]

mod load;
mod reader;

use reader::Reader;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::layout::RUNTIME_RUST;
use tailrace_core::log::{Log, LogOptions, Record};
use tailrace_core::recorded::{Recorder, RecorderOptions};
use tailrace_core::region::{
    ChannelOptions, Durability, Foreign, HandleOptions, Kind, Message, OpenOptions, Polled, Producer, Records, Region,
};

/// Prints one answer.
fn say(answer: &Value) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the program ends with its stdin.
    let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
}

#[derive(Default)]
struct Driver {
    region: Option<Region>,
    producer: Option<Producer>,
    consumer: Option<Reader>,
    recorder: Option<Recorder>,
    log: Option<Log>,
    buffer: Vec<u8>,
}

fn missing(what: &str) -> Error {
    Error::new(Code::ARGUMENT, format!("open a {what} first"))
}

impl Driver {
    fn region(&self) -> Result<&Region> {
        self.region.as_ref().ok_or_else(|| missing("region"))
    }

    fn producer(&mut self) -> Result<&mut Producer> {
        self.producer.as_mut().ok_or_else(|| missing("producer"))
    }

    fn consumer(&mut self) -> Result<&mut Reader> {
        self.consumer.as_mut().ok_or_else(|| missing("consumer"))
    }

    fn run(&mut self, request: &Value) -> Result<Value> {
        match text(request, "op") {
            "open" => {
                (self.producer, self.consumer, self.recorder, self.region, self.log) = Default::default();
                self.region = Some(Region::open(text(request, "path"), &open_options(request))?);
                Ok(json!({ "pid": std::process::id() }))
            }
            "create_channel" => {
                self.region()?.create_channel(text(request, "name"), &channel_options(request)).map(|_| json!({}))
            }
            "open_producer" => {
                let options = HandleOptions { label: text(request, "label").to_string(), ..HandleOptions::default() };
                self.producer = Some(self.region()?.open_producer(text(request, "channel"), &options)?);
                Ok(json!({}))
            }
            "open_consumer" => {
                self.consumer = Some(Reader::open(self.region()?, request)?);
                Ok(json!({}))
            }
            "open_reader" => {
                self.consumer = Some(Reader::open_log(request)?);
                Ok(json!({}))
            }
            "record" => {
                let options = RecorderOptions { log: log_options(request), ..RecorderOptions::default() };
                let (channel, log) = (text(request, "channel"), text(request, "log"));
                self.recorder = Some(Recorder::start(self.region()?, channel, log, &options)?);
                Ok(json!({}))
            }
            "open_log" => {
                self.log = Some(Log::open(text(request, "path"), &log_options(request))?);
                Ok(json!({}))
            }
            "append" => self.append(request),
            "write" => self.write(request),
            "send" => {
                let payload = bytes(text(request, "payload"))?;
                let (kind, timeout) = (number(request, "type", 0) as u32, timeout(request));
                let sequence = self.producer()?.send_with(&payload, kind, timeout, durability(request, "memory"))?;
                Ok(json!({ "sequence": sequence.to_string() }))
            }
            "wait" => Ok(json!({ "ready": self.consumer()?.wait(timeout(request))? })),
            "poll" => self.read(request, Reader::poll_into),
            "take" => self.read(request, Reader::take_into),
            "release" => {
                let count = request.get("count").and_then(Value::as_u64).map(|count| count as usize);
                Ok(json!({ "count": self.consumer()?.release(count)? }))
            }
            "keep" => Ok(json!({ "count": self.consumer()?.keep()? })),
            "depth" => Ok(json!({ "depth": self.consumer()?.depth()? })),
            "position" => Ok(sequence(self.consumer()?.position())),
            "seek" => self.consumer()?.seek(reader::start(request).unwrap_or_default()).map(sequence),
            "commit" => self.consumer()?.commit(timeout(request)).map(sequence),
            "close_producer" => self.producer().map(Producer::close).map(|()| json!({})),
            "close_consumer" => self.consumer().map(Reader::close).map(|()| json!({})),
            "close_recorder" => self.recorder.as_mut().map_or(Ok(()), Recorder::close).map(|()| json!({})),
            "close_log" => self.log.as_ref().map_or(Ok(()), Log::close).map(|()| json!({})),
            "produce" => load::produce(self.producer()?, request),
            "consume" => load::consume(self.consumer()?, request),
            "follow" => load::follow(self.consumer()?, request),
            other => Err(Error::new(Code::ARGUMENT, format!("there is no op {other:?}"))),
        }
    }

    fn append(&self, request: &Value) -> Result<Value> {
        let payloads = payloads(request)?;
        let log = self.log.as_ref().ok_or_else(|| missing("log"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        let first = Record {
            timestamp_ns: now,
            message_type: number(request, "type", 0) as u32,
            sender_pid: std::process::id(),
            sender_runtime: RUNTIME_RUST,
            ..Record::default()
        };
        let records: Vec<_> = payloads.iter().map(|payload| Record { payload, ..first }).collect();
        let last = match durability(request, "wal") {
            Durability::Memory => log.append(&records),
            _ => log.append_durable(&records),
        };
        last.map(sequence)
    }

    fn write(&mut self, request: &Value) -> Result<Value> {
        let payloads = payloads(request)?;
        let kind = number(request, "type", 0) as u32;
        let count = match payloads.as_slice() {
            [one] => usize::from(self.producer()?.write(one, kind)?),
            many => self.producer()?.write_batch(&many.iter().map(Vec::as_slice).collect::<Vec<_>>(), kind)?,
        };
        Ok(json!({ "count": count }))
    }

    fn read(&mut self, request: &Value, call: fn(&mut Reader, &mut [u8], usize) -> Result<Polled>) -> Result<Value> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(buffer.len().max(2 << 20), 0);
        let polled = call(self.consumer()?, &mut buffer, number(request, "limit", 256) as usize)?;
        let messages: Vec<Value> = Records::new(&buffer[..polled.bytes]).map(described).collect();
        self.buffer = buffer;
        Ok(json!({ "messages": messages, "lost": polled.lost }))
    }
}

fn described(message: Message<'_>) -> Value {
    json!({
        "sequence": message.sequence.to_string(),
        "type": message.message_type,
        "payload": message.payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "pid": message.sender_pid,
        "runtime": message.sender_runtime,
        "redelivered": message.is_redelivered(),
        "delivery_count": message.delivery_count,
    })
}

fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request.get(name).and_then(Value::as_str).unwrap_or("")
}

fn number(request: &Value, name: &str, default: u64) -> u64 {
    request.get(name).and_then(Value::as_u64).unwrap_or(default)
}

fn is_set(request: &Value, name: &str) -> bool {
    request.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn timeout(request: &Value) -> Option<Duration> {
    request.get("timeout_ms").and_then(Value::as_u64).map(Duration::from_millis)
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let wrong = || Error::new(Code::ARGUMENT, format!("{hex:?} is no hex"));
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return Err(wrong()) };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect::<Option<_>>().ok_or_else(wrong)
}

fn payloads(request: &Value) -> Result<Vec<Vec<u8>>> {
    let payloads = request["payloads"].as_array().map(Vec::as_slice).unwrap_or_default();
    payloads.iter().map(|hex| bytes(hex.as_str().unwrap_or(""))).collect()
}

fn sequence(number: u64) -> Value {
    json!({ "sequence": number.to_string() })
}

fn durability(request: &Value, otherwise: &str) -> Durability {
    let told = text(request, "durability");
    match if told.is_empty() { otherwise } else { told } {
        "wal" => Durability::Wal,
        "replicated" => Durability::Replicated,
        _ => Durability::Memory,
    }
}

fn log_options(request: &Value) -> LogOptions {
    let default = LogOptions::default();
    LogOptions { segment_bytes: number(request, "segment_bytes", default.segment_bytes), ..default }
}

fn open_options(request: &Value) -> OpenOptions {
    let default = OpenOptions::default();
    OpenOptions {
        recovery: request.get("recovery").and_then(Value::as_bool).unwrap_or(default.recovery),
        payload_offset: number(request, "payload_offset", default.payload_offset.into()) as u32,
        ..default
    }
}

fn channel_options(request: &Value) -> ChannelOptions {
    ChannelOptions {
        kind: if text(request, "kind") == "stream" { Kind::Stream } else { Kind::Queue },
        capacity: number(request, "capacity", 1_024),
        exclusive_producer: is_set(request, "exclusive_producer"),
        exclusive_consumer: is_set(request, "exclusive_consumer"),
        gated: is_set(request, "gated"),
        checksum: is_set(request, "checksum"),
        recorded: is_set(request, "recorded"),
        foreign: match text(request, "foreign") {
            "document" => Foreign::Document,
            "code" => Foreign::Code,
            _ => Foreign::No,
        },
    }
}

fn main() {
    let mut driver = Driver::default();
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let answer = match serde_json::from_str(&line) {
            Ok(request) => driver.run(&request),
            Err(error) => Err(Error::new(Code::ARGUMENT, format!("{line:?} is no JSON: {error}"))),
        };
        say(&match answer {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                answer
            }
            Err(error) => {
                json!({ "ok": false, "code": format!("ERR_{}", error.code().name()), "message": error.message() })
            }
        });
    }
}
