//! The base of comparison: an event loop for one program, hand-written over epoll(7).
//!
//! It is level-triggered, has the fd itself in each registration, and a table indexed by fd. It has
//! no generations, no cancellation and no error reports. The difference from mainspring is the
//! price of these.
//!
//! This is the only folder of the benches with `unsafe` blocks, because a hand-written loop calls
//! the kernel directly. It is also the only one that names systems: the capabilities of `sys` are
//! not visible to other crates. On systems without epoll the same names exist, [`IS_SUPPORTED`] is
//! false, and the benches that need this loop are skipped.
#![allow(dead_code, unused_imports)] // Each bench uses a part of this module.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod callbacks;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod copies;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod echo;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "unsupported.rs"]
mod system;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use self::{
    callbacks::Loop, callbacks::SoonQueue, copies::send_by_hand, copies::splice_through,
    echo::serve, epoll::Epoll, epoll::READ,
};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use self::system::{Epoll, Loop, READ, SoonQueue, send_by_hand, serve, splice_through};

pub use self::system::{IS_SUPPORTED, cores, cpu_of, cpu_of_this_thread, pin};
