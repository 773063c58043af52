//! What a region says about itself, as JSON: for the C ABI, for Python, and for whoever reads lines.
//!
//! Keys are the core's field names, numbers are whole, and nothing is ever left out, so that a reader needs no defaults.

use std::fmt::Write;

use tailrace_core::region::{ChannelInfo, RegionStats, Unblocked};

/// One JSON object while it is written.
struct Object<'a> {
    to: &'a mut String,
    separator: char,
}

impl<'a> Object<'a> {
    fn new(to: &'a mut String) -> Self {
        Self { to, separator: '{' }
    }

    fn key(&mut self, key: &str) -> &mut String {
        self.to.push(self.separator);
        self.separator = ',';
        quote(self.to, key);
        self.to.push(':');
        self.to
    }

    fn number(&mut self, key: &str, value: impl Into<u64>) -> &mut Self {
        let value = value.into();
        let _ = write!(self.key(key), "{value}");
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        quote(self.key(key), value);
        self
    }

    fn list<T>(&mut self, key: &str, items: &[T], item: impl Fn(&mut String, &T)) -> &mut Self {
        list(self.key(key), items, item);
        self
    }

    fn end(&mut self) {
        self.to.push('}');
    }
}

fn quote(to: &mut String, text: &str) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => to.extend(['\\', character]),
            control if (control as u32) < 0x20 => {
                let _ = write!(to, "\\u{:04x}", control as u32);
            }
            plain => to.push(plain),
        }
    }
    to.push('"');
}

fn list<T>(to: &mut String, items: &[T], item: impl Fn(&mut String, &T)) {
    to.push('[');
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            to.push(',');
        }
        item(to, value);
    }
    to.push(']');
}

fn channel(to: &mut String, info: &ChannelInfo) {
    Object::new(to).text("name", &info.name).number("index", info.index).end();
}

/// The channels of a region.
pub fn channels(channels: &[ChannelInfo]) -> String {
    let mut to = String::new();
    list(&mut to, channels, channel);
    to
}

/// Everything a region knows of itself.
pub fn stats(stats: &RegionStats) -> String {
    let mut to = String::new();
    Object::new(&mut to).list("channels", &stats.channels, channel).end();
    to
}

/// What a repair did.
pub fn unblocked(done: &[Unblocked]) -> String {
    let mut to = String::new();
    list(&mut to, done, |_, _| ());
    to
}
