//! An event loop for Unix daemons.
#![forbid(unsafe_code)]
