//! Lookup of host names: which names are refused, and that the others are looked up unchanged
//! (P128; docs/contract.md, S9 and F9).

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use mainspring::net::{Host, Lookup};
use mainspring::{BlockingPool, Error};
use proptest::prelude::*;

use crate::support::blocking_jobs::{held, with_threads};

/// Returns the reason why this is no host.
fn reason(host: Result<Host, Error>) -> &'static str {
    match host {
        Err(Error::Host { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Returns a name of this length, with labels of at most 63 bytes.
fn name_of(bytes: usize) -> String {
    let label = "a".repeat(63) + ".";
    let mut name = label.repeat(bytes / label.len() + 1);
    name.truncate(bytes);
    name
}

const LONG: &str = "a name has at most 253 bytes";
const LABEL: &str = "a label has at most 63 bytes";
const GAP: &str = "a label is empty: two dots in a row, or a dot at the beginning";
const EMPTY: &str = "the name is empty";
const INVISIBLE: &str = "a name must not contain spaces or control characters";
const FOREIGN: &str = "a name must be ASCII: write an international name in its xn-- form";
const SEPARATOR: &str = "a name must not contain the characters / @ % [ ]";
const NO_ADDRESS: &str = "colons and brackets are only for IPv6 addresses, and this is not one";

#[test]
fn s9_a_name_that_is_too_long_is_refused_and_never_truncated() {
    for bytes in [1, 63, 252, 253] {
        let name = name_of(bytes);
        assert_eq!(Host::new(&name, 1).unwrap().name(), Some(name.as_str()));
        let dotted = name.clone() + ".";
        assert_eq!(Host::new(&dotted, 1).unwrap().name(), Some(dotted.as_str()));
    }
    // Buffers often end at 255 or 256 bytes; a name longer than that overflowed one in
    // CVE-2024-24806.
    for bytes in [254, 255, 257, 300, 70_000] {
        assert_eq!(reason(Host::new(&name_of(bytes), 1)), LONG);
    }
    // The scope of an IPv6 address is part of what the resolver gets.
    let scoped = |bytes: usize| "fe80::1%".to_owned() + &"e".repeat(bytes - 8);
    assert_eq!(Host::new(&scoped(253), 1).unwrap().name(), Some(&scoped(253)[..]));
    assert_eq!(reason(Host::new(&scoped(254), 1)), LONG);
    let behind = "0x7f000001".to_owned() + &name_of(250);
    assert_eq!(reason(Host::new(&behind, 1)), LONG);
    assert!(Host::new(&"a".repeat(63), 1).is_ok());
    assert_eq!(reason(Host::new(&"a".repeat(64), 1)), LABEL);
    assert_eq!(reason(Host::new(&format!("www.{}.com", "a".repeat(64)), 1)), LABEL);
    let message = Host::new(&"a".repeat(70_000), 1).unwrap_err().to_string();
    assert!(message.len() < 200, "the message is too long");
}

#[test]
fn s9_an_invalid_host_name_is_refused() {
    let refused = [
        ("", EMPTY),
        (".", EMPTY),
        ("..", GAP),
        (".com", GAP),
        ("a..b", GAP),
        ("a.b..", GAP),
        ("a\0b", INVISIBLE),
        ("example.com\0.example.net", INVISIBLE),
        ("\0", INVISIBLE),
        ("a b", INVISIBLE),
        (" a", INVISIBLE),
        ("a\n", INVISIBLE),
        ("a\u{7f}", INVISIBLE),
        ("127.0.0.1 ", INVISIBLE),
        ("bücher.example", FOREIGN),
        ("a\u{200b}b", FOREIGN),
        ("１２７.0.0.1", FOREIGN),
        ("user@host", SEPARATOR),
        ("host/path", SEPARATOR),
        ("host%eth0", SEPARATOR),
        ("a]", SEPARATOR),
        ("[::1", NO_ADDRESS),
        ("a:b", NO_ADDRESS),
        ("[a]", NO_ADDRESS),
        ("[127.0.0.1]", NO_ADDRESS),
        ("1:2:3:4:5:6:7:8:9", NO_ADDRESS),
        ("fe80::1%", "the scope after the % is empty"),
        ("fe80::1%et h0", INVISIBLE),
        ("fe80::1%eth\0", INVISIBLE),
    ];
    for (name, expected) in refused {
        assert_eq!(reason(Host::new(name, 80)), expected, "{name:?}");
        assert_eq!(reason(Host::try_from((name, 80))), expected, "{name:?}");
    }
    let error = Host::new("a\0b", 80).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot look up \"a\\0b\": {INVISIBLE}"));
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn s9_a_host_name_is_not_changed() {
    for name in ["localhost", "EXAMPLE.com.", "_service._tcp.a-b", "127.1", "0x7f000001", "xn--a"] {
        let host = Host::new(name, 443).unwrap();
        assert_eq!((host.name(), host.port(), host.address()), (Some(name), 443, None));
        assert_eq!(host.to_string(), format!("{name}:443"));
        assert_eq!(host.to_string().parse::<Host>().unwrap(), host);
    }
}

#[test]
fn s9_a_host_with_a_port_is_parsed_in_every_form() {
    for text in ["a.b:1", "192.0.2.1:65535", "[2001:db8::1]:0", "[fe80::1%2]:80", "[::1%lo]:80"] {
        let host: Host = text.parse().unwrap();
        assert_eq!(host.to_string(), text);
        assert_eq!(Host::try_from(text.to_owned()).unwrap(), host);
    }
    let no_port = "the port must be a number up to 65535";
    let refused = [
        ("", "the port is missing: write name:port"),
        ("localhost", "the port is missing: write name:port"),
        ("[::1]", "the port is missing: write name:port"),
        ("localhost:", no_port),
        ("localhost:http", no_port),
        ("localhost:65536", no_port),
        ("localhost:+80", no_port),
        ("localhost:-1", no_port),
        ("localhost: 80", no_port),
        ("localhost:80 ", no_port),
        ("localhost:８０", no_port),
        (":80", EMPTY),
        ("::1:80", "an IPv6 address before a port needs brackets"),
        ("a:b:80", "an IPv6 address before a port needs brackets"),
        ("[::1]80:80", "an IPv6 address before a port needs brackets"),
    ];
    for (text, expected) in refused {
        assert_eq!(reason(text.parse()), expected, "{text:?}");
    }
}

#[test]
fn s9_an_address_needs_no_lookup_and_no_thread() {
    let pool = with_threads(1);
    let addresses = [
        ("127.0.0.1", "127.0.0.1:80"),
        ("::1", "[::1]:80"),
        ("[::1]", "[::1]:80"),
        ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80"),
        ("fe80::1%2", "[fe80::1%2]:80"),
        ("fe80::1%4294967295", "[fe80::1%4294967295]:80"),
    ];
    for (name, address) in addresses {
        let address: SocketAddr = address.parse().unwrap();
        let host = Host::new(name, 80).unwrap();
        assert_eq!((host.address(), host.name()), (Some(address), None));
        assert_eq!(Host::from(address), host);
        assert_eq!(host.lookup(&pool).unwrap().wait().unwrap(), [address]);
        assert_eq!(block_on(host.lookup(&pool).unwrap()).unwrap(), [address]);
    }
    assert_eq!((pool.threads(), pool.waiting()), (0, 0));
    // It also works with a pool that is closed.
    pool.close(Duration::ZERO).unwrap();
    assert!(Host::new("127.0.0.1", 80).unwrap().lookup(&pool).is_ok());
    let error = Host::new("localhost", 80).unwrap().lookup(&pool).unwrap_err();
    assert!(matches!(error, Error::PoolClosed));
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(mut lookup: Lookup) -> mainspring::Result<Vec<SocketAddr>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match Pin::new(&mut lookup).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn s9_a_name_is_looked_up_in_a_job() {
    let pool = with_threads(2);
    let host: Host = "localhost:8080".parse().unwrap();
    for found in [
        host.lookup(&pool).unwrap().wait().unwrap(),
        block_on(host.lookup(&pool).unwrap()).unwrap(),
    ] {
        assert!(!found.is_empty());
        for address in found {
            assert!(address.ip().is_loopback() && address.port() == 8080, "{address}");
        }
    }
    assert!(pool.threads() > 0);
}

/// The resolver finds interface names locally, so this sends no query.
#[test]
fn s9_the_scope_of_an_address_is_kept() {
    let pool = BlockingPool::new();
    let error = Host::new("fe80::1%no-such-interface", 80).unwrap();
    let error = error.lookup(&pool).unwrap().wait().unwrap_err();
    assert!(matches!(&error, Error::Lookup { .. }), "{error:?}");
    assert_eq!(error.to_string(), "cannot look up [fe80::1%no-such-interface]:80");
    assert!(std::error::Error::source(&error).is_some());

    for loopback in ["lo", "lo0"] {
        let host = Host::new(&format!("fe80::1%{loopback}"), 80).unwrap();
        let Ok(found) = host.lookup(&pool).unwrap().wait() else { continue };
        let [SocketAddr::V6(address)] = found[..] else { panic!("{found:?}") };
        assert_eq!(IpAddr::V6(*address.ip()), "fe80::1".parse::<IpAddr>().unwrap());
        assert_ne!(address.scope_id(), 0);
        return;
    }
    panic!("no known name of the loopback interface works");
}

/// A pending lookup waits for others, can be abandoned at once, and gets an error when the pool
/// closes (P115, P116).
#[test]
fn f9_p115_a_lookup_is_abandoned_at_once() {
    let pool = with_threads(2);
    let (_, _hanging) = held(pool.job().lookup());
    let host = Host::new("localhost", 80).unwrap();
    let lookups: Vec<Lookup> = (0..50).map(|_| host.lookup(&pool).unwrap()).collect();
    assert_eq!((pool.running(), pool.waiting()), (1, 50));
    drop(lookups);
    assert_eq!((pool.running(), pool.waiting()), (1, 0));

    let pending = host.lookup(&pool).unwrap();
    pool.close(Duration::ZERO).unwrap_err();
    let text = pending.wait().unwrap_err().to_string();
    assert!(text.starts_with("job \"lookup of localhost:80\" submitted at "), "{text}");
    assert!(text.contains(file!()), "{text}");
}

#[test]
fn f9_p116_a_lookup_pending_when_the_pool_is_dropped_returns() {
    for _ in 0..20 {
        let pool = with_threads(4);
        let host = Host::new("localhost", 80).unwrap();
        let lookups: Vec<Lookup> = (0..4).map(|_| host.lookup(&pool).unwrap()).collect();
        drop(pool);
        // Either the lookup ran in time, or it never ran.
        for lookup in lookups {
            match lookup.wait() {
                Ok(found) => assert!(!found.is_empty()),
                Err(error) => assert!(matches!(error, Error::Other(_)), "{error}"),
            }
        }
    }
}

proptest! {
    /// No text causes a panic, and every accepted name is looked up byte by byte as given.
    #[test]
    fn s9_the_name_that_is_looked_up_is_the_one_given(
        text in prop_oneof![".*", "[a-z0-9.:%\\[\\]-]{0,300}", "([a-z0-9-]{1,70}\\.){0,6}[a-z]*"],
        port: u16,
    ) {
        if let Ok(host) = Host::new(&text, port) {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let bare = bare.unwrap_or(&text);
            match (host.name(), host.address()) {
                (Some(name), None) => prop_assert_eq!(name, bare),
                (None, Some(address)) => {
                    let (ip, _) = bare.split_once('%').unwrap_or((bare, ""));
                    prop_assert_eq!(ip.parse::<IpAddr>().unwrap(), address.ip());
                }
                both => prop_assert!(false, "{both:?}"),
            }
            prop_assert_eq!(host.port(), port);
            prop_assert_eq!(host.to_string().parse::<Host>().unwrap(), host);
        }
        let _ = text.parse::<Host>();
    }
}
