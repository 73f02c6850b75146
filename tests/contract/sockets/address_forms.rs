//! Values that convert to an address, the same for callbacks and tasks (docs/contract.md, S6).

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use mainspring::Error;
use mainspring::net::{
    Address, Host, IntoAddress, ListenOptions, TcpListener, TcpStream, UnixAddress, listen,
};

use crate::support::{on_every_selector, simulated};

const LONG: Duration = Duration::from_secs(3600);

fn same(forms: Vec<std::io::Result<Address>>) {
    let first = forms[0].as_ref().unwrap().clone();
    for (at, form) in forms.into_iter().enumerate() {
        assert_eq!(form.unwrap(), first, "form {at}");
    }
}

#[test]
fn s6_all_forms_convert_to_the_same_address() {
    let inet: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let text = String::from("127.0.0.1:80");
    same(vec![
        inet.into_address(),
        (&inet).into_address(),
        Address::from(inet).into_address(),
        "127.0.0.1:80".into_address(),
        (&text).into_address(),
        text.into_address(),
        ("127.0.0.1", 80).into_address(),
        (String::from("127.0.0.1"), 80).into_address(),
        (Ipv4Addr::LOCALHOST, 80).into_address(),
        ([127, 0, 0, 1], 80).into_address(),
        Host::new("127.0.0.1", 80).unwrap().into_address(),
    ]);
    let path = std::path::Path::new("/run/daemon.sock");
    let unix = UnixAddress::from_pathname(path).unwrap();
    same(vec![
        path.into_address(),
        (&path.to_owned()).into_address(),
        path.to_owned().into_address(),
        "/run/daemon.sock".into_address(),
        "unix:/run/daemon.sock".into_address(),
        (&unix).into_address(),
        unix.into_address(),
    ]);
    for refused in [
        ("localhost", 80).into_address(),
        ("two words", 80).into_address(),
        "localhost:80".into_address(),
        Host::new("localhost", 80).unwrap().into_address(),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// Callbacks accept the same forms as tasks. A value that is no address is an error of the attempt.
#[test]
fn s6_callbacks_and_tasks_accept_the_same_forms() {
    on_every_selector(|kind| {
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let (mut el, _) = simulated(kind, ());
        let listener = listen(("127.0.0.1", 0), &ListenOptions::default()).unwrap();
        let listener = std::net::TcpListener::from(listener);
        let text = listener.local_addr().unwrap().to_string();
        let connected = |outcomes: &Rc<RefCell<Vec<Option<ErrorKind>>>>| {
            let outcomes = outcomes.clone();
            move |_: &mainspring::LoopHandle, _: &mut (), socket: Result<_, Error>| {
                outcomes.borrow_mut().push(socket.err().map(|error| error.kind()));
                Ok(())
            }
        };
        el.connect(&*text, LONG, connected(&outcomes));
        el.connect(&text, LONG, connected(&outcomes));
        el.connect(listener.local_addr().unwrap(), LONG, connected(&outcomes));
        el.connect("127.0.0.1", LONG, connected(&outcomes));
        el.connect(("localhost", 80), LONG, connected(&outcomes));
        el.run().unwrap();
        let mut outcomes = outcomes.take();
        outcomes.sort_by_key(Option::is_some);
        let refused = Some(ErrorKind::InvalidInput);
        assert_eq!(outcomes, [None, None, None, refused, refused]);
        el.run_until_complete(async {
            let stream = TcpStream::connect(&*text).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap().to_string(), text);
            TcpStream::connect(text.clone()).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            TcpStream::connect_host(("127.0.0.1", port), LONG).await.unwrap();
            TcpStream::connect_host(listener.local_addr().unwrap(), LONG).await.unwrap();
            TcpStream::connect_host(text.clone(), LONG).await.unwrap();
            let refused = TcpStream::connect(("localhost", port)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            TcpListener::bind(("::1", 0)).map(drop).or_else(|error| match error.kind() {
                ErrorKind::AddrNotAvailable => Ok(()), // This machine has no IPv6.
                _ => Err(error),
            })
        })
        .unwrap()
        .unwrap();
    });
}
