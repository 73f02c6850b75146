//! Protocol that records its callbacks and runs a script in each of them.

use std::io::ErrorKind;
use std::rc::Rc;

use mainspring::net::{Protocol, Transport};
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, LoopHandle, Result, SelectorKind};

use crate::support::simulated;

/// Callback of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    Made,
    Data(Vec<u8>),
    Eof,
    Pause,
    Resume,
    Lost(Option<ErrorKind>),
}

/// State of the loops: the callbacks of protocols, and the reports.
#[derive(Debug, Default)]
pub struct Told {
    pub moments: Vec<Moment>,
    /// Line of the registration and text of each report.
    pub reports: Vec<(u32, String)>,
}

impl Told {
    /// Returns the callbacks without `Data`, because data may arrive in any number of pieces.
    pub fn order(&self) -> Vec<Moment> {
        let data = |moment: &&Moment| !matches!(moment, Moment::Data(_));
        self.moments.iter().filter(data).cloned().collect()
    }

    /// Returns all bytes received.
    pub fn bytes(&self) -> Vec<u8> {
        let data = self.moments.iter().filter_map(|moment| match moment {
            Moment::Data(bytes) => Some(&bytes[..]),
            _ => None,
        });
        data.collect::<Vec<_>>().concat()
    }

    /// Returns the reason of `connection_lost`; `None` if it has not been called. Asserts that it
    /// was called at most once, and last.
    #[track_caller]
    pub fn loss(&self) -> Option<Option<ErrorKind>> {
        let lost = |moment: &Moment| match moment {
            Moment::Lost(reason) => Some(*reason),
            _ => None,
        };
        let losses: Vec<_> = self.moments.iter().filter_map(lost).collect();
        assert!(losses.len() <= 1, "{:?}", self.order());
        let last = self.moments.last().and_then(lost);
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
        self.loss();
        let (mut ended, mut paused) = (false, false);
        for (at, moment) in self.moments.iter().enumerate() {
            assert_eq!(at == 0, *moment == Moment::Made, "{:?}", self.order());
            match moment {
                Moment::Data(bytes) => assert!(!ended && !bytes.is_empty(), "{:?}", self.order()),
                Moment::Eof => assert!(!std::mem::replace(&mut ended, true), "{:?}", self.order()),
                Moment::Pause => assert!(!std::mem::replace(&mut paused, true)),
                Moment::Resume => assert!(std::mem::replace(&mut paused, false)),
                Moment::Made | Moment::Lost(_) => {}
            }
        }
    }
}

/// Protocol with a script. In `connection_lost` the script gets no transport.
pub struct Recording<F> {
    script: F,
    _alive: Rc<()>,
}

impl<F> Recording<F>
where
    F: FnMut(&LoopHandle<Told>, &mut Told, Option<&Transport>, &Moment) -> Result<()> + 'static,
{
    pub fn new(alive: &Rc<()>, script: F) -> Recording<F> {
        Recording { script, _alive: alive.clone() }
    }

    fn note(
        &mut self,
        el: &LoopHandle<Told>,
        told: &mut Told,
        conn: Option<&Transport>,
        moment: Moment,
    ) -> Result<()> {
        told.moments.push(moment.clone());
        (self.script)(el, told, conn, &moment)
    }
}

/// Returns a protocol that only records, and does not close at the end of the stream.
pub fn recording() -> impl Protocol<Told> {
    Recording::new(&Rc::new(()), |_, _, _, _| Ok(()))
}

type El = LoopHandle<Told>;

impl<F> Protocol<Told> for Recording<F>
where
    F: FnMut(&LoopHandle<Told>, &mut Told, Option<&Transport>, &Moment) -> Result<()> + 'static,
{
    fn connection_made(&mut self, el: &El, told: &mut Told, conn: &Transport) -> Result<()> {
        self.note(el, told, Some(conn), Moment::Made)
    }

    fn data_received(
        &mut self,
        el: &El,
        told: &mut Told,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.note(el, told, Some(conn), Moment::Data(data.to_vec()))
    }

    fn eof_received(&mut self, el: &El, told: &mut Told, conn: &Transport) -> Result<()> {
        self.note(el, told, Some(conn), Moment::Eof)
    }

    fn pause_writing(&mut self, el: &El, told: &mut Told, conn: &Transport) -> Result<()> {
        self.note(el, told, Some(conn), Moment::Pause)
    }

    fn resume_writing(&mut self, el: &El, told: &mut Told, conn: &Transport) -> Result<()> {
        self.note(el, told, Some(conn), Moment::Resume)
    }

    fn connection_lost(&mut self, el: &El, told: &mut Told, reason: Option<&Error>) -> Result<()> {
        self.note(el, told, None, Moment::Lost(reason.map(Error::kind)))
    }
}

/// Returns a loop with simulated time that records its reports.
pub fn recorded(kind: SelectorKind) -> (EventLoop<Told>, SimClock) {
    let (el, clock) = simulated(kind, Told::default());
    write_down_reports(&el);
    (el, clock)
}

pub fn write_down_reports(el: &LoopHandle<Told>) {
    el.set_exception_handler(|_, told, report| {
        told.reports.push((report.location.line(), report.error.to_string()));
    });
}

/// Runs `count` ticks that do not sleep.
pub fn ticks(el: &mut EventLoop<Told>, count: usize) {
    for _ in 0..count {
        crate::support::ticks::tick(el);
    }
}

/// Like [`wait_until`](crate::support::ticks::wait_until), but prints the recorded callbacks if it
/// panics.
#[track_caller]
pub fn tick_until(el: &mut EventLoop<Told>, done: impl FnMut(&mut EventLoop<Told>) -> bool) {
    let shown = ShownOnPanic(el);
    crate::support::ticks::wait_until(shown.0, done);
}

struct ShownOnPanic<'a>(&'a mut EventLoop<Told>);

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
pub fn settle(el: &mut EventLoop<Told>) {
    let mut idle = 0;
    for _ in 0..1000 {
        idle = if crate::support::ticks::tick(el) == 0 { idle + 1 } else { 0 };
        if idle == 2 {
            return;
        }
    }
    panic!("the loop does not become idle: {:?}", el.state().order());
}
