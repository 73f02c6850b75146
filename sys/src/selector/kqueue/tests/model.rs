//! Random lives of a few fds, against a model that knows one rule at a time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const FDS: std::ops::Range<RawFd> = 10..14;

#[derive(Debug, Clone)]
enum Step {
    Register(RawFd, Interest, Mode),
    Reregister(RawFd, Interest, Mode),
    Deregister(RawFd),
    Open(RawFd),
    Close(RawFd),
    Readable(RawFd, bool),
    Writable(RawFd, bool),
    End(RawFd),
    Select(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let interest = prop_oneof![Just(READ), Just(WRITE), Just(BOTH)];
    let mode = prop_oneof![Just(Mode::Level), Just(Mode::Oneshot), Just(Mode::Edge)];
    let asked = (FDS, interest, mode);
    prop_oneof![
        4 => asked.clone().prop_map(|(fd, what, mode)| Step::Register(fd, what, mode)),
        3 => asked.prop_map(|(fd, what, mode)| Step::Reregister(fd, what, mode)),
        2 => FDS.prop_map(Step::Deregister),
        3 => FDS.prop_map(Step::Open),
        1 => FDS.prop_map(Step::Close),
        4 => (FDS, any::<bool>()).prop_map(|(fd, is)| Step::Readable(fd, is)),
        4 => (FDS, any::<bool>()).prop_map(|(fd, is)| Step::Writable(fd, is)),
        1 => FDS.prop_map(Step::End),
        6 => prop_oneof![Just(64usize), 1usize..3].prop_map(Step::Select),
    ]
}

/// What the selector must know of an fd, told by the rules of the contract.
#[derive(Debug, Clone, Copy)]
struct Known {
    token: u32,
    interest: Interest,
    mode: Mode,
    asleep: bool,
    /// In edge mode: the directions with news.
    news: Interest,
}

#[derive(Default)]
struct Model {
    files: BTreeMap<RawFd, FakeFile>,
    known: BTreeMap<RawFd, Known>,
    tokens: u32,
}

impl Model {
    fn ready(&self, fd: RawFd) -> Interest {
        let file = &self.files[&fd];
        let both = [Filter::Read, Filter::Write].into_iter().filter(|one| file.is_ready(*one));
        both.fold(Interest::empty(), |all, one| all | one.interest())
    }

    /// The directions of `fd` that may be reported now.
    fn due(&self, fd: RawFd) -> Interest {
        let Some(known) = self.known.get(&fd).filter(|known| !known.asleep) else {
            return Interest::empty();
        };
        let asked = known.interest & self.ready(fd);
        if known.mode == Mode::Edge { asked & known.news } else { asked }
    }

    fn verdict(&self, fd: RawFd, is_new: bool) -> Verdict {
        match (self.files.contains_key(&fd), self.known.contains_key(&fd)) {
            (false, _) => BAD_FD,
            (true, true) if is_new => EXISTS,
            (true, false) if !is_new => NOT_FOUND,
            _ => Ok(()),
        }
    }

    fn arm(&mut self, fd: RawFd, interest: Interest, mode: Mode) {
        let (token, news) = (self.tokens, self.ready(fd));
        self.known.insert(fd, Known { token, interest, mode, asleep: false, news });
    }

    fn happen(&mut self, fd: RawFd) {
        let ready = self.ready(fd);
        if let Some(known) = self.known.get_mut(&fd) {
            known.news |= ready;
        }
    }

    /// Judges a report and takes note of it.
    fn take(&mut self, token: u32, readiness: Readiness) {
        let tenant = self.known.iter().find(|(_, known)| known.token == token);
        let fd = *tenant.expect("the token of a registration that is there").0;
        let (due, said) = (self.due(fd), Interest::answered_by(readiness));
        assert!(!said.is_empty() && due.contains(said), "fd {fd}: due {due:?}, said {readiness:?}");
        let known = self.known.get_mut(&fd).unwrap();
        known.asleep = known.mode == Mode::Oneshot;
        known.news -= said;
    }
}

fn check(bench: &mut Bench, model: &mut Model, step: &Step) {
    model.tokens += 1;
    let token = model.tokens;
    match *step {
        Step::Register(fd, interest, mode) => {
            let expected = model.verdict(fd, true);
            assert_eq!(bench.register(fd, token, interest, mode), expected);
            match expected {
                Ok(()) => model.arm(fd, interest, mode),
                // To find out whether it is there, the kernel is made to look again, so an edge may
                // be news again.
                EXISTS => model.happen(fd),
                Err(_) => {}
            }
        }
        Step::Reregister(fd, interest, mode) => {
            let expected = model.verdict(fd, false);
            assert_eq!(bench.reregister(fd, token, interest, mode), expected);
            if expected.is_ok() {
                model.arm(fd, interest, mode);
            }
        }
        Step::Deregister(fd) => {
            assert_eq!(bench.deregister(fd), model.verdict(fd, false));
            model.known.remove(&fd);
        }
        Step::Open(fd) => {
            close(bench, model, fd);
            bench.kernel.open(fd, EMPTY);
            model.files.insert(fd, EMPTY);
        }
        Step::Close(fd) => close(bench, model, fd),
        Step::Readable(fd, is) => happen(bench, model, fd, |file| file.readable = is),
        Step::Writable(fd, is) => happen(bench, model, fd, |file| file.writable = is),
        Step::End(fd) => happen(bench, model, fd, |file| file.read_end = true),
        Step::Select(room) => select(bench, model, room),
    }
}

fn close(bench: &mut Bench, model: &mut Model, fd: RawFd) {
    bench.kernel.close(fd);
    model.files.remove(&fd);
    model.known.remove(&fd);
}

fn happen(bench: &Bench, model: &mut Model, fd: RawFd, change: impl Fn(&mut FakeFile)) {
    if let Some(file) = model.files.get_mut(&fd) {
        change(file);
        bench.kernel.happen(fd, change);
        model.happen(fd);
    }
}

fn select(bench: &mut Bench, model: &mut Model, room: usize) {
    let due: Vec<RawFd> = FDS.filter(|fd| !model.due(*fd).is_empty()).collect();
    let whole: BTreeMap<RawFd, Interest> = due.iter().map(|fd| (*fd, model.due(*fd))).collect();
    let reports = bench.select_at_most(room);
    assert!(reports.len() <= room && reports.is_empty() == due.is_empty());
    for (at, (token, readiness)) in reports.iter().enumerate() {
        assert!(!reports[..at].iter().any(|earlier| earlier.0 == *token), "one event a call");
        model.take(*token, *readiness);
    }
    if room >= 64 {
        assert_eq!(reports.len(), due.len());
        let said =
            reports.iter().fold(0, |sum, (_, r)| sum + Interest::answered_by(*r).iter().count());
        assert_eq!(said, whole.values().map(|due| due.iter().count()).sum::<usize>());
    }
}

/// The kernel holds what the registrations need: nothing else, and nothing enabled of what sleeps.
fn verify(bench: &Bench, model: &Model) {
    for fd in FDS {
        match model.known.get(&fd) {
            None => assert_eq!(bench.kernel.held(fd, |_| true), Interest::empty()),
            Some(known) if known.asleep => assert!(bench.kernel.enabled(fd).is_empty()),
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
    fn the_selector_does_what_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for step in &steps {
            check(&mut bench, &mut model, step);
            verify(&bench, &model);
        }
    }
}
