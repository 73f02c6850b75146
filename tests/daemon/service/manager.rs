//! A scripted service manager: the socket for notifications, and the start of a service.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use mainspring::SelectorKind;
use mainspring::service::Service;
use mainspring_sys::socket::{BindOptions, UnixAddress, bind_datagram, recv_fds};

use crate::support::network::SocketFile;
use crate::support::process::alone_as;

/// The script that gives a program its sockets, from standard input and output, and its pid.
const ACTIVATE: &str = "export LISTEN_PID=$$; exec 3<&0 4<&1 0</dev/null 1>&2; exec \"$@\"";

/// Socket of a manager.
pub struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// Binds a socket to the path of a file.
    pub fn bind(file: &SocketFile) -> Manager {
        Manager { socket: UnixDatagram::bind(&file.0).unwrap() }
    }

    /// Binds a socket to an abstract name, where the system has those. Also returns the value of
    /// `NOTIFY_SOCKET`.
    pub fn bind_abstract() -> Option<(Manager, String)> {
        let file = SocketFile::new("notify");
        let address = UnixAddress::from_abstract_name(file.0.to_str().unwrap()).ok()?.into();
        let socket = bind_datagram(&address, &BindOptions::default()).unwrap();
        Some((Manager { socket: socket.into() }, format!("@{}", file.0.to_str().unwrap())))
    }

    /// Returns the manager with standard input as its socket: the service tests itself.
    fn of_stdin() -> Manager {
        let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
        Manager { socket: socket.into() }
    }

    /// Returns the next message, with its descriptors. `None` if there is none.
    pub fn message(&self) -> Option<(String, Vec<OwnedFd>)> {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        match recv_fds(&self.socket, &mut buffer) {
            Ok((count, fds)) => Some((String::from_utf8(buffer[..count].to_vec()).unwrap(), fds)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns all messages that have arrived. The time in `MONOTONIC_USEC` is replaced by `..`.
    pub fn messages(&self) -> Vec<String> {
        let messages = std::iter::from_fn(|| self.message());
        messages
            .map(|(text, _)| match text.split_once("MONOTONIC_USEC=") {
                Some((before, time)) => {
                    assert!(time.parse::<u64>().unwrap() > 0);
                    format!("{before}MONOTONIC_USEC=..")
                }
                None => text,
            })
            .collect()
    }

    pub fn socket(&self) -> &UnixDatagram {
        &self.socket
    }
}

/// Runs `check` as a service on each selector, in its own process, with this socket of a manager.
/// Loops of that process use the selector by default.
#[track_caller]
pub fn managed(name: &str, variables: &[(&str, &str)], check: impl Fn(Service, Manager)) {
    for kind in SelectorKind::available() {
        println!("on {kind}");
        let file = SocketFile::new("notify");
        let run = || check(Service::from_env().unwrap(), Manager::of_stdin());
        let output = alone_as(name, run, |mut child| {
            let socket: OwnedFd = Manager::bind(&file).socket.into();
            Service::hide_from(&mut child);
            child.env("MAINSPRING_SELECTOR", kind.to_string()).env("NOTIFY_SOCKET", &file.0);
            child.envs(variables.iter().copied()).stdin(socket);
            child
        });
        let Some(output) = output else { return }; // The service.
        assert!(output.status.success(), "{name} failed on {kind}");
    }
}

/// Runs `check` as a service, in its own process, that was started with these sockets and
/// variables. `LISTEN_PID` is its process id, unless it is among the variables.
#[track_caller]
pub fn activated(
    name: &str,
    sockets: impl IntoIterator<Item = OwnedFd>,
    variables: &[(&str, &str)],
    check: impl Fn(),
) {
    let prepare = |child: Command| activation(&child, sockets, variables);
    let output = alone_as(name, check, prepare);
    assert!(output.is_none_or(|output| output.status.success()), "{name} failed");
}

/// Returns the command that starts `child` with these sockets, two at most.
pub fn activation(
    child: &Command,
    sockets: impl IntoIterator<Item = OwnedFd>,
    variables: &[(&str, &str)],
) -> Command {
    let mut sockets = sockets.into_iter();
    let pid = variables.iter().find(|(name, _)| *name == "LISTEN_PID");
    let script = match pid {
        Some((_, pid)) => ACTIVATE.replace("$$", pid),
        None => ACTIVATE.to_owned(),
    };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg("sh").arg(child.get_program()).args(child.get_args());
    Service::hide_from(&mut shell); // A service manager may have started the tests.
    shell.envs(child.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell.envs(variables.iter().copied());
    shell.stdin(sockets.next().map_or(Stdio::null(), Stdio::from));
    if let Some(second) = sockets.next() {
        shell.stdout(second);
    }
    shell
}
