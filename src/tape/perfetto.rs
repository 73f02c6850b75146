//! A tape as Perfetto TrackEvents: `perfetto.protos.Trace`, encoded by hand.
//!
//! The field numbers are from Perfetto's `protos/perfetto/trace/trace_packet.proto` and
//! `track_event/*.proto`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use super::reading::Tape;
use super::turn::{Cause, Turn};

/// Fields of `TracePacket`.
const PACKET: u32 = 1;
const TIMESTAMP: u32 = 8;
const SEQUENCE: u32 = 10;
const TRACK_EVENT: u32 = 11;
const TRACK_DESCRIPTOR: u32 = 60;
/// Fields of `TrackDescriptor`.
const TRACK_UUID: u32 = 1;
const TRACK_NAME: u32 = 2;
const TRACK_PROCESS: u32 = 3;
const TRACK_PARENT: u32 = 5;
/// Fields of `ProcessDescriptor`.
const PROCESS_PID: u32 = 1;
const PROCESS_NAME: u32 = 6;
/// Fields of `TrackEvent`.
const EVENT_TYPE: u32 = 9;
const EVENT_TRACK: u32 = 11;
const EVENT_CATEGORIES: u32 = 22;
const EVENT_NAME: u32 = 23;
const EVENT_FLOWS: u32 = 47;
const EVENT_TERMINATING_FLOWS: u32 = 48;
/// Values of `TrackEvent.Type`.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;

/// Track of the process, above the others.
const PROCESS_TRACK: u64 = 1;

impl Tape {
    /// Writes the tape as a trace for <https://ui.perfetto.dev>: a track for each place, a slice
    /// for each turn, and a flow from the turn that caused it.
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
    /// let mut trace = Vec::new();
    /// el.tape().unwrap().perfetto(&mut trace)?;
    /// assert_eq!(trace[0], 0x0a); // field 1, a packet
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn perfetto(&self, mut out: impl Write) -> io::Result<()> {
        let mut tracks = HashMap::new();
        let flows = self.flows();
        write_packet(&mut out, &process_packet(self.process()))?;
        for turn in self.turns() {
            let next = tracks.len() as u64 + PROCESS_TRACK + 1;
            let track = *tracks.entry((turn.kind, &*turn.place)).or_insert(next);
            if track == next {
                write_packet(&mut out, &track_packet(track, turn))?;
            }
            for packet in slice_packets(track, turn, &flows) {
                write_packet(&mut out, &packet)?;
            }
        }
        Ok(())
    }

    /// Returns the numbers of the turns that each turn has caused. A flow has the number of its
    /// last turn, because flows cannot fork.
    fn flows(&self) -> HashMap<u64, Vec<u64>> {
        let mut flows: HashMap<u64, Vec<u64>> = HashMap::new();
        for turn in self.turns() {
            if let Cause::Turn(number) = turn.cause
                && self.turn(number).is_some()
            {
                flows.entry(number).or_default().push(turn.number);
            }
        }
        flows
    }
}

/// Returns the packet that names the process.
fn process_packet(pid: u32) -> Vec<u8> {
    let (mut descriptor, mut process) = (Vec::new(), Vec::new());
    put_number(&mut process, PROCESS_PID, pid.into());
    put_bytes(&mut process, PROCESS_NAME, b"event loop");
    put_number(&mut descriptor, TRACK_UUID, PROCESS_TRACK);
    put_bytes(&mut descriptor, TRACK_PROCESS, &process);
    descriptor_packet(&descriptor)
}

/// Returns the packet that names a track.
fn track_packet(track: u64, turn: &Turn) -> Vec<u8> {
    let (mut descriptor, name) = (Vec::new(), format!("{} {}", turn.kind, turn.place));
    put_number(&mut descriptor, TRACK_UUID, track);
    put_bytes(&mut descriptor, TRACK_NAME, name.trim_end().as_bytes());
    put_number(&mut descriptor, TRACK_PARENT, PROCESS_TRACK);
    descriptor_packet(&descriptor)
}

fn descriptor_packet(descriptor: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    put_number(&mut packet, SEQUENCE, 1);
    put_bytes(&mut packet, TRACK_DESCRIPTOR, descriptor);
    packet
}

/// Returns the packets of the beginning and the end of a turn. A running turn has no end.
fn slice_packets(track: u64, turn: &Turn, flows: &HashMap<u64, Vec<u64>>) -> Vec<Vec<u8>> {
    let mut begin = Vec::new();
    put_number(&mut begin, EVENT_TYPE, SLICE_BEGIN);
    put_number(&mut begin, EVENT_TRACK, track);
    put_bytes(&mut begin, EVENT_CATEGORIES, turn.kind.to_string().as_bytes());
    put_bytes(&mut begin, EVENT_NAME, turn.name().as_bytes());
    for flow in flows.get(&turn.number).into_iter().flatten() {
        put_fixed(&mut begin, EVENT_FLOWS, *flow);
    }
    if let Cause::Turn(from) = turn.cause
        && flows.contains_key(&from)
    {
        put_fixed(&mut begin, EVENT_TERMINATING_FLOWS, turn.number);
    }
    let mut packets = vec![event_packet(turn.at, &begin)];
    if let Some(lasted) = turn.lasted {
        let mut end = Vec::new();
        put_number(&mut end, EVENT_TYPE, SLICE_END);
        put_number(&mut end, EVENT_TRACK, track);
        packets.push(event_packet(turn.at + lasted, &end));
    }
    packets
}

fn event_packet(at: Duration, event: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    put_number(&mut packet, TIMESTAMP, u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
    put_number(&mut packet, SEQUENCE, 1);
    put_bytes(&mut packet, TRACK_EVENT, event);
    packet
}

fn write_packet(out: &mut impl Write, packet: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(packet.len() + 8);
    put_bytes(&mut framed, PACKET, packet);
    out.write_all(&framed)
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Appends a field of wire type 0.
fn put_number(to: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(to, u64::from(field << 3));
    put_varint(to, value);
}

/// Appends a field of wire type 1.
fn put_fixed(to: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(to, u64::from(field << 3 | 1));
    to.extend(value.to_le_bytes());
}

/// Appends a field of wire type 2.
fn put_bytes(to: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(to, u64::from(field << 3 | 2));
    put_varint(to, bytes.len() as u64);
    to.extend(bytes);
}
