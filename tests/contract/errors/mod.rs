//! Errors and panics of user code, and how they are reported (Q8, Q9 and W9 of docs/contract.md).

mod batch_panics;
mod error_messages;
mod never_returning;
mod panic_policy;
mod part_panics;
mod slow_callbacks;
mod stderr_reports;
