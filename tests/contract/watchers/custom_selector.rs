//! A custom selector that wraps a real one, in the same loop functions (docs/contract.md, W6 and
//! W10).

use std::fs::File;

use mainspring::EventLoop;

use crate::support::on_every_selector;
use crate::support::selector::counted;

#[test]
fn w10_a_wrapped_selector_can_be_embedded_like_the_real_one() {
    on_every_selector(|kind| {
        let real = EventLoop::builder().selector(kind).build().unwrap();
        let wrapped = EventLoop::builder().selector(counted(kind).0).build().unwrap();
        let has_object = |el: &EventLoop| el.poll_fd().is_some();
        assert_eq!(has_object(&wrapped), has_object(&real));
    });
}

#[test]
fn w6_a_wrapped_selector_reports_always_ready_files() {
    on_every_selector(|kind| {
        let el = EventLoop::builder().selector(counted(kind).0).build_with(()).unwrap();
        let real = EventLoop::builder().selector(kind).build_with(()).unwrap();
        for el in [&el, &real] {
            let watcher =
                el.add_reader(File::open("/dev/null").unwrap(), |_, (), _| Ok(())).unwrap();
            // poll and select have no descriptor that a host could wait for, and report such files
            // themselves.
            assert_eq!(el.next_deadline().is_some(), el.poll_fd().is_some());
            el.cancel(watcher);
            assert_eq!(el.next_deadline(), None);
        }
    });
}
