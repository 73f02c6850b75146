//! Random operations on a few fds, compared with a model of the contract.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// Fd numbers that are also open in this process, which `always` requires.
fn fds() -> impl Iterator<Item = RawFd> {
    static OPEN: OnceLock<[File; 4]> = OnceLock::new();
    OPEN.get_or_init(|| std::array::from_fn(|_| null())).iter().map(File::as_raw_fd)
}

#[derive(Debug, Clone)]
enum Step {
    Register(RawFd, Interest, TriggerMode),
    Reregister(RawFd, Interest, TriggerMode),
    Deregister(RawFd),
    Open(RawFd, bool),
    Close(RawFd),
    Readable(RawFd, bool),
    Arrive(RawFd),
    Writable(RawFd, bool),
    End(RawFd),
    Lose(RawFd),
    Select(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let interest = prop_oneof![Just(READ), Just(WRITE), Just(BOTH)];
    let mode =
        prop_oneof![Just(TriggerMode::Level), Just(TriggerMode::Oneshot), Just(TriggerMode::Edge)];
    let fd = || prop::sample::select(fds().collect::<Vec<_>>());
    let requested = (fd(), interest, mode);
    prop_oneof![
        4 => requested.clone().prop_map(|(fd, what, mode)| Step::Register(fd, what, mode)),
        3 => requested.prop_map(|(fd, what, mode)| Step::Reregister(fd, what, mode)),
        2 => fd().prop_map(Step::Deregister),
        3 => (fd(), any::<bool>()).prop_map(|(fd, is_pipe)| Step::Open(fd, is_pipe)),
        1 => fd().prop_map(Step::Close),
        4 => (fd(), any::<bool>()).prop_map(|(fd, is)| Step::Readable(fd, is)),
        4 => (fd(), any::<bool>()).prop_map(|(fd, is)| Step::Writable(fd, is)),
        2 => fd().prop_map(Step::Arrive),
        1 => fd().prop_map(Step::End),
        2 => fd().prop_map(Step::Lose),
        6 => prop_oneof![Just(64usize), 1usize..3].prop_map(Step::Select),
    ]
}

/// State of a registration, by the rules of the contract.
#[derive(Debug, Clone, Copy)]
struct Known {
    token: u32,
    interest: Interest,
    mode: TriggerMode,
    asleep: bool,
    /// Directions with unreported edges, in edge mode.
    news: Interest,
}

#[derive(Default)]
struct Model {
    files: BTreeMap<RawFd, FakeFile>,
    known: BTreeMap<RawFd, Known>,
    tokens: u32,
    /// Tokens of lost pipes that were closed while registered, with their fd numbers. Until a call
    /// uses the number, the pipe may still be reported.
    ghosts: BTreeMap<u32, RawFd>,
}

impl Model {
    /// Returns true for a pipe without a peer. An edge of it may be reported once more, because the
    /// kernel drops one filter and not the other.
    fn is_lost(&self, fd: RawFd) -> bool {
        self.files.get(&fd).is_some_and(|file| file.is_pipe && file.write_end)
    }

    fn is_vague(&self, fd: RawFd) -> bool {
        self.is_lost(fd) && self.known.get(&fd).is_some_and(|known| known.mode == TriggerMode::Edge)
    }

    fn ready(&self, fd: RawFd) -> Interest {
        let file = &self.files[&fd];
        let both = [Filter::Read, Filter::Write].into_iter().filter(|one| file.is_ready(*one));
        both.fold(Interest::empty(), |all, one| all | one.interest())
    }

    /// Returns the directions of `fd` that may be reported now.
    fn due(&self, fd: RawFd) -> Interest {
        let Some(known) = self.known.get(&fd).filter(|known| !known.asleep) else {
            return Interest::empty();
        };
        let requested = known.interest & self.ready(fd);
        if known.mode == TriggerMode::Edge { requested & known.news } else { requested }
    }

    fn verdict(&self, fd: RawFd, is_new: bool) -> Verdict {
        match (self.files.contains_key(&fd), self.known.contains_key(&fd)) {
            (false, _) => BAD_FD,
            (true, true) if is_new => EXISTS,
            (true, false) if !is_new => NOT_FOUND,
            _ => Ok(()),
        }
    }

    /// Removes the ghosts of `fd`: a call has detected that the registration is gone. A call with a
    /// closed number detects nothing.
    fn remove_ghosts(&mut self, fd: RawFd) {
        if self.files.contains_key(&fd) {
            self.ghosts.retain(|_, number| *number != fd);
        }
    }

    fn arm(&mut self, fd: RawFd, interest: Interest, mode: TriggerMode) {
        let (token, news) = (self.tokens, self.ready(fd));
        self.known.insert(fd, Known { token, interest, mode, asleep: false, news });
    }

    fn happen(&mut self, fd: RawFd, old: &FakeFile) {
        let news = |filter: &Filter| self.files[&fd].is_news(*filter, old);
        let news = Filter::of(BOTH).filter(news).map(Filter::interest);
        let ready = self.ready(fd) & news.fold(Interest::empty(), |all, one| all | one);
        if let Some(known) = self.known.get_mut(&fd) {
            known.news |= ready;
        }
    }

    fn renew(&mut self, fd: RawFd) {
        let ready = self.ready(fd);
        if let Some(known) = self.known.get_mut(&fd) {
            known.news |= ready;
        }
    }

