//! The tape: a flight recorder of the turns of a loop.
//!
//! The loop stores one 16-byte record for each callback that runs, with its place of registration
//! and its cause. The end of a turn is the beginning of the next record, so one clock reading
//! suffices. The ring is in memory, or in a file that outlives the process.
//!
//! | file | contents |
//! |---|---|
//! | `recorder` | the settings of a tape |
//! | `layout` | the words of a tape, in memory and in a file |
//! | `recording` | the writer |
//! | `causes` | the cause of each entry of the ready deque |
//! | `live` | the tape of a running loop, for other threads |
//! | `file` | opening and reading a file, and the reasons to reject it |
//! | `reading`, `turn` | the reader, and the values that it returns |
//! | `turn_id` | the number of a registration in a record |
//! | `blame` | the reasons why a turn was late |
//! | `lanes`, `svg`, `chrome_json`, `perfetto` | diagrams, and files for trace viewers |

mod blame;
mod causes;
mod chrome_json;
mod file;
mod lanes;
mod layout;
mod live;
mod perfetto;
mod reading;
mod recorder;
mod recording;
mod svg;
mod turn;
mod turn_id;

#[cfg(test)]
mod tests;

pub use self::blame::{Blame, BlamePart};
pub(crate) use self::causes::{BY_CLOCKS, BY_SOURCES, BY_THREADS};
pub(crate) use self::layout::Reason;
pub(crate) use self::live::LiveTape;
pub use self::reading::Tape;
pub use self::recorder::Recorder;
pub(crate) use self::recording::{Recording, Start};
pub use self::turn::{Cause, Turn, TurnKind};
pub(crate) use self::turn_id::TurnId;
