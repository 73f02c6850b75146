//! Notifications (docs/contract.md, L4, L10).

use std::fs;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use mainspring::service::Service;
use mainspring::{EventLoop, timeout};

use super::manager::{Manager, activated, managed};

const PREFIX: &str = "service::notifications::";

#[test]
fn l4_each_notification_is_a_datagram() {
    managed(&format!("{PREFIX}l4_each_notification_is_a_datagram"), &[], |service, manager| {
        service.ready().unwrap();
        service.reloading().unwrap();
        service.status("3 clients").unwrap();
        service.main_pid(42).unwrap();
        service.extend_timeout(Duration::from_millis(1500)).unwrap();
        service.notify("ERRNO", "2").unwrap();
        service.ping_watchdog().unwrap();
        service.stopping().unwrap();
        service.stopping().unwrap(); // Sends nothing.
        let sent = [
            "READY=1",
            "RELOADING=1\nMONOTONIC_USEC=..",
            "STATUS=3 clients",
            "MAINPID=42",
            "EXTEND_TIMEOUT_USEC=1500000",
            "ERRNO=2",
            "WATCHDOG=1",
            "STOPPING=1",
        ];
        assert_eq!(manager.messages(), sent);
    });
}

#[test]
fn l4_the_socket_may_have_an_abstract_name() {
    let name = &format!("{PREFIX}l4_the_socket_may_have_an_abstract_name");
    let Some((manager, address)) = Manager::bind_abstract() else {
        return println!("skipped: this system has no abstract names");
    };
    activated(name, [], &[("NOTIFY_SOCKET", &*address)], || {
        Service::from_env().unwrap().ready().unwrap();
    });
    if std::env::var("MAINSPRING_TEST_ALONE").is_err() {
        assert_eq!(manager.messages(), ["READY=1"]);
    }
}

#[test]
fn l4_text_cannot_add_a_message() {
    managed(&format!("{PREFIX}l4_text_cannot_add_a_message"), &[], |service, manager| {
        for text in ["a\nREADY=1", "a\rb", "a\0b", "\n"] {
            let error = service.status(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let problem = "the value has a newline, a carriage return or a zero byte";
            assert!(error.chain().contains(problem), "{error:?}");
            assert_eq!(service.notify("A", text).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        for name in ["", "a", "A B", "A=1\nB", "STÄTUS"] {
            assert_eq!(service.notify(name, "1").unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(manager.messages().is_empty());
        service.status("").unwrap();
        service.status("größer = besser").unwrap();
        assert_eq!(manager.messages(), ["STATUS=", "STATUS=größer = besser"]);
    });
}

#[test]
fn l4_a_full_queue_is_an_error_and_not_a_wait() {
    managed(
        &format!("{PREFIX}l4_a_full_queue_is_an_error_and_not_a_wait"),
        &[],
        |service, manager| {
            let mut sent = 0;
            let full = loop {
                match service.status("busy") {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock);
            assert!(
                full.chain().starts_with("cannot notify the service manager: STATUS=busy: "),
                "{full:?}"
            );
            assert_eq!(manager.messages().len(), sent);
            service.ready().unwrap();
            assert_eq!(manager.messages(), ["READY=1"]);
        },
    );
}

#[test]
fn l4_a_restarted_manager_gets_the_next_message() {
    let name = &format!("{PREFIX}l4_a_restarted_manager_gets_the_next_message");
    managed(name, &[], |service, manager| {
        service.ready().unwrap();
        assert_eq!(manager.messages(), ["READY=1"]);
        let path = manager.socket().local_addr().unwrap().as_pathname().unwrap().to_owned();
        manager.socket().shutdown(Shutdown::Both).unwrap();
        fs::remove_file(&path).unwrap();
        let gone = service.status("alone").unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);

        let next = UnixDatagram::bind(&path).unwrap();
        service.status("again").unwrap();
        let mut buffer = [0; 64];
        let count = next.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"STATUS=again");
    });
}

#[test]
fn l4_a_manager_without_a_socket_is_an_error() {
    let name = &format!("{PREFIX}l4_a_manager_without_a_socket_is_an_error");
    activated(name, [], &[("NOTIFY_SOCKET", "/no/such/socket")], || {
        let error = Service::from_env().unwrap_err();
        let text = "cannot connect to NOTIFY_SOCKET unix:/no/such/socket: No such file";
        assert!(error.chain().starts_with(text), "{error:?}");
    });
}

#[test]
fn l4_without_a_manager_nothing_happens() {
    let service = Service::default();
    service.ready().unwrap();
    service.reloading().unwrap();
    service.status("ready").unwrap();
    service.store_fd("http", std::io::stdin()).unwrap();
    service.stopping().unwrap();
    assert!(!service.is_managed() && service.watchdog_time().is_none());
}

#[test]
fn l10_a_barrier_waits_for_the_manager() {
    managed(&format!("{PREFIX}l10_a_barrier_waits_for_the_manager"), &[], |service, manager| {
        let mut el = EventLoop::new().unwrap();
        let waiting = {
            let service = service.clone();
            el.spawn(async move { service.barrier().await })
        };
        el.run_until_stalled().unwrap();
        assert!(!waiting.is_finished());
        let (message, fds) = manager.message().unwrap();
        assert_eq!((&*message, fds.len()), ("BARRIER=1", 1));
        drop(fds);
        el.run_until_complete(waiting).unwrap().unwrap().unwrap();

        let limit = timeout(Duration::from_millis(1), service.barrier());
        assert!(el.run_until_complete(limit).unwrap().is_err());
    });
}
