//! The guide, checked: the tables of other event loops have a row for each symbol, and excerpts of
//! programs are parts of these.

#[path = "guide/pages.rs"]
mod pages;
#[path = "guide/porting.rs"]
mod porting;
