//! JSON, written by hand: a few dozen fields need no library.
//!
//! Strings are escaped so that any bytes found in shared memory give valid JSON.

use std::fmt::Write as _;

/// An object under construction.
pub(crate) struct Object(String);

impl Object {
    /// An object without fields.
    pub fn new() -> Self {
        Self(String::from("{"))
    }

    /// A field whose value is JSON already, or a number or truth value.
    pub fn raw(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let comma = if self.0.len() == 1 { "" } else { "," };
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
        self
    }

    /// A field whose value is a string.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, quoted(value))
    }

    /// A field whose value may be unknown.
    pub fn maybe(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.raw(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// A field whose value is a list.
    pub fn list(self, name: &str, values: impl Iterator<Item = String>) -> Self {
        self.raw(name, array(values))
    }

    /// The whole.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A list of JSON values.
pub(crate) fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// A string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // U+2028 and U+2029 end lines in JavaScript, which reads this.
            character if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_valid_json() {
        for text in ["", "plain", "\"\\/", "\u{0}\n\u{1f}\u{7f}\u{9f}", "\u{2028}é€\u{1f600}"] {
            let read: String = serde_json::from_str(&quoted(text)).expect("valid JSON");
            assert_eq!(read, text);
        }
    }
}
