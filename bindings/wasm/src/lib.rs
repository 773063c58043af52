//! The core over linear memory: what JavaScript, or any host of WebAssembly, calls. Carriers without logic: check, call,
//! translate.
//!
//! ```text
//!   0          the module's constants (`__heap_base` ends them)
//!   base       instances: who has which home                 written by hosts (sdk/wasm/plan.ts)
//!   homes      one for each thread: stack and thread block 64 KiB · heap · desk
//!   region     the bytes of a region's file                   written by the core
//! ```
//!
//! **Before its first call** an instance owns a home: the host sets `__stack_pointer` to the end of its stack, calls
//! `__wasm_init_tls`, and then `start`. All instances of a memory run the same module. What an instance
//! allocates lies in its own home, so a thread that is ended in the middle of an allocation takes nothing from others.
//!
//! There are two modules, because a page that moves messages need not load a book, and each is to be small: `rings`
//! (regions, frames) and `books`, of which each has a memory of its own.
//!
//! **What every call answers**: 0 or more, or a code below 0. Numbers that may be large go to the desk, in
//! whose staging area hosts also put names, payloads and room for records.
//!
//! Only a host that keeps to this is safe: pointers are believed. Everything in shared memory is still distrusted, as in
//! every other face, because another thread may write anything there.

#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait, thread_local))]

#[cfg(target_arch = "wasm32")]
extern crate alloc;

#[cfg(all(target_arch = "wasm32", feature = "books"))]
pub mod books;
#[cfg(all(target_arch = "wasm32", feature = "rings"))]
pub mod consumers;
#[cfg(target_arch = "wasm32")]
pub mod desk;
#[cfg(all(target_arch = "wasm32", feature = "rings"))]
pub mod frames;
#[cfg(target_arch = "wasm32")]
mod heap;
#[cfg(target_arch = "wasm32")]
pub mod instance;
#[cfg(all(target_arch = "wasm32", feature = "rings"))]
pub mod producers;
#[cfg(all(target_arch = "wasm32", feature = "rings"))]
pub mod regions;
#[cfg(all(target_arch = "wasm32", feature = "rings"))]
mod world;

/// Nothing is left to be done; the host throws, and the instance must not be called again.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
