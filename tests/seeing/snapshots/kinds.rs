//! The columns of each kind of entry (docs/contract.md, O1), read from the JSON text.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Duration;

use mainspring::net::Transport;
use mainspring::snapshot::Snapshot;
use mainspring::{CancelScope, EventLoop, Handle, Io, SelectorKind, Signal, TaskGroup};
use mainspring::{sleep, timeout};
use serde_json::Value;

use crate::support::blocking_jobs::{held, with_threads};
use crate::support::descriptors::pair;
use crate::support::network::{client, echo, listener};
use crate::support::on_every_selector;

const HOUR: Duration = Duration::from_secs(3600);

/// Kinds, with the columns that their entries have in addition to [`COMMON`].
const COLUMNS: &[(&str, &str)] = &[
    ("closure", "age line name runs"),
    ("connecting", "age fd file_type interest line name runs"),
    ("connection", "age fd file_type interest line name peer queued runs"),
    ("datagrams", "address age fd file_type interest line name queued runs"),
    ("descriptor", "age fd file_type interest line peer"),
    ("group", "age line parent"),
    ("hook", "age line name runs stage"),
    ("job", "age line name running_for runs"),
    ("message", "line runs"),
    ("process", "age line name pid runs"),
    ("remotes", "age count line"),
    ("report", "line"),
    ("scope", "age line parent"),
    ("server", "address age connections fd file_type interest line name runs"),
    ("shield", "age line parent"),
    ("signal", "age line name runs signal"),
    ("task", "age awaits line name parent runs waiting_since waits"),
    ("timeout", "age line parent"),
    ("timer", "age due_in line name period runs"),
    ("watcher", "age fd file_type interest line name runs"),
];

/// Columns of every entry, and those that come with `line`.
const COMMON: [&str; 6] = ["kind", "state", "foreground", "keeps_alive", "file", "column"];

/// Returns the columns by kind.
fn columns(snapshot: &Snapshot) -> BTreeMap<String, BTreeSet<String>> {
    let json: Value = serde_json::from_str(&snapshot.to_json()).unwrap();
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in json["entries"].as_array().unwrap() {
        let kind = entry["kind"].as_str().unwrap().to_owned();
        // The kernel may have connected the socket by now, or not.
        let is_moving =
            |column: &str| kind == "connecting" && ["peer", "address"].contains(&column);
        let fields = entry.as_object().unwrap().keys().cloned();
        let fields = fields.filter(|column| !COMMON.contains(&&**column) && !is_moving(column));
        let fields: Vec<String> = fields.collect();
        columns.entry(kind).or_default().extend(fields);
    }
    columns
}

/// Registers one of each kind of callback, and returns what must be kept.
fn register(el: &EventLoop<Option<Snapshot>>) -> (Vec<Handle>, impl Sized + use<>) {
    let (ours, theirs) = pair();
    let (reader, writer) = std::io::pipe().unwrap();
    let connection = el.attach(ours, |_, _, _: &Transport, _| Ok(())).unwrap();
    let datagrams = el.bind_datagram("127.0.0.1:0", |_, _, _, _| Ok(())).unwrap();
    let (listener, address) = listener();
    let server = echo(el, listener);
    let connecting = el.connect(address, HOUR, |_, _, _| Ok(()));
    let child = el.spawn_child(Command::new("sleep").arg("60"), |_, _, _| ()).unwrap();
    let child = child.kill_on_drop(true);
    let handles = vec![
        el.call_soon(|_, _| {}),
        el.call_every(HOUR, |_, _| {}).unwrap().into(),
        el.add_reader(reader, |_, _, _| Ok(())).unwrap().into(),
        connection.handle(),
        datagrams.handle(),
        server.handle(),
        connecting,
        el.add_signal_handler(Signal::USR2, |_, _| {}).unwrap(),
        el.on_check(|_, _| {}).unwrap(),
        child.handle().unwrap(),
    ];
    (handles, (theirs, writer, client(address), child))
}

/// Spawns tasks in a group, with a region of each kind, and one that waits for a descriptor.
async fn regions() {
    let (ours, _theirs) = pair();
    let io = Io::new(ours).unwrap();
    let inner = async {
        TaskGroup::run(async |group| {
            group.spawn(async { Ok(sleep(HOUR).await) })?.named("child");
            let shield = CancelScope::new().shielded();
            let _ = shield.run(async { io.readable().await }).await;
            Ok(())
        })
        .await
    };
    drop(CancelScope::new().run(timeout(HOUR, inner)).await);
}

/// Returns snapshots that have entries of all kinds together.
fn one_of_each(kind: SelectorKind, await_lines: bool) -> [Snapshot; 2] {
    let builder = EventLoop::builder().selector(kind).await_lines(await_lines);
    let mut el = builder.blocking_pool(with_threads(1)).build_with(None).unwrap();
    el.set_exception_handler(|_, _, _| {});
    let (handles, _kept) = register(&el);
    handles.iter().for_each(|handle| assert!(el.set_name(*handle, "a name"), "{handle:?}"));
    let regions = el.spawn(regions());
    let remote = el.remote();
    let (blocked, hold) = held(el.blocking_pool().job().name("backup"));
    let job = el.spawn_blocking(|| ());
    let before = el.snapshot(); // with the closure, and before the client is connected
    for _ in 0..2 {
        el.tick(Some(Duration::ZERO)).unwrap();
    }
    el.spawn(async { Err::<(), _>(mainspring::Error::Closed) }).detach();
    el.call_soon(|el, seen| *seen = Some(el.snapshot()));
    let sender = remote.clone();
    thread::spawn(move || sender.call_soon(|_, _| {}).unwrap()).join().unwrap();
    el.tick(Some(Duration::ZERO)).unwrap();
    let after = el.state_mut().take().unwrap();
    drop((hold, job, regions));
    blocked.wait().unwrap();
    [before, after]
}

/// Entries that have no row yet, and columns that an entry lost, are both found.
#[test]
fn o1_o4_each_kind_has_its_columns() {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (kind, columns) in COLUMNS {
        expected.insert((*kind).into(), columns.split(' ').map(str::to_owned).collect());
    }
    on_every_selector(|kind| {
        let mut found = BTreeMap::new();
        for snapshot in one_of_each(kind, true) {
            println!("{snapshot}");
            for (kind, fields) in columns(&snapshot) {
                found.entry(kind).or_insert_with(BTreeSet::new).extend(fields);
            }
        }
        for (kind, columns) in &expected {
            assert_eq!(found.get(kind), Some(columns), "{kind}");
        }
        assert_eq!(found.len(), expected.len(), "{:?}", found.keys());
    });
}

/// Without histories, a task has neither age nor runs (O11), and the other kinds lose nothing.
#[test]
fn o1_histories_change_only_the_columns_of_tasks() {
    on_every_selector(|kind| {
        let [mut with, mut without] =
            [true, false].map(|lines| columns(&one_of_each(kind, lines)[1]));
        let (with_lines, without_lines) = (with.remove("task").unwrap(), without.remove("task"));
        let lost: Vec<&str> = with_lines
            .iter()
            .map(|column| &**column)
            .filter(|column| !without_lines.as_ref().unwrap().contains(*column))
            .collect();
        assert_eq!(lost, ["age", "runs", "waiting_since"]);
        assert_eq!(with, without);
    });
}
