//! A writer that ignores its water marks (docs/contract.md, G10).

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::net::{Protocol, Transport};
use mainspring::testing::SimClock;
use mainspring::{Error, LoopHandle, Result, TimerHandle};

use super::stage::{Count, Journal, MS, play};

const FRAME: &[u8] = &[0; 1 << 20];

fn misbehaves(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    let (viewer, most) = slow_viewer(el)?;
    let conn = el.attach(viewer, |_, _, _, _| Ok(()))?;
    let camera = el.call_every(10 * MS, move |_, _| {
        // Is queued, however slow the viewer is.
        conn.write(FRAME);
        most.set(most.get().max(conn.queued()));
    })?;
    el.set_name(camera, "camera");
    Ok(())
}

/// Sends frames while the viewer follows.
struct Camera {
    timer: Option<TimerHandle>,
    most: Count,
}

impl Protocol<Journal> for Camera {
    fn connection_made(
        &mut self,
        el: &LoopHandle<Journal>,
        _: &mut Journal,
        conn: &Transport,
    ) -> Result<()> {
        let (conn, most) = (conn.clone(), self.most.clone());
        let camera = el.call_every(10 * MS, move |_, _| {
            conn.write(FRAME);
            most.set(most.get().max(conn.queued()));
        })?;
        el.set_name(camera, "camera");
        self.timer = Some(camera);
        Ok(())
    }

    fn pause_writing(
        &mut self,
        el: &LoopHandle<Journal>,
        _: &mut Journal,
        _: &Transport,
    ) -> Result<()> {
        self.timer.map(|timer| el.disarm(timer));
        Ok(())
    }

    fn resume_writing(
        &mut self,
        el: &LoopHandle<Journal>,
        _: &mut Journal,
        _: &Transport,
    ) -> Result<()> {
        self.timer.map(|timer| el.reset_after(timer, 10 * MS));
        Ok(())
    }

    fn data_received(
        &mut self,
        _: &LoopHandle<Journal>,
        _: &mut Journal,
        _: &Transport,
        _: &[u8],
    ) -> Result<()> {
        Ok(())
    }
}

fn cured(el: &LoopHandle<Journal>, _: &SimClock) -> Result<()> {
    let (viewer, most) = slow_viewer(el)?;
    el.attach_with(viewer, Camera { timer: None, most })?;
    Ok(())
}

#[test]
fn g10_writing_without_water_marks_fills_the_memory() {
    let [written, cured] = play("no_water_marks", 120 * MS, misbehaves, cured);
    let most = |journal: &Journal| journal.lines[0].parse::<usize>().unwrap();
    assert!(most(&written.journal) > 7 << 20, "{:?}", written.journal.lines);
    assert!(most(&cured.journal) <= 1 << 20, "{:?}", cured.journal.lines);
    assert_eq!((written.turns("camera").len(), cured.turns("camera").len()), (11, 4));
}

/// Returns the connection to a viewer that reads everything at 85 ms, and nothing before that.
fn slow_viewer(el: &LoopHandle<Journal>) -> Result<(UnixStream, Count)> {
    let (ours, viewer) = UnixStream::pair()?;
    let most = Count::default();
    el.call_later(85 * MS, move |el, _| {
        let mut buffer = vec![0; 1 << 20];
        let viewer =
            el.add_reader(viewer, move |_, _, viewer| match viewer.read(&mut buffer)? {
                0 => Err(Error::other("the camera has gone")),
                _ => Ok(()),
            })?;
        el.set_name(viewer, "viewer");
        Ok::<(), Error>(())
    });
    let noted = Rc::clone(&most);
    el.call_later(118 * MS, move |_, journal: &mut Journal| {
        journal.lines.push(noted.get().to_string());
    });
    Ok((ours, most))
}
