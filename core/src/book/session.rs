//! Session: what a client and the gateway say to each other besides orders.

use super::wire::{choice, structures};
use crate::schema::{Constant, constants};

constants! {
    /// Version of the session's messages.
    pub const LOGIN_VERSION: u8 = 1;
    /// Flag of a login: when the connection ends, take all orders of the account away.
    pub const LOGIN_CANCEL_ON_DISCONNECT: u16 = 1;
}

structures! {
    /// Every message of a session, in order of type.
    SESSIONS {
        /// The first message of a session.
        pub struct Login: 64 type 6 {
            /// `LOGIN_VERSION`.
            1 => version: u8,
            /// `LOGIN_*` bits.
            2 => flags: u16,
            /// Who is silent three times as long is gone, milliseconds.
            4 => heartbeat_ms: u32,
            /// The first report to be sent again; 0: only new ones.
            8 => next_report: u64,
            /// Name, padded with zeros.
            16 => user: [u8; 16],
            /// Secret, padded with zeros.
            32 => token: [u8; 32],
        }

        /// Says that the other side is there.
        pub struct Heartbeat: 8 type 7 {
            /// Zero.
            1 => zero: [u8; 7],
        }

        /// Ends a session in good order.
        pub struct Logout: 8 type 8 {
            /// Zero.
            1 => zero: [u8; 7],
        }

        /// The answer to a login.
        pub struct LoginReply: 32 type 9 {
            /// The number of a reason; 0: welcome.
            1 => reason: u8,
            /// Zero.
            2 => zero: u16,
            /// The account of the session.
            4 => account: u32,
            /// Later ids must be above it.
            8 => last_client_order_id: u64,
            /// The sequence of the report that comes next.
            16 => next_report: u64,
            /// The exchange's clock, nanoseconds since 1970.
            24 => time_ns: u64,
        }
    }
}

choice! {
    /// What a session says besides commands and reports.
    pub enum Session: 64 { Login, Heartbeat, Logout, LoginReply, }
}
