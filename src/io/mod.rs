//! Any source as a future: [`Io`] awaits the readiness of a descriptor, and then calls the source.
//!
//! ```text
//!   call ── would block ──► watched, once ──► wait ◄── cached ◄── edge of readiness
//!     ▲                                        │
//!     └──────────────────── wake ◄─────────────┘
//! ```
//!
//! A call is tried at once. Only when it would block, the source is registered with the running
//! loop, for all its directions. It stays registered, and reported readiness is cached until a call
//! disproves it.
//!
//! | file | contents |
//! |---|---|
//! | `source` | `Io`: readiness, and calls as futures |
//! | `bytes`, `read_chunk`, `transfer` | reading and writing bytes |
//! | `registration`, `waiter` | the fd as its source sees it, and a future that waits for it |
//! | `futures_io` | the traits of the crate `futures-io` |

mod bytes;
#[cfg(feature = "futures-io")]
mod futures_io;
mod read_chunk;
mod registration;
mod source;
mod transfer;
mod transferred;
mod waiter;

pub use self::read_chunk::ReadChunk;
pub use self::source::Io;
