//! I/O for tasks: copying, reading lines, and awaiting any source.
//!
//! | item | purpose |
//! |---|---|
//! | [`copy()`], [`copy_bidirectional`] | copy everything from a reader to a writer |
//! | [`BufReader`], [`Lines`] | read lines and delimited parts, with a limit |
//! | [`AsyncRead`], [`AsyncWrite`] | the traits of readers and writers, for user-defined ones too |
//! | [`Io`], [`ReadChunk`] | any source, and bytes read from it |
//!
//! # Sources
//!
//! An [`Io`] awaits the readiness of a descriptor, and then calls the source.
//!
//! ```text
//!   call ── would block ──► watched, once ──► wait ◄── cached ◄── edge of readiness
//!     ▲                                        │
//!     └──────────────────── wake ◄─────────────┘
//! ```
//!
//! A call is tried at once. Only if it would block is the source registered with the running loop,
//! for all directions. It stays registered, and reported readiness is cached until a call disproves
//! it.

mod async_io;
pub(crate) mod both;
mod buf_reader;
mod bytes;
mod copy;
#[cfg(feature = "futures-io")]
mod futures_io;
pub(crate) mod read_chunk;
mod registration;
pub(crate) mod source;
mod transfer;
mod transferred;
mod waiter;
mod watched_by;

pub use self::async_io::{AsyncRead, AsyncWrite};
pub use self::buf_reader::{BufReader, Lines};
pub use self::copy::{copy, copy_bidirectional};
pub(crate) use self::read_chunk::ReadChunk;
pub(crate) use self::source::Io;
