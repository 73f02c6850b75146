//! The guide, checked: the tables of other event loops have a row for each symbol.

#[path = "guide/porting.rs"]
mod porting;
