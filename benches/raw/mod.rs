//! The opponent: an event loop as one would write it by hand for one program, over epoll(7) and
//! nothing else.
//!
//! Level-triggered, the fd itself in each registration, a table indexed by fd; no generations, no
//! cancelling, no errors that anybody is told of. What mainspring costs beyond this is the price of
//! what it offers beyond this.
//!
//! It is the only place of the benches with `unsafe` blocks, because a hand-written loop calls the
//! kernel directly. It is also the only one that names systems: the capabilities that `sys` names
//! are not visible above it, and a bench may not ask for new ones only to be compiled. Where there
//! is no epoll the same names exist, [`IS_HERE`] is false and the benches that need an opponent say
//! that they are skipped.
#![allow(dead_code, unused_imports)] // Each bench uses a part of it.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod callbacks;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod echo;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod system;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "absent.rs"]
mod system;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use self::{callbacks::Loop, callbacks::Soon, echo::serve, epoll::Epoll, epoll::READ};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use self::system::{Epoll, Loop, READ, Soon, serve};

pub use self::system::{IS_HERE, cores, cpu_of, cpu_of_this_thread, pin};
