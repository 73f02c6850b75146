//! A tape in the JSON format of chrome://tracing, which Perfetto also reads.

use std::io::{self, Write};
use std::time::Duration;

use super::reading::Tape;
use super::turn::{Cause, Turn};

impl Tape {
    /// Writes the tape as JSON of the Trace Event Format, for chrome://tracing and
    /// <https://ui.perfetto.dev>: a slice for each turn, and an arrow from the turn that caused it.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    ///
    /// ```
    /// # use mainspring::{EventLoop, Recorder};
    /// let mut el = EventLoop::builder().record(Recorder::ring(64)).build()?;
    /// el.call_soon(|_, _| {});
    /// el.run()?;
    /// let mut json = Vec::new();
    /// el.tape().unwrap().chrome_json(&mut json)?;
    /// assert!(String::from_utf8(json).unwrap().contains(r#""cat":"callback""#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn chrome_json(&self, mut out: impl Write) -> io::Result<()> {
        write!(out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let mut separator = "\n";
        for turn in self.turns() {
            write!(out, "{separator}")?;
            separator = ",\n";
            self.write_slice(&mut out, turn)?;
            if let Cause::Turn(number) = turn.cause
                && let Some(from) = self.turn(number)
            {
                self.write_arrow(&mut out, from, turn)?;
            }
        }
        writeln!(out, "\n]}}")
    }

    fn write_slice(&self, out: &mut impl Write, turn: &Turn) -> io::Result<()> {
        write!(
            out,
            "{{\"ph\":\"X\",\"name\":{},\"cat\":\"{}\",\"ts\":{},\"dur\":{},\"pid\":{},\"tid\":1,\
             \"args\":{{\"cause\":\"{}\",\"key\":{}}}}}",
            quoted(&turn.name()),
            turn.kind,
            micros(turn.at),
            micros(turn.lasted.unwrap_or_default()),
            self.process(),
            turn.cause,
            turn.key,
        )
    }

    fn write_arrow(&self, out: &mut impl Write, from: &Turn, to: &Turn) -> io::Result<()> {
        for (phase, turn) in [("\"s\"", from), ("\"f\",\"bp\":\"e\"", to)] {
            write!(
                out,
                ",\n{{\"ph\":{phase},\"name\":\"cause\",\"cat\":\"cause\",\"id\":{},\"ts\":{},\
                 \"pid\":{},\"tid\":1}}",
                to.number,
                micros(turn.at),
                self.process(),
            )?;
        }
        Ok(())
    }
}

/// Returns microseconds with three decimals, exactly.
fn micros(time: Duration) -> String {
    format!("{}.{:03}", time.as_micros(), time.subsec_nanos() % 1000)
}

/// Returns a text as a JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => quoted += &format!("\\u{:04x}", u32::from(control)),
            _ => quoted.push(letter),
        }
    }
    quoted + "\""
}
