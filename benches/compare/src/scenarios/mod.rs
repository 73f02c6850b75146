//! The scenarios: what is measured, how, and what the figures mean.

use crate::contest::Contest;

mod churn;
mod counts;
mod dispatch;
mod echo;
mod flood;
mod growth;
mod http;
mod pipes;
mod post;
mod soon;
mod tasks;
mod timers;
mod units;
mod workers;

/// A part of the contest.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(&mut Contest),
}

pub static SCENARIOS: &[Scenario] = &[
    echo::SCENARIO,
    churn::SCENARIO,
    flood::SCENARIO,
    pipes::SCENARIO,
    dispatch::SCENARIO,
    timers::SCENARIO,
    soon::SCENARIO,
    post::SCENARIO,
    tasks::SCENARIO,
    http::SCENARIO,
    counts::SCENARIO,
    growth::SCENARIO,
    units::SCENARIO,
    workers::SCENARIO,
];