    /// Checks a report, and updates the model.
    fn take(&mut self, token: u32, readiness: Readiness) {
        let owner = self.known.iter().find(|(_, known)| known.token == token);
        let fd = *owner.expect("the token belongs to a registration").0;
        if self.is_vague(fd) {
            self.known.get_mut(&fd).unwrap().news = Interest::empty();
            return;
        }
        let (due, reported) = (self.due(fd), Interest::answered_by(readiness));
        assert!(
            !reported.is_empty() && due.contains(reported),
            "fd {fd}: expected {due:?}, reported {readiness:?}"
        );
        let known = self.known.get_mut(&fd).unwrap();
        known.asleep = known.mode == TriggerMode::Oneshot;
        known.news -= reported;
    }
}

fn check(bench: &mut Bench, model: &mut Model, step: &Step) {
    model.tokens += 1;
    let token = model.tokens;
    match *step {
        Step::Register(fd, interest, mode) => {
            let expected = model.verdict(fd, true);
            assert_eq!(bench.register(fd, token, interest, mode), expected);
            model.remove_ghosts(fd);
            match expected {
                Ok(()) => model.arm(fd, interest, mode),
                // The check for the old filters makes the kernel look again, so an edge may be
                // reported twice.
                EXISTS => model.renew(fd),
                Err(_) => {}
            }
        }
        Step::Reregister(fd, interest, mode) => {
            let expected = model.verdict(fd, false);
            assert_eq!(bench.reregister(fd, token, interest, mode), expected);
            model.remove_ghosts(fd);
            if expected.is_ok() {
                model.arm(fd, interest, mode);
            }
        }
        Step::Deregister(fd) => {
            assert_eq!(bench.deregister(fd), model.verdict(fd, false));
            model.remove_ghosts(fd);
            model.known.remove(&fd);
        }
        Step::Open(fd, is_pipe) => {
            close(bench, model, fd);
            let file = FakeFile { is_pipe, ..EMPTY };
            bench.kernel.open(fd, file.clone());
            model.files.insert(fd, file);
        }
        Step::Close(fd) => close(bench, model, fd),
        Step::Readable(fd, is) => happen(bench, model, fd, |file| file.readable = is),
        Step::Arrive(fd) => happen(bench, model, fd, |file| {
            (file.readable, file.arrivals) = (true, file.arrivals + 1);
        }),
        Step::Writable(fd, is) => happen(bench, model, fd, |file| file.writable = is),
        Step::End(fd) => happen(bench, model, fd, |file| file.read_end |= !file.is_pipe),
        Step::Lose(fd) => happen(bench, model, fd, |file| {
            (file.read_end, file.write_end) = (true, file.is_pipe || file.write_end);
        }),
        Step::Select(room) => select(bench, model, room),
    }
}

fn close(bench: &mut Bench, model: &mut Model, fd: RawFd) {
    bench.kernel.close(fd);
    let was_lost = model.is_lost(fd);
    model.files.remove(&fd);
    if let Some(known) = model.known.remove(&fd).filter(|_| was_lost) {
        model.ghosts.insert(known.token, fd);
    }
}

fn happen(bench: &Bench, model: &mut Model, fd: RawFd, change: impl Fn(&mut FakeFile)) {
    if let Some(file) = model.files.get_mut(&fd) {
        let old = file.clone();
        change(file);
        bench.kernel.happen(fd, change);
        model.happen(fd, &old);
    }
}

fn select(bench: &mut Bench, model: &mut Model, room: usize) {
    let due: Vec<RawFd> = fds().filter(|fd| !model.due(*fd).is_empty()).collect();
    let whole: BTreeMap<RawFd, Interest> = due.iter().map(|fd| (*fd, model.due(*fd))).collect();
    let is_exact = model.ghosts.is_empty() && !fds().any(|fd| model.is_vague(fd));
    let mut reports = bench.select_at_most(room);
    assert!(reports.len() <= room && (!is_exact || reports.is_empty() == due.is_empty()));
    reports.retain(|(token, _)| !model.ghosts.contains_key(token));
    for (at, (token, readiness)) in reports.iter().enumerate() {
        assert!(!reports[..at].iter().any(|earlier| earlier.0 == *token), "one event per call");
        model.take(*token, *readiness);
    }
    if room >= 64 && is_exact {
        assert_eq!(reports.len(), due.len());
        let reported =
            reports.iter().fold(0, |sum, (_, r)| sum + Interest::answered_by(*r).iter().count());
        assert_eq!(reported, whole.values().map(|due| due.iter().count()).sum::<usize>());
    }
}

/// Checks that the kernel has exactly the filters that the registrations need, and that those of
/// registrations that are asleep or have lost their other end are disabled.
fn verify(bench: &Bench, model: &Model) {
    for fd in fds() {
        match model.known.get(&fd) {
            Some(_) if model.is_lost(fd) && bench.kernel.enabled(fd).is_empty() => {}
            None => assert_eq!(bench.kernel.held(fd, |_| true), Interest::empty()),
            Some(known) if known.asleep => assert!(bench.kernel.enabled(fd).is_empty()),
            Some(known) if model.is_lost(fd) => {
                assert!(known.interest.contains(bench.kernel.enabled(fd)));
            }
            Some(known) => assert_eq!(bench.kernel.enabled(fd), known.interest),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_selector_agrees_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        on_every_kernel(|| {
            let (mut bench, mut model) = (Bench::new(), Model::default());
            for step in &steps {
                check(&mut bench, &mut model, step);
                verify(&bench, &model);
            }
        });
    }
}
