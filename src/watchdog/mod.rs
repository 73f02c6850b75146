//! The heartbeat of a loop, and a thread that watches it.
//!
//! A heartbeat is the last record of a tape. The loop writes one for each turn, and any thread can
//! read it while the turn is running. A loop without a tape gets a short one in memory.
//!
//! | file | contents |
//! |---|---|
//! | `heartbeat` | the running turn, for any thread |
//! | `settings` | the settings of a watchdog |
//! | `thread` | its thread, and the guard that ends it |
//! | `stall` | its reports |

mod heartbeat;
mod settings;
mod stall;
mod thread;

pub use self::heartbeat::{Heartbeat, RunningTurn};
pub use self::settings::Watchdog;
pub use self::stall::Stall;
pub use self::thread::WatchdogGuard;
