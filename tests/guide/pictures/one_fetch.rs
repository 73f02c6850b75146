//! The coroutine execution model, steps 1 to 7: a fetch over a socket (docs/contract.md, G3).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mainspring::net::UnixStream;
use mainspring::snapshot::{EntryState, Snapshot, Wait};
use mainspring::testing::SimClock;
use mainspring::{Interest, SelectorKind, sleep};

use super::rows::Row;
use super::{Step, files, ms, recorded, rows, steps, turns_of};
use crate::support::on_every_selector;

/// The request, the header of the answer, and its body.
const REQUEST: &[u8] = b"GET /data HTTP/1.0\r\n\r\n";
const HEADER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n";
const BODY: &[u8] = b"42";

/// Lines that the fetch prints in the guide.
pub type Log = Rc<RefCell<Vec<&'static str>>>;

/// The fetch of the guide. Each part between two waits takes a millisecond.
pub async fn fetch_data(
    conn: UnixStream,
    clock: SimClock,
    log: Log,
) -> mainspring::Result<Vec<u8>> {
    log.borrow_mut().push("1. Start fetch");
    clock.advance(ms(1));
    conn.write_all(REQUEST).await?; // The socket has room: this await does not suspend.
    conn.read_exact(&mut [0; HEADER.len()]).await?;
    log.borrow_mut().push("3. Got response");
    clock.advance(ms(1));
    let mut body = vec![0; BODY.len()];
    conn.read_exact(&mut body).await?;
    log.borrow_mut().push("5. Parsed body");
    clock.advance(ms(1));
    Ok(body)
}

/// A server that answers one request: the header after 150 ms, the body after 50 ms more.
pub async fn serve(conn: UnixStream) {
    conn.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
    sleep(ms(150)).await;
    conn.write_all(HEADER).await.unwrap();
    sleep(ms(50)).await;
    conn.write_all(BODY).await.unwrap();
}

fn state_of(snapshot: &Snapshot, name: &str) -> Option<EntryState> {
    snapshot.entries().iter().find(|entry| entry.name() == Some(name)).map(|entry| entry.state())
}

#[test]
fn g3_a_fetch_has_the_steps_of_the_guide() {
    on_every_selector(|kind| {
        let steps = check(kind);
        let fetch = turns_of(&steps, "fetch");
        let worked: Duration = fetch.iter().map(|step| step.lasted).sum();
        assert_eq!((worked, fetch.last().map(|step| step.end())), (ms(3), Some(ms(202))));
        files::compare("one_fetch", &draw(&steps));
    });
}

/// Runs a fetch next to another task, and checks the steps. Returns the tape.
fn check(kind: SelectorKind) -> Vec<Step> {
    let (mut el, clock) = recorded(kind, ());
    let log = Log::default();
    let logged = || log.take();
    let (ours, theirs) = UnixStream::pair().unwrap();

    // 1: the call makes a future, and runs nothing.
    let future = fetch_data(ours, clock.clone(), log.clone());
    assert!(logged().is_empty() && el.snapshot().entries().is_empty());

    // 2: the task is queued, and still nothing has run.
    let fetch = el.spawn(future).named("fetch");
    assert_eq!(state_of(&el.snapshot(), "fetch"), Some(EntryState::Pending));
    assert!(logged().is_empty());
    el.spawn(serve(theirs)).named("server").detach();
    let time = clock.clone();
    let other = el.spawn(async move {
        sleep(ms(60)).await;
        time.advance(ms(1));
    });
    other.named("other").detach();

    // 3: the loop runs it until an await has to wait.
    el.tick(Some(ms(0))).unwrap();
    assert_eq!(logged(), ["1. Start fetch"]);
    let snapshot = el.snapshot();
    let entry = snapshot.entries().iter().find(|entry| entry.name() == Some("fetch")).unwrap();
    assert_eq!(entry.state(), EntryState::Waiting);
    let [Wait::Descriptor { interest: Interest::READABLE, .. }] = entry.waits() else {
        panic!("{snapshot}");
    };

    // 4 to 7.
    let body = el.run_until_complete(fetch).unwrap().unwrap().unwrap();
    assert_eq!(body, BODY);
    assert_eq!(logged(), ["3. Got response", "5. Parsed body"]);
    let mut steps = steps(&el.tape().unwrap(), clock.elapsed());
    // The rest of the tape is the end of `run_until_complete`.
    let last = steps.iter().rposition(|step| step.name == "fetch").unwrap();
    steps.truncate(last + 1);
    let ran: Vec<(&str, u64, &str)> = steps
        .iter()
        .filter(|step| !step.is_sleep() && step.name != "task")
        .map(|step| (step.name.as_str(), step.at.as_millis() as u64, step.cause.as_str()))
        .collect();
    let expected = [
        ("fetch", 0, "loop"),
        ("server", 1, "loop"),
        ("other", 1, "loop"),
        ("other", 61, "timer"), // 4: others run
        ("server", 151, "timer"),
        ("fetch", 151, "descriptor"), // 5 and 6: the header makes the socket readable
        ("server", 201, "timer"),
        ("fetch", 201, "descriptor"), // 7: the same for the body
    ];
    assert_eq!(ran, expected);
    steps.retain(|step| step.name != "task");
    steps
}

fn draw(steps: &[Step]) -> String {
    let notes = [
        ("3", "\"1. Start fetch\", then waits"),
        ("", "reads the request, waits"),
        ("", "waits, too"),
        ("4", "no event yet"),
        ("", "while fetch waits"),
        ("", "until a deadline of the server"),
        ("", "sends the header"),
        ("5", "the socket is readable"),
        ("6", "\"3. Got response\", then waits"),
        ("", "for the body"),
        ("", "sends the body"),
        ("7", "the socket is readable"),
        ("", "\"5. Parsed body\", returns"),
    ];
    assert_eq!(steps.len(), notes.len());
    let mut drawn = vec![
        Row::untaped("1", ms(0), "fetch_data() is called", "a future is made, nothing runs"),
        Row::untaped("2", ms(0), "spawn(future)", "the task is in the ready deque"),
    ];
    let of_step = |(step, (number, note))| Row::of_step(number, step, note);
    drawn.extend(steps.iter().zip(notes).map(of_step));
    rows::draw(
        "What .await does: a fetch, a server, another task",
        &["fetch", "server", "other"],
        &drawn,
    )
}
