//! The diagnosis of a loop: data from its tables, compared with previous calls.

use std::os::fd::RawFd;
use std::panic::Location;
use std::time::Duration;

use mainspring_sys::Readiness;
use mainspring_sys::nonblocking::is_ready;
use mainspring_sys::socket::{AcceptQueue, accept_queue};

use super::callback::Callback;
use super::snapshot;
use super::source::Source;
use super::{EventLoop, LoopHandle};
use crate::diagnosis::{
    Descriptor, Diagnosis, Flag, FlagKind, History, Numbers, Spinner, TICKS_PER_SAMPLE, clock_cost,
    long_calls_of_durations, long_calls_of_tape,
};
use crate::handle::Key;
use crate::ready::Ready;
use crate::snapshot::EntryKind;
use crate::tape::Recording;
use crate::watchers::Role;

/// Number of turns of a tape in which long ones are looked for: a million of them take 100 ms.
const LAST_TURNS: u64 = 16 * 1024;

/// # Red flags
impl<S> LoopHandle<S> {
    /// Returns the red flags of the loop: signs of trouble, each with a place, figures and advice.
    ///
    /// It covers the time since the previous call, so call it from a [timer of a minute or
    /// so](crate::guide::debugging_a_stuck_daemon#signs-before-it-hangs). From the first call on,
    /// every 64th tick samples what is queued and up to 16 descriptors; before it, nothing is
    /// sampled. A call scans all registrations, with a system call for each paused reader and, on
    /// Linux, for each watched descriptor except the connections of callbacks. It also scans the
    /// turns of the tape since the previous call, at most the last 16,384.
    ///
    /// | flag | needs |
    /// |---|---|
    /// | [`LongCallback`](FlagKind::LongCallback) | a tape; or measured times, which have no place |
    /// | [`BusyLoop`](FlagKind::BusyLoop) | 1024 ticks since the previous call |
    /// | [`UndrainedDescriptor`](FlagKind::UndrainedDescriptor) | the same, and a watcher older than that call |
    /// | [`PausedReader`](FlagKind::PausedReader) | a call at least ten seconds earlier |
    /// | [`GrowingPlace`](FlagKind::GrowingPlace) | growth in each of four calls: by 100, and to twice as many |
    /// | [`FullAcceptQueue`](FlagKind::FullAcceptQueue) | a TCP listener on Linux |
    /// | [`SlowClock`](FlagKind::SlowClock) | |
    /// | [`UnreachedTimer`](FlagKind::UnreachedTimer), a hint | calls over 100 times its delay, and over a second |
    ///
    /// ```
    /// use mainspring::testing::SimClock;
    /// use mainspring::{EventLoop, FlagKind, Recorder};
    /// use std::time::Duration;
    ///
    /// let (clock, recorder) = (SimClock::new(), Recorder::ring(100));
    /// let mut el = EventLoop::builder().clock(clock.clone()).record(recorder).build()?;
    /// el.call_soon(move |_, _| clock.advance(Duration::from_millis(300)));
    /// el.run()?;
    /// let diagnosis = el.diagnose();
    /// let flag = &diagnosis.flags()[0];
    /// assert_eq!(flag.kind(), FlagKind::LongCallback);
    /// assert!(flag.place().unwrap().starts_with("callback "));
    /// assert!(flag.figures().starts_with("ran 300.0ms"));
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    pub fn diagnose(&self) -> Diagnosis {
        let core = self.core();
        let mut found = Diagnosis::default();
        let clock = clock_cost(|| core.timeline.now());
        let now = self.numbers();
        let mut history = core.history.take().unwrap_or_default();
        self.diagnose_calls(&mut history, &mut found);
        if !history.is_sampled() {
            found.unchecked.push(
                "busy loops and undrained descriptors: no earlier call, or fewer than 1024 ticks since",
            );
        }
        self.diagnose_spinning(&history, now, &mut found);
        self.diagnose_paused(&mut history, now.now, &mut found);
        history.grown(&self.count_by_place(), &mut found.flags);
        self.diagnose_listeners(&mut found);
        found.flags.extend(clock.map(|(read, call)| {
            let figures = format!("a reading takes {read:.0?}, a system call {call:.0?}");
            Flag::new(FlagKind::SlowClock, None, figures)
        }));
        self.diagnose_timers(&mut history, now.now, &mut found);
        history.begin(now, self.watched_descriptors());
        core.history.replace(Some(history));
        found
    }

