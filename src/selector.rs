//! Custom selectors: the trait to implement, and the tokens and event buffers that it uses.
//!
//! A program needs this module only to write a selector. For the selectors of this crate,
//! [`EventLoopBuilder::selector`] takes a [`SelectorKind`].
//!
//! [`EventLoopBuilder::selector`]: crate::EventLoopBuilder::selector
//! [`SelectorKind`]: crate::SelectorKind

pub use mainspring_sys::{Event, Events, Selector, Token, UserEvent};

pub use crate::builder::SelectorChoice;
