//! Reason: one numbered table of why an order was refused, or ended otherwise than by a fill.
//!
//! Numbers are for ever; they travel in byte 2 of an execution report. Below 32 stand refusals, which change nothing;
//! from 32 on, ends of orders that had been accepted.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $value:literal, $text:literal;)*) => {
        /// Why an order was refused, or ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(non_camel_case_types, reason = "the table's own spelling, the same in every language")]
        pub enum Reason { $($(#[doc = $doc])* $name = $value,)* }

        /// Every reason, in order of number.
        pub static REASONS: &[Reason] = &[$(Reason::$name,)*];

        impl Reason {
            /// `DUPLICATE`, `COLLAR`, ...: the same in every language, after a prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// One sentence.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The reason with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($value => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reasons! {
    /// What was asked for, or a fill.
    NONE = 0, "it is what was asked for";
    /// A field that means nothing, or fields that contradict each other.
    MALFORMED = 1, "a field is outside its range, or two fields contradict each other";
    /// The exchange has no such account.
    UNKNOWN_ACCOUNT = 2, "there is no such account";
    /// Another session's account; said by the gateway.
    FOREIGN_ACCOUNT = 3, "the account belongs to another session";
    /// The client order id is not above the account's last one.
    DUPLICATE = 4, "the client order id is not above the account's last one";
    /// The account's kill switch is on.
    KILLED = 5, "the account's kill switch is on; cancels still work";
    /// Trading is halted.
    HALTED = 6, "trading is halted; cancels still work";
    /// A quantity of zero.
    ZERO_QUANTITY = 7, "the quantity is zero";
    /// More than one order may ask for.
    QUANTITY_MAX = 8, "the quantity is above the limit";
    /// The account has as many open orders as it may have.
    OPEN_ORDERS_MAX = 9, "the account has as many open orders as it may have";
    /// No slot is free for an order that could rest.
    ARENA_FULL = 10, "the book has no room for another resting order";
    /// A post-only order that would trade.
    POST_ONLY = 11, "a post-only order would trade at once";
    /// A fill-or-kill order that would not be filled.
    FILL_OR_KILL = 12, "the order cannot be filled completely at once";
    /// Fill-or-kill with self-trade prevention by decrement.
    FILL_OR_KILL_DECREMENT = 13, "fill-or-kill does not go with decrement";
    /// No such live order.
    UNKNOWN_ORDER = 14, "the account has no open order of that id";
    /// More messages than the account may send in a second; said by the gateway.
    RATE = 15, "the account sends more messages in a second than it may";
    /// What a market, IOC or FOK order could not trade.
    REMAINDER = 32, "what could not be traded at once was cancelled";
    /// Self-trade prevention.
    SELF_TRADE = 33, "it would have traded with its own account";
    /// The next price lies outside the collar.
    COLLAR = 34, "the next price lies outside the collar";
    /// A mass cancel.
    MASS_CANCEL = 35, "a mass cancel took it away";
    /// A replace whose new total was executed already.
    EXECUTED = 36, "the new total had been executed already";
    /// A login with an unknown user or a wrong token.
    LOGIN = 64, "the user or the token is wrong";
    /// A login of another version.
    LOGIN_VERSION = 65, "the exchange speaks another version";
    /// A login to an exchange that is full, or not ready.
    UNAVAILABLE = 66, "the exchange takes no more sessions now";
}

#[cfg(test)]
mod tests {
    use super::{REASONS, Reason};

    #[test]
    fn every_reason_is_found_by_its_number() {
        for &reason in REASONS {
            assert_eq!(Reason::from_number(reason as u8), Some(reason));
            assert!(!reason.text().is_empty() && !reason.name().is_empty());
        }
        assert!(REASONS.windows(2).all(|two| (two[0] as u8) < two[1] as u8));
        assert_eq!(Reason::from_number(255), None);
    }
}
