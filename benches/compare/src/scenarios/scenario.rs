//! The type of a scenario.

use crate::comparison::Comparison;

/// A subject of the comparison, with a page of its results.
#[derive(Debug)]
pub struct Scenario {
    /// Name on the command line and of the page.
    pub name: &'static str,
    /// One line about the subject.
    pub about: &'static str,
    /// Measures, and adds tables to the comparison.
    pub run: fn(&mut Comparison),
}
