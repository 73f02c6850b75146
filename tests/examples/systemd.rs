//! The example `daemon` under a real systemd, with the units of the guide. It is a user manager in
//! its own namespaces.
//!
//! `MAINSPRING_SLOW_TESTS=1 cargo test --test examples systemd -- --nocapture`, as root.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::daemon::Folder;
use super::program::{command, free_addresses, is_requested};
use super::unit_files::unit;

/// Starts the manager, and then runs each line of standard input.
const SCRIPT: &str = "
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user/0
/lib/systemd/systemd --user >$HOME/log 2>&1 &
for try in $(seq 200); do [ -S /run/user/0/systemd/private ] && break; sleep 0.05; done
while read -r line; do eval \"$line\" 2>&1; echo \"end $?\"; done
";

/// Settings that a user manager cannot apply.
const FOR_THE_SYSTEM: &[&str] = &["DynamicUser=", "Protect", "NoNewPrivileges="];

/// A shell beside the manager. All processes end with it.
struct Shell {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    fn start(folder: &Folder) -> Shell {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--cgroup"]);
        unshare.args(["bash", "-c", SCRIPT]).env("HOME", folder.path(""));
        unshare.env("XDG_RUNTIME_DIR", "/run/user/0").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = unshare.spawn().unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Shell { process, stdin, stdout }
    }

    /// Runs a command. Returns its output, and its code.
    fn run(&mut self, line: &str) -> (String, String) {
        writeln!(self.stdin, "{line}").unwrap();
        let mut output = String::new();
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the shell has ended: {output}");
            match line.strip_prefix("end ") {
                Some(code) => return (output.trim_end().to_owned(), code.trim_end().to_owned()),
                None => output += &line,
            }
        }
    }

    /// Runs `systemctl --user`, which must succeed.
    #[track_caller]
    fn systemctl(&mut self, arguments: &str) -> String {
        let (output, code) = self.run(&format!("systemctl --user --no-pager {arguments}"));
        assert_eq!(code, "0", "{arguments}: {output}");
        output
    }

    fn property(&mut self, name: &str) -> String {
        self.systemctl(&format!("show --value --property={name} motd.service"))
    }

    /// Waits until a property has this value.
    #[track_caller]
    fn wait_for(&mut self, name: &str, value: &str) {
        for _ in 0..600 {
            if self.property(name) == value {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} is {}, not {value}", self.property(name));
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns a manager, or prints the reason why there is none.
fn manager(folder: &Folder, address: SocketAddr, is_activated: bool) -> Option<Shell> {
    if !is_requested() {
        return None;
    }
    if !fs::exists("/lib/systemd/systemd").unwrap() {
        println!("skipped: systemd is not installed");
        return None;
    }
    let units = folder.path(".config/systemd/user");
    fs::create_dir_all(&units).unwrap();
    let program = fs::canonicalize(command("daemon").get_program()).unwrap();
    let command = format!("{} {address} {}", program.display(), folder.path("motd"));
    let service = unit("motd.service")
        .replace("/usr/local/bin/daemon 127.0.0.1:8080 /etc/motd 127.0.0.1:9100", &command)
        .replace("[Unit]\n", "[Unit]\nStartLimitIntervalSec=0\n")
        .replace("WatchdogSec=10\n", "WatchdogSec=4\nRestartSec=1\n");
    // The others need the manager of the system.
    let lines =
        service.lines().filter(|line| !FOR_THE_SYSTEM.iter().any(|it| line.starts_with(it)));
    fs::write(format!("{units}/motd.service"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    if is_activated {
        let socket = unit("motd.socket").replace("127.0.0.1:8080", &address.to_string());
        fs::write(format!("{units}/motd.socket"), socket).unwrap();
    }
    let mut shell = Shell::start(folder);
    let (output, code) = shell.run("systemctl --user daemon-reload");
    if code != "0" {
        println!("skipped: no user manager runs here: {output}");
        return None;
    }
    Some(shell)
}

fn ask(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap();
    let answer = String::from_utf8(buffer[..count].to_vec()).unwrap();
    answer.rsplit_once("\r\n\r\n").expect("an answer").1.to_owned()
}

#[test]
fn a_life_with_socket_activation() {
    let (folder, [address]) = (Folder::new(), free_addresses());
    let Some(mut shell) = manager(&folder, address, true) else { return };
    shell.systemctl("start motd.socket");
    assert_eq!(shell.property("ActiveState"), "inactive");
    let mut client = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut client), "hello");
    shell.wait_for("ActiveState", "active");

    fs::write(folder.path("motd"), "good evening").unwrap();
    shell.systemctl("reload motd.service");
    while ask(&mut client) == "hello" {}
    fs::rename(folder.path("motd"), folder.path("away")).unwrap();
    shell.systemctl("kill --kill-who=main -s HUP motd.service");
    while !shell.property("StatusText").starts_with("the reload failed: cannot read") {}
    fs::rename(folder.path("away"), folder.path("motd")).unwrap();

    // A loop that hangs: the watchdog ends it, and the next process serves the waiting client.
    shell.systemctl("kill --kill-who=main -s STOP motd.service");
    let mut waiting = TcpStream::connect(address).unwrap();
    shell.wait_for("NRestarts", "1");
    assert_eq!(ask(&mut waiting), "good evening");
    shell.systemctl("stop motd.socket motd.service");
    assert_eq!(shell.property("Result"), "success");
    println!("status: {}", shell.property("StatusText"));
}

/// The service has bound its listener itself, and stores it.
#[test]
fn a_stored_listener_outlives_a_crash() {
    let (folder, [address]) = (Folder::new(), free_addresses());
    let Some(mut shell) = manager(&folder, address, false) else { return };
    shell.systemctl("start motd.service");
    assert_eq!(shell.property("NFileDescriptorStore"), "1");
    let mut refused = 0;
    for restart in 1..=5 {
        shell.systemctl("kill --kill-who=main -s KILL motd.service");
        shell.wait_for("SubState", "auto-restart"); // Until no process is left.
        let connected = TcpStream::connect(address).inspect_err(|_| refused += 1);
        assert_eq!(ask(&mut connected.unwrap()), "hello");
        shell.wait_for("NRestarts", &restart.to_string());
        shell.wait_for("ActiveState", "active");
    }
    shell.systemctl("restart motd.service");
    assert_eq!(ask(&mut TcpStream::connect(address).unwrap()), "hello");
    println!("5 crashes and a restart: {refused} clients refused");
    shell.systemctl("stop motd.service");
    assert_eq!(shell.property("Result"), "success");
    assert!(TcpStream::connect(address).is_err());
}
