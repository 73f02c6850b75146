//! Protocol that records its callbacks and runs a script in each of them.

use std::io::ErrorKind;
use std::rc::Rc;

use mainspring::net::{Protocol, Transport};
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, LoopHandle, Result, SelectorKind};

use crate::support::simulated;

/// Callback of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    Made,
    Data(Vec<u8>),
    Eof,
    Pause,
    Resume,
    Lost(Option<ErrorKind>),
}

/// State of the loops: the callbacks of protocols, and the reports.
#[derive(Debug, Default)]
pub struct Record {
    pub callbacks: Vec<Callback>,
    /// Line of the registration and text of each report.
    pub reports: Vec<(u32, String)>,
}

impl Record {
    /// Returns the callbacks without `Data`, because data may arrive in any number of pieces.
    pub fn order(&self) -> Vec<Callback> {
        let data = |callback: &&Callback| !matches!(callback, Callback::Data(_));
        self.callbacks.iter().filter(data).cloned().collect()
    }

    /// Returns all bytes received.
    pub fn bytes(&self) -> Vec<u8> {
        let data = self.callbacks.iter().filter_map(|callback| match callback {
            Callback::Data(bytes) => Some(&bytes[..]),
            _ => None,
        });
        data.collect::<Vec<_>>().concat()
    }

    /// Returns the reason of `connection_lost`; `None` if it has not been called. Asserts that it
    /// was called at most once, and last.
    #[track_caller]
    pub fn lost_reason(&self) -> Option<Option<ErrorKind>> {
        let lost = |callback: &Callback| match callback {
            Callback::Lost(reason) => Some(*reason),
            _ => None,
        };
        let losses: Vec<_> = self.callbacks.iter().filter_map(lost).collect();
        assert!(losses.len() <= 1, "{:?}", self.order());
        let last = self.callbacks.last().and_then(lost);
        assert_eq!(
            last.is_some(),
            losses.len() == 1,
            "connection_lost was not the last callback: {:?}",
            self.order()
        );
        last
    }

    /// Asserts the order of callbacks that every connection has.
    #[track_caller]
    pub fn assert_in_order(&self) {
        self.lost_reason();
        let (mut ended, mut paused) = (false, false);
        for (at, callback) in self.callbacks.iter().enumerate() {
            assert_eq!(at == 0, *callback == Callback::Made, "{:?}", self.order());
            match callback {
                Callback::Data(bytes) => assert!(!ended && !bytes.is_empty(), "{:?}", self.order()),
                Callback::Eof => {
                    assert!(!std::mem::replace(&mut ended, true), "{:?}", self.order())
                }
                Callback::Pause => assert!(!std::mem::replace(&mut paused, true)),
                Callback::Resume => assert!(std::mem::replace(&mut paused, false)),
                Callback::Made | Callback::Lost(_) => {}
            }
        }
    }
}

/// Protocol with a script. In `connection_lost` the script gets no transport.
pub struct Recorder<F> {
    script: F,
    _alive: Rc<()>,
}

impl<F> Recorder<F>
where
    F: FnMut(&LoopHandle<Record>, &mut Record, Option<&Transport>, &Callback) -> Result<()>
        + 'static,
{
    pub fn new(alive: &Rc<()>, script: F) -> Recorder<F> {
        Recorder { script, _alive: alive.clone() }
    }

    fn note(
        &mut self,
        el: &LoopHandle<Record>,
        record: &mut Record,
        conn: Option<&Transport>,
        callback: Callback,
    ) -> Result<()> {
        record.callbacks.push(callback.clone());
        (self.script)(el, record, conn, &callback)
    }
}

/// Returns a protocol that only records, and does not close at the end of the stream.
pub fn recorder() -> impl Protocol<Record> {
    Recorder::new(&Rc::new(()), |_, _, _, _| Ok(()))
}

type El = LoopHandle<Record>;

impl<F> Protocol<Record> for Recorder<F>
where
    F: FnMut(&LoopHandle<Record>, &mut Record, Option<&Transport>, &Callback) -> Result<()>
        + 'static,
{
    fn connection_made(&mut self, el: &El, record: &mut Record, conn: &Transport) -> Result<()> {
        self.note(el, record, Some(conn), Callback::Made)
    }

    fn data_received(
        &mut self,
        el: &El,
        record: &mut Record,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.note(el, record, Some(conn), Callback::Data(data.to_vec()))
    }

    fn eof_received(&mut self, el: &El, record: &mut Record, conn: &Transport) -> Result<()> {
        self.note(el, record, Some(conn), Callback::Eof)
    }

    fn pause_writing(&mut self, el: &El, record: &mut Record, conn: &Transport) -> Result<()> {
        self.note(el, record, Some(conn), Callback::Pause)
    }

    fn resume_writing(&mut self, el: &El, record: &mut Record, conn: &Transport) -> Result<()> {
        self.note(el, record, Some(conn), Callback::Resume)
    }

    fn connection_lost(
        &mut self,
        el: &El,
        record: &mut Record,
        reason: Option<&Error>,
    ) -> Result<()> {
        self.note(el, record, None, Callback::Lost(reason.map(Error::kind)))
    }
}

/// Returns a loop with simulated time that records its reports.
pub fn recording_loop(kind: SelectorKind) -> (EventLoop<Record>, SimClock) {
    let (el, clock) = simulated(kind, Record::default());
    record_reports(&el);
    (el, clock)
}

pub fn record_reports(el: &LoopHandle<Record>) {
    el.set_exception_handler(|_, record, report| {
        record.reports.push((report.location.line(), report.error.to_string()));
    });
}

/// Runs `count` ticks that do not sleep.
pub fn ticks(el: &mut EventLoop<Record>, count: usize) {
    for _ in 0..count {
        crate::support::ticks::tick(el);
    }
}

/// Like [`wait_until`](crate::support::ticks::wait_until), but prints the recorded callbacks if it
/// panics.
#[track_caller]
pub fn tick_until(el: &mut EventLoop<Record>, done: impl FnMut(&mut EventLoop<Record>) -> bool) {
    let shown = ShownOnPanic(el);
    crate::support::ticks::wait_until(shown.0, done);
}

struct ShownOnPanic<'a>(&'a mut EventLoop<Record>);

impl Drop for ShownOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:?}, {:?}", self.0.state().order(), self.0.state().reports);
        }
    }
}

/// Ticks until two ticks in a row run nothing; panics if the loop spins. The network may deliver
/// between two ticks, so one idle tick is not enough.
#[track_caller]
pub fn tick_until_idle(el: &mut EventLoop<Record>) {
    let mut idle = 0;
    for _ in 0..1000 {
        idle = if crate::support::ticks::tick(el) == 0 { idle + 1 } else { 0 };
        if idle == 2 {
            return;
        }
    }
    panic!("the loop does not become idle: {:?}", el.state().order());
}
