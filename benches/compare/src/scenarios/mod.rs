//! The scenarios: one file each, with the subject, the method and the meaning of the figures.

mod children;
mod churn;
mod counts;
mod dispatch;
mod echo;
mod fetches;
mod flood;
mod growth;
mod http;
mod pipes;
mod post;
mod scenario;
mod soon;
mod tasks;
mod timers;
mod units;
mod workers;

use scenario::Scenario;

/// All scenarios, in the order of a full run.
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
    children::SCENARIO,
    fetches::SCENARIO,
    workers::SCENARIO,
];
