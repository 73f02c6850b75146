//! Selectors for a loop: the contract of one, and the tokens and event buffers that it works with.
//!
//! A program needs this module only to write a selector. [`EventLoopBuilder::selector`] takes a
//! [`SelectorKind`] for those that the crate has.
//!
//! [`EventLoopBuilder::selector`]: crate::EventLoopBuilder::selector
//! [`SelectorKind`]: crate::SelectorKind

pub use mainspring_sys::{Event, Events, Selector, Token, UserEvent};

pub use crate::builder::SelectorChoice;
