//! The anti-patterns of the guide (docs/contract.md, G10): each program runs as it is written and
//! as it is cured, on simulated time and on every selector. Its picture is drawn from both tapes.

mod accept_without_limit;
mod blocking_call;
mod drift;
mod endless_read;
mod giant_batch;
mod idle_keep_alive;
mod no_water_marks;
mod partial_read;
mod refcell_over_a_call;
mod stage;
mod swallowed_error;

/// The times at which a heartbeat that is never late runs.
const ON_TIME: [u128; 15] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150];
