//! The readiness convention of s6 (docs/contract.md, L5).

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};

use mainspring::service::Service;
use mainspring_sys::fd::set_nonblocking;

use super::manager::activated;
use crate::support::descriptors::{fill, is_blocking};

const PREFIX: &str = "service::command_line::";

#[test]
fn l5_readiness_is_one_newline_and_then_the_end() {
    let name = &format!("{PREFIX}l5_readiness_is_one_newline_and_then_the_end");
    let (mut reader, writer) = std::io::pipe().unwrap();
    activated(name, [writer.into()], &[], || {
        let service = Service::from_env().unwrap();
        service.set_ready_fd(3).unwrap();
        let again = service.set_ready_fd(3).unwrap_err();
        assert!(again.chain().contains("fd 3 (\"ready\"): it is close-on-exec"), "{again:?}");
        service.ready().unwrap();
        assert!(service.set_ready_fd(3).unwrap_err().chain().contains("Bad file descriptor"));
        service.ready().unwrap();
    });
    let mut written = Vec::new();
    reader.read_to_end(&mut written).unwrap();
    if std::env::var("MAINSPRING_TEST_ALONE").is_err() {
        assert_eq!(written, b"\n");
    }
}

/// A supervisor that does not read must not block the service.
#[test]
fn l5_a_full_pipe_is_an_error_and_not_a_wait() {
    let name = &format!("{PREFIX}l5_a_full_pipe_is_an_error_and_not_a_wait");
    let (_reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    set_nonblocking(writer.as_fd(), false).unwrap();
    let copy = writer.try_clone().unwrap();
    activated(name, [copy.into(), writer.into()], &[("LISTEN_FDS", "1")], || {
        let service = Service::from_env().unwrap();
        let copy = service.take_fd("unknown").unwrap();
        assert!(is_blocking(&copy));
        service.set_ready_fd(4).unwrap();
        assert!(!is_blocking(&copy), "the same open file");
        let error = service.ready().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error:?}");
    });
}

#[test]
fn l5_a_number_that_is_not_inherited_is_an_error() {
    let service = Service::default();
    for number in [0, 1, 2] {
        let error = service.set_ready_fd(number).unwrap_err();
        assert!(error.chain().ends_with("it is a standard stream"), "{error:?}");
    }
    assert!(service.set_ready_fd(-1).is_err());
    let ours: OwnedFd = std::io::pipe().unwrap().1.into();
    let error = service.set_ready_fd(std::os::fd::AsRawFd::as_raw_fd(&ours)).unwrap_err();
    assert!(error.chain().contains("this process has opened it"), "{error:?}");
}
