//! A pseudo terminal, and programs that run in a session on it.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname, unlockpt};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use rustix::fs::{Mode, OFlags, fcntl_getfl, open};

/// Environment variable with the name of a test. The process runs the body of that test.
const PROGRAM: &str = "MAINSPRING_TERMINAL_TEST";

/// Both sides of a pseudo terminal.
pub struct Pty {
    /// `None` after a hang-up.
    master: Option<File>,
    pub slave: OwnedFd,
    /// Output that was read, but not waited for.
    output: Vec<u8>,
}

/// Returns the path of the other side. ptsname_r(3) exists on some systems only.
fn name_of_slave(master: &PtyMaster) -> String {
    static LOCK: Mutex<()> = Mutex::new(());
    let _alone = LOCK.lock();
    // SAFETY: ptsname(3) returns a static buffer, and the lock makes this its only user.
    unsafe { ptsname(master) }.unwrap()
}

/// Returns true in the process that runs the body of the test `name`.
pub fn is_program(name: &str) -> bool {
    env::var(PROGRAM).as_deref() == Ok(name)
}

/// Returns the command line that runs the body of the test `name`.
pub fn program(name: &str) -> Vec<String> {
    let exe = env::current_exe().unwrap().to_str().unwrap().to_owned();
    [&*exe, "--exact", name, "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

/// Returns true if setsid(1) can start a session on a terminal. Prints a note otherwise.
pub fn has_setsid() -> bool {
    let output = Command::new("setsid").arg("--help").output();
    let has = output.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains("--ctty"));
    if !has {
        println!("skipped: there is no setsid(1) with --ctty");
    }
    has
}

impl Pty {
    pub fn new() -> Pty {
        // openpty(3) would leave the descriptors to the programs of other tests.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let slave_flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = posix_openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = open(name_of_slave(&master), slave_flags, Mode::empty()).unwrap();
        Pty { master: Some(OwnedFd::from(master).into()), slave, output: Vec::new() }
    }

    /// Starts a command in its own session, which the terminal controls.
    pub fn start(&self, name: &str, command: &[String]) -> Child {
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").args(command).env(PROGRAM, name);
        setsid.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    /// Starts the body of the test `name`.
    pub fn start_program(&self, name: &str) -> Child {
        self.start(name, &program(name))
    }

    /// Starts the body of the test `name` as a job of an interactive shell. `script` has it as
    /// `$program`.
    pub fn start_shell(&self, name: &str, script: &str) -> Child {
        let script = format!("program='{}'; set -m; {script}", program(name).join(" "));
        self.start(name, &["sh".to_owned(), "-c".to_owned(), script])
    }

    pub fn master(&self) -> &File {
        self.master.as_ref().unwrap()
    }

    /// Types `text`.
    pub fn type_in(&mut self, text: &str) {
        self.master().write_all(text.as_bytes()).unwrap();
    }

    /// Reads output until `text` has come.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let output = String::from_utf8_lossy(&self.output).into_owned();
            if let Some(at) = output.find(text) {
                self.output = output.as_bytes()[at + text.len()..].to_vec();
                return output[..at].to_owned();
            }
            let mut buffer = [0; 4096];
            let count = self.master().read(&mut buffer).unwrap_or(0);
            assert!(count > 0, "the output ended before {text:?}: {output}");
            self.output.extend_from_slice(&buffer[..count]);
        }
    }

    /// Closes the side of the terminal emulator.
    pub fn hang_up(&mut self) {
        self.master = None;
    }

    pub fn attributes(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    pub fn is_raw(&self) -> bool {
        !self.attributes().local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }
}

/// Returns the flags of an open file.
pub fn flags(file: impl AsFd) -> OFlags {
    fcntl_getfl(file).unwrap()
}

#[track_caller]
pub fn assert_success(status: ExitStatus) {
    assert!(status.success(), "{status}");
}