    /// Takes a sample for the next diagnosis, after the first one.
    #[cold]
    pub(super) fn sample_history(&self) {
        let core = self.core();
        let mut history = core.history.borrow_mut();
        let Some(history) = history.as_mut() else { return };
        if core.tick().is_multiple_of(TICKS_PER_SAMPLE) {
            let ready = core.agenda.ready.borrow();
            let tasks = ready.keys().filter(|key| key.is_task_layer()).map(Spinner::Task);
            let soon = self.shared.soon.borrow();
            let closures = soon.iter().map(|(_, location)| Spinner::Closure(location));
            history.sample(tasks.chain(closures));
            // The next tick is sampled as well, or this one if it has other instruments.
            core.is_sampling.set(true);
            core.is_instrumented.set(true);
        }
    }

    fn numbers(&self) -> Numbers {
        let page = &self.core().page;
        // A wakeup by another thread, or by a signal, is an event of the selector.
        let from_outside = page.events() + page.messages();
        let now = Duration::from_nanos(self.core().timeline.now_nanos());
        // The last turn has not ended.
        let turns = self.core().tape.get().map_or(0, |tape| tape.count().saturating_sub(1));
        Numbers { now, ticks: page.ticks(), from_outside, turns }
    }

    fn diagnose_calls(&self, history: &mut History, found: &mut Diagnosis) {
        let core = self.core();
        let seen = history.began.map_or(0, |before| before.turns);
        let last_turns = |tape: &Recording| {
            let new = tape.count().saturating_sub(seen);
            tape.last_turns(new.min(LAST_TURNS))
        };
        match core.tape.get().and_then(last_turns) {
            Some(tape) => long_calls_of_tape(&tape, &mut found.flags),
            None if core.page.times().is_some() => {
                let durations = self.metrics().call_durations();
                let before = std::mem::replace(&mut history.durations, durations.clone());
                long_calls_of_durations(&durations.since(&before), &mut found.flags);
            }
            None => found.unchecked.push("long callbacks: neither recorded nor measured"),
        }
    }

    fn diagnose_spinning(&self, history: &History, now: Numbers, found: &mut Diagnosis) {
        let [queued, ran] = history.busy(now);
        let ran = ran.iter().filter(|spinner| !queued.contains(spinner));
        let queued = queued.iter().map(|it| (it, "queued before each call of the selector"));
        for (spinner, what) in queued.chain(ran.map(|it| (it, "runs in each tick"))) {
            let place = match spinner {
                Spinner::Closure(line) => Some(format!("callback {}:{}", line.file(), line.line())),
                Spinner::Timer(line) => Some(format!("timer {}:{}", line.file(), line.line())),
                Spinner::Task(key) => self.place_of(*key),
            };
            let Some(place) = place else { continue };
            let figures = format!("{what}, while nothing else happens");
            found.flags.push(Flag::new(FlagKind::BusyLoop, Some(place), figures));
        }
        let runs =
            |key| self.shared.callbacks.borrow_mut().get(key).map(|entry| runs_of(&entry.callback));
        for (Descriptor { key, fd, .. }, calls) in history.undrained(now, runs) {
            let figures = format!("fd {fd} stays ready; its callback ran {calls} times");
            let place = self.place_of(key);
            found.flags.push(Flag::new(FlagKind::UndrainedDescriptor, place, figures));
        }
    }

    fn diagnose_paused(&self, history: &mut History, now: Duration, found: &mut Diagnosis) {
        let mut paused = Vec::new();
        self.for_each_descriptor(|key, fd, source, callback| {
            let runs = runs_of(callback);
            let is_reader = match source {
                // `watch` with an empty interest begins without a pause.
                Source::Watch(watcher) => watcher.role() != Role::Writer && runs > 0,
                _ => kind_of(callback).is_none_or(|kind| {
                    matches!(kind, EntryKind::Connection | EntryKind::Datagrams)
                }),
            };
            if is_reader && !self.can_be_called(key, source) && is_ready(fd, false) {
                paused.push((key, runs));
            }
        });
        for (key, time) in history.paused(now, &paused) {
            let figures = format!("paused for {time:.0?}, while its input waits");
            found.flags.push(Flag::new(FlagKind::PausedReader, self.place_of(key), figures));
        }
    }

    fn diagnose_timers(&self, history: &mut History, now: Duration, found: &mut Diagnosis) {
        let timers = self.core().timers.borrow();
        let mut armed = Vec::new();
        for (key, entry) in self.shared.callbacks.borrow().iter() {
            if let Source::Timer(timer) = entry.source
                && runs_of(&entry.callback) == 0
                && let Some(deadline) = timers.deadline(timer)
            {
                armed.push((key, Duration::from_nanos(deadline).saturating_sub(now)));
            }
        }
        drop(timers);
        for (key, time, delay) in history.armed(now, &armed) {
            let figures =
                format!("armed for {time:.1?}, due in {delay:.1?} at most, never reached");
            found.flags.push(Flag::new(FlagKind::UnreachedTimer, self.place_of(key), figures));
        }
    }

