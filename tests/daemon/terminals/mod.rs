//! Standard input and terminals (docs/contract.md, Y1 to Y6), on real pseudo terminals.

mod job_control;
mod pty;
mod raw_mode;
mod stdin;
mod window;
