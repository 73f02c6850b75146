//! Random calls to a transport, from inside and outside its callbacks, against a model of the
//! connection (docs/contract.md, S1 to S3).

use std::cell::RefCell;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::net::Transport;
use mainspring::testing::SimClock;
use mainspring::{Error, EventLoop, SelectorKind};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::bytes::pattern;
use crate::support::descriptors::{pair, tcp_pair};
use crate::support::protocol::{
    Callback, Record, Recorder, record_reports, tick_until, tick_until_idle, ticks,
};
use crate::support::ticks::tick;
use crate::support::{cases, loopback};

/// Call to a transport.
#[derive(Debug, Clone, Copy)]
enum Call {
    Write(usize),
    WriteVectored(usize),
    Close,
    Abort,
    ShutdownWrite,
    PauseReading,
    ResumeReading,
    WaterMarks(u32, u32),
}

#[derive(Debug, Clone)]
enum Step {
    /// From outside the connection's callbacks.
    Call(Call),
    /// In the next callback of the connection, which fails if the flag is set.
    Inside(Vec<Call>, bool),
    PeerWrites(usize),
    PeerReads(usize),
    PeerShutsDown,
    PeerGoes,
    Ticks(usize),
}

fn a_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => (0..300_000_usize).prop_map(Call::Write),
        4 => (0..300_000_usize).prop_map(Call::WriteVectored),
        1 => Just(Call::Close),
        1 => Just(Call::Abort),
        1 => Just(Call::ShutdownWrite),
        2 => Just(Call::PauseReading),
        3 => Just(Call::ResumeReading),
        2 => (0..1000_u32, 0..200_000_u32)
            .prop_map(|(low, more)| Call::WaterMarks(low, low + more)),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => a_call().prop_map(Step::Call),
        5 => (vec(a_call(), 1..4), prop::bool::weighted(0.1)).prop_map(|(a, b)| Step::Inside(a, b)),
        6 => (1..50_000_usize).prop_map(Step::PeerWrites),
        6 => (1..500_000_usize).prop_map(Step::PeerReads),
        1 => Just(Step::PeerShutsDown),
        1 => Just(Step::PeerGoes),
        10 => (1..4_usize).prop_map(Step::Ticks),
    ]
}

/// Expected state of a connection, according to its documentation.
#[derive(Debug, Default)]
struct Model {
    /// Number of bytes that the connection accepted for writing.
    taken: usize,
    no_more_writes: bool,
    closing: bool,
    /// Closed by a call. No input is delivered after that.
    closed: bool,
    /// Ended by an error or by `abort`: accepted bytes may be lost.
    broken: bool,
    paused: bool,
}

impl Model {
    /// Applies the call to the model and to the transport.
    fn call(&mut self, conn: &Transport, call: Call) {
        // The kernel decides when an error occurs; the contract decides what it means for later
        // calls.
        self.closing |= conn.is_closing();
        let takes = !self.closing && !self.no_more_writes;
        match call {
            Call::Write(size) => {
                conn.write(&pattern(self.taken, size));
                self.taken += if takes { size } else { 0 };
            }
            Call::WriteVectored(size) => {
                let bytes = pattern(self.taken, size);
                let (a, b) = bytes.split_at(size / 3);
                conn.write_vectored(&[&[][..], a, b].map(IoSlice::new));
                self.taken += if takes { size } else { 0 };
            }
            Call::Close => {
                conn.close();
                (self.closing, self.closed) = (true, true);
            }
            Call::Abort => {
                conn.abort();
                (self.closing, self.closed, self.broken) = (true, true, true);
            }
            Call::ShutdownWrite => {
                conn.shutdown_write();
                self.no_more_writes = true;
            }
            Call::PauseReading => {
                conn.pause_reading();
                self.paused = true;
            }
            Call::ResumeReading => {
                conn.resume_reading();
                self.paused = false;
            }
            Call::WaterMarks(low, high) => conn.set_water_marks(low, high),
        }
        assert_eq!(conn.is_closing(), self.closing || conn.is_closing());
        assert!(!(self.paused || self.closing) || !conn.is_reading());
    }
}

type Shared<T> = Rc<RefCell<T>>;
/// Calls for the next callbacks, and whether each of those callbacks fails.
type Plan = Shared<Vec<(Vec<Call>, bool)>>;

/// Both ends of a connection, and the counts of what they sent and received.
struct Fixture {
    el: EventLoop<Record>,
    conn: Transport,
    model: Shared<Model>,
    /// Calls for the next callback.
    plan: Plan,
    alive: Rc<()>,
    peer: Option<UnixStream>,
    peer_writes: bool,
    sent_by_peer: usize,
    read_by_peer: usize,
}

/// Kind of socket.
#[derive(Debug, Clone, Copy)]
enum Family {
    Unix,
    Tcp,
}

/// Returns a loop with a small read buffer, so that large input takes several ticks.
fn small_buffer_loop(kind: SelectorKind) -> EventLoop<Record> {
    let builder = EventLoop::builder()
        .selector(loopback::selector(kind))
        .clock(SimClock::new())
        .read_buffer(1000);
    let el = builder.build_with(Record::default()).unwrap();
    record_reports(&el);
    el
}

