//! Red flags: signs of trouble in a loop, each with a place and advice.
//!
//! | file | contents |
//! |---|---|
//! | `flag` | a red flag, and the list of them |
//! | `history` | the data that calls compare with previous ones |
//! | `long_calls` | callbacks that are long, for this loop |
//! | `clock_cost` | the cost of reading the clock |

mod clock_cost;
mod flag;
mod history;
mod long_calls;

pub(crate) use self::clock_cost::clock_cost;
pub use self::flag::{Diagnosis, Flag, FlagKind};
pub(crate) use self::history::{Descriptor, History, Numbers, Spinner, TICKS_PER_SAMPLE};
pub(crate) use self::long_calls::{long_calls_of_durations, long_calls_of_tape};