    fn diagnose_listeners(&self, found: &mut Diagnosis) {
        if !AcceptQueue::IS_KNOWN {
            found.unchecked.push("accept queues: not known on this system");
            return;
        }
        let mut listeners: Vec<(Option<Key>, RawFd)> = Vec::new();
        self.for_each_descriptor(|key, fd, _, callback| {
            if kind_of(callback) != Some(EntryKind::Connection) {
                listeners.push((Some(key), fd));
            }
        });
        self.shared.tasks.for_each_fd(&mut |fd| listeners.push((None, fd)));
        for (key, fd) in listeners {
            // Linux lets one more connection wait than the limit.
            if let Some(AcceptQueue { waiting, limit, .. }) = accept_queue(fd)
                && waiting > limit
            {
                let figures = format!("{waiting} connections wait, the limit is {limit}");
                let place = key.and_then(|key| self.place_of(key));
                let place = place.or_else(|| Some(format!("fd {fd}")));
                found.flags.push(Flag::new(FlagKind::FullAcceptQueue, place, figures));
            }
        }
    }

    /// Returns the descriptors of watchers that are not paused.
    fn watched_descriptors(&self) -> Vec<Descriptor> {
        let mut descriptors = Vec::new();
        self.for_each_descriptor(|key, fd, source, callback| {
            if matches!(source, Source::Watch(_)) && self.can_be_called(key, source) {
                descriptors.push(Descriptor::new(key, fd, runs_of(callback)));
            }
        });
        descriptors
    }

    fn for_each_descriptor(&self, mut visit: impl FnMut(Key, RawFd, Source, &Option<Callback<S>>)) {
        for (key, entry) in self.shared.callbacks.borrow().iter() {
            if let Source::Watch(watcher) | Source::Stream(watcher) = entry.source
                && let Some(fd) = self.core().watchers.borrow().fd_of(watcher, key)
            {
                visit(key, fd, entry.source, &entry.callback);
            }
        }
    }

    /// Returns the kind and the place of a callback or a task, with its name.
    fn place_of(&self, key: Key) -> Option<String> {
        let (kind, location, name) = match key.is_task_layer() {
            true => {
                let ready = Ready { key, readiness: Readiness::empty() };
                let (_, location, name) = self.shared.tasks.origin_of(ready)?;
                (EntryKind::Task, location, name)
            }
            false => {
                let mut callbacks = self.shared.callbacks.borrow_mut();
                let entry = callbacks.get(key)?;
                (snapshot::kind_of(entry), entry.location, self.name_of(key))
            }
        };
        let place = format!("{}:{}", location.file(), location.line());
        Some(match name {
            Some(name) => format!("{kind} {name} ({place})"),
            None => format!("{kind} {place}"),
        })
    }
}

impl<S> EventLoop<S> {
    /// Notes that the timer or the task of a ready key runs in a sampled tick.
    pub(super) fn note_sampled(&self, key: Key) {
        let spinner = match key.is_task_layer() {
            true => Some(Spinner::Task(key)),
            false => self.timer_line(key).map(Spinner::Timer),
        };
        if let Some(spinner) = spinner
            && let Some(history) = self.core.history.borrow_mut().as_mut()
        {
            history.note_run(spinner);
        }
    }

    /// Returns the line that has armed the timer `key`.
    fn timer_line(&self, key: Key) -> Option<&'static Location<'static>> {
        let mut callbacks = self.handle.shared.callbacks.borrow_mut();
        let entry = callbacks.get(key)?;
        matches!(entry.source, Source::Timer(_) | Source::Interval(_)).then_some(entry.location)
    }

    /// Runs the callback of a ready key in a sampled tick.
    pub(super) fn dispatch_sampled(&mut self, ready: Ready, time: Option<u64>) -> bool {
        let core = self.core.clone();
        let before =
            core.history.borrow().as_ref().and_then(|history| history.begin_call(ready.key));
        let ran = self.dispatch_apart(ready, time);
        if let Some(before) = before
            && let Some(history) = core.history.borrow_mut().as_mut()
        {
            history.end_call(ready.key, before);
        }
        ran
    }

    /// Ends a sampled tick.
    pub(super) fn end_sampling(&self) {
        let core = &self.core;
        if core.is_sampling.take() {
            if let Some(history) = core.history.borrow_mut().as_mut() {
                history.end_tick();
            }
            core.is_instrumented.set(core.is_timed.get() || core.settings.await_lines);
        }
    }
}

fn runs_of<S>(callback: &Option<Callback<S>>) -> u64 {
    callback.as_ref().map_or(0, Callback::runs)
}

/// Returns the kind that a callback has by its type.
fn kind_of<S>(callback: &Option<Callback<S>>) -> Option<EntryKind> {
    callback.as_ref().and_then(Callback::kind)
}