impl Fixture {
    fn new(kind: SelectorKind, family: Family) -> Fixture {
        let el = small_buffer_loop(kind);
        let (model, plan, alive) = (Shared::<Model>::default(), Plan::default(), Rc::new(()));
        let (its_model, its_plan) = (model.clone(), plan.clone());
        let script = Recorder::new(&alive, move |_, _, conn, callback| {
            let mut model = its_model.borrow_mut();
            let Some(conn) = conn else { return Ok(()) };
            let reading = matches!(callback, Callback::Data(_) | Callback::Eof);
            // After a failed write the remaining input is delivered even during a pause.
            let paused = model.paused && !model.broken;
            assert!(!reading || !(paused || model.closed), "{callback:?} of {model:?}");
            let Some((calls, fails)) = its_plan.borrow_mut().pop() else { return Ok(()) };
            calls.iter().for_each(|call| model.call(conn, *call));
            model.broken |= fails;
            model.closing |= fails;
            model.closed |= fails;
            if fails { Err(Error::other("planned")) } else { Ok(()) }
        });
        let (conn, peer) = match family {
            Family::Unix => {
                let (ours, peer) = pair();
                (el.attach_with(ours, script).unwrap(), peer)
            }
            Family::Tcp => {
                let (ours, peer) = tcp_pair();
                // `UnixStream` makes the same system calls, so the peer needs no second type.
                let peer = UnixStream::from(OwnedFd::from(peer));
                (el.attach_with(ours, script).unwrap(), peer)
            }
        };
        peer.set_nonblocking(true).unwrap();
        let peer = Some(peer);
        let (sent_by_peer, read_by_peer, peer_writes) = (0, 0, true);
        Fixture { el, conn, model, plan, alive, peer, peer_writes, sent_by_peer, read_by_peer }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Call(call) => self.model.borrow_mut().call(&self.conn, *call),
            Step::Inside(calls, fails) => self.plan.borrow_mut().push((calls.clone(), *fails)),
            Step::PeerWrites(size) => self.peer_writes(*size),
            Step::PeerReads(size) => _ = self.peer_reads(*size),
            Step::PeerShutsDown => {
                self.peer_writes = false;
                let _ = self.peer.as_ref().map(|peer| peer.shutdown(Shutdown::Write));
            }
            Step::PeerGoes => {
                self.peer = None;
                self.model.borrow_mut().broken = true;
            }
            Step::Ticks(count) => ticks(&mut self.el, *count),
        }
        self.el.state().assert_in_order();
    }

    fn peer_writes(&mut self, size: usize) {
        let Some(mut peer) = self.peer.as_ref().filter(|_| self.peer_writes) else { return };
        if let Ok(count) = peer.write(&pattern(self.sent_by_peer, size)) {
            self.sent_by_peer += count;
        }
    }

    /// Reads from the connection. Returns false at the end of the stream.
    fn peer_reads(&mut self, size: usize) -> bool {
        let Some(mut peer) = self.peer.as_ref() else { return false };
        let mut buffer = vec![0; size];
        match peer.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => {
                assert!(buffer[..count] == pattern(self.read_by_peer, count)[..], "wrong bytes");
                self.read_by_peer += count;
            }
            // A Unix stream is reset if its peer closes with unread bytes. `close` never does that.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                assert!(self.model.borrow().broken, "reset");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        true
    }

    /// Ticks until everything that the peer sent, and its end, was delivered without further input.
    fn receive_all(&mut self) {
        self.model.borrow_mut().call(&self.conn, Call::ResumeReading);
        let has_ended = !self.peer_writes;
        let (conn, model, sent) = (&self.conn, &self.model, self.sent_by_peer);
        tick_until(&mut self.el, |el| {
            let record = el.state();
            let is_whole = record.bytes().len() == sent;
            model.borrow().broken
                || conn.is_closing()
                || is_whole && (!has_ended || record.callbacks.contains(&Callback::Eof))
        });
    }

    /// Closes what is still open and compares the result with the model.
    fn finish(mut self) {
        self.plan.borrow_mut().clear();
        self.receive_all();
        self.model.borrow_mut().call(&self.conn, Call::Close);
        let ended = (0..100_000).any(|_| {
            tick(&mut self.el);
            !self.peer_reads(1 << 20)
        });
        assert!(ended);
        self.peer = None;
        tick_until(&mut self.el, |el| el.state().lost_reason().is_some());
        tick_until_idle(&mut self.el);
        let (record, model) = (self.el.state(), self.model.borrow());
        record.assert_in_order();
        assert_eq!(record.callbacks.first(), Some(&Callback::Made));
        assert!(record.lost_reason().is_some(), "the connection has ended");
        assert_eq!(Rc::strong_count(&self.alive), 1, "the protocol was dropped");
        assert!(record.bytes() == pattern(0, record.bytes().len()));
        assert!(record.bytes().len() <= self.sent_by_peer);
        assert!(self.read_by_peer <= model.taken);
        if !model.broken {
            assert_eq!(self.read_by_peer, model.taken, "everything accepted has arrived");
            assert_eq!(record.lost_reason(), Some(None));
        }
        let planned = usize::from(record.lost_reason() == Some(Some(ErrorKind::Other)));
        assert_eq!(record.reports.len(), planned, "{:?}", record.reports);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: cases(128),
        ..ProptestConfig::default()
    })]

    #[test]
    fn s3_random_calls_end_as_documented(steps in vec(a_step(), 1..40)) {
        for kind in SelectorKind::available() {
            for family in [Family::Unix, Family::Tcp] {
                println!("on {kind}, {family:?}");
                let mut fixture = Fixture::new(*kind, family);
                steps.iter().for_each(|step| fixture.step(step));
                fixture.finish();
            }
        }
    }
}
