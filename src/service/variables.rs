//! The variables by which a service manager describes what it has passed to a process.

use std::ffi::OsString;
use std::time::Duration;

use mainspring_sys::environment;
use mainspring_sys::socket::{Address, UnixAddress};

use crate::error::{Error, Result};

/// The variables of sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3).
pub(super) const VARIABLES: [&str; 7] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Greatest number of descriptors: their numbers begin with 3.
const MAX_FDS: u32 = i32::MAX as u32 - 3;

/// The name of descriptors without a name (sd_listen_fds(3)).
const UNKNOWN: &str = "unknown";

/// The description of what was passed to this process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Variables {
    /// Number of the inherited descriptors.
    pub(super) fds: u32,
    /// Their names; empty if none were given.
    names: Vec<String>,
    /// Address of the manager's socket for notifications.
    pub(super) notify: Option<Address>,
    /// Time after which the manager expects a ping.
    pub(super) watchdog: Option<Duration>,
}

impl Variables {
    /// Takes the variables out of the environment.
    pub(super) fn take() -> Result<Variables> {
        let values = environment::take(&VARIABLES);
        let value = |name: &str| {
            VARIABLES.iter().zip(&values).find(|(known, _)| **known == name)?.1.clone()
        };
        Variables::parse(value, std::process::id())
    }

    /// Parses the values that `value` returns, for the process `pid`.
    fn parse(value: impl Fn(&str) -> Option<OsString>, pid: u32) -> Result<Variables> {
        let text = |name: &'static str| match value(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some((name, text))),
            Some(Err(bytes)) => Err(invalid(name, &bytes.to_string_lossy(), "not UTF-8")),
        };
        let is_ours = |name| -> Result<Option<bool>> {
            let owner = text(name)?;
            owner.map(|owner| Ok(number(&owner, "not a process id")? == u64::from(pid))).transpose()
        };
        let mut found = Variables::default();
        // Both are set by every manager; without the first, sd_listen_fds(3) ignores the second.
        if is_ours("LISTEN_PID")? == Some(true) {
            (found.fds, found.names) = listen_fds(text("LISTEN_FDS")?, text("LISTEN_FDNAMES")?)?;
        }
        found.notify = text("NOTIFY_SOCKET")?.as_ref().map(notify_socket).transpose()?;
        if is_ours("WATCHDOG_PID")? != Some(false) {
            found.watchdog = text("WATCHDOG_USEC")?.as_ref().map(watchdog_time).transpose()?;
        }
        Ok(found)
    }

    /// Returns the name of the inherited descriptor at `index`.
    pub(super) fn name(&self, index: u32) -> &str {
        self.names.get(index as usize).map_or(UNKNOWN, String::as_str)
    }
}

/// A variable and its value.
type Setting = (&'static str, String);

fn listen_fds(count: Option<Setting>, names: Option<Setting>) -> Result<(u32, Vec<String>)> {
    let Some(setting) = count else { return Ok((0, Vec::new())) };
    let count = number(&setting, "not a number of descriptors")?;
    let count = u32::try_from(count).ok().filter(|count| *count <= MAX_FDS);
    let too_many = || invalid(setting.0, &setting.1, "too many descriptors");
    let count = count.ok_or_else(too_many)?;
    let Some((variable, list)) = names else { return Ok((count, Vec::new())) };
    let names: Vec<String> = list.split(':').map(str::to_owned).collect();
    if count > 0 && names.len() != count as usize {
        let reason = format!("{} names for {count} descriptors", names.len());
        return Err(invalid(variable, &list, &reason));
    }
    Ok((count, names))
}

fn notify_socket((name, text): &Setting) -> Result<Address> {
    let address = match text.strip_prefix('@') {
        Some(rest) => UnixAddress::from_abstract_name(rest),
        None if text.starts_with('/') => UnixAddress::from_pathname(text),
        None => return Err(invalid(name, text, "neither a path nor an abstract name (@)")),
    };
    address.map(Address::Unix).map_err(|error| invalid(name, text, &error.to_string()))
}

fn watchdog_time(setting: &Setting) -> Result<Duration> {
    match number(setting, "not a time in microseconds")? {
        0 => Err(invalid(setting.0, &setting.1, "zero")),
        micros => Ok(Duration::from_micros(micros)),
    }
}

/// Parses decimal digits, without a sign.
fn number((name, text): &Setting, problem: &str) -> Result<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| invalid(name, text, problem))
}

fn invalid(name: &str, text: &str, problem: &str) -> Error {
    Error::Setting(format!("{name}={text:?}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses variables of a text, `A=1 B=2`, for process 7.
    fn parse(text: &str) -> Result<Variables> {
        let of = |name: &str| {
            let found = text.split(' ').filter_map(|setting| setting.split_once('='));
            found.filter(|(known, _)| *known == name).map(|(_, value)| value.into()).next()
        };
        Variables::parse(of, 7)
    }

    #[test]
    fn l1_descriptors_need_our_pid_and_a_name_each() {
        let found = parse("LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=http:").unwrap();
        assert_eq!((found.fds, found.name(0), found.name(1)), (2, "http", ""));
        assert_eq!(parse("LISTEN_PID=7 LISTEN_FDS=1").unwrap().name(0), "unknown");
        for none in ["", "LISTEN_FDS=1", "LISTEN_PID=8 LISTEN_FDS=1", "LISTEN_PID=7"] {
            assert_eq!(parse(none).unwrap(), Variables::default(), "{none}");
        }
        assert_eq!(parse("LISTEN_PID=7 LISTEN_FDS=0 LISTEN_FDNAMES=").unwrap().fds, 0);
    }

    #[test]
    fn l1_values_that_are_no_numbers_are_errors() {
        for (text, error) in [
            ("LISTEN_PID=self LISTEN_FDS=1", "LISTEN_PID=\"self\": not a process id"),
            ("LISTEN_PID=7 LISTEN_FDS=-1", "LISTEN_FDS=\"-1\": not a number of descriptors"),
            ("LISTEN_PID=7 LISTEN_FDS=+1", "LISTEN_FDS=\"+1\": not a number of descriptors"),
            (
                "LISTEN_PID=7 LISTEN_FDS=4294967297",
                "LISTEN_FDS=\"4294967297\": too many descriptors",
            ),
            (
                "LISTEN_PID=7 LISTEN_FDS=2147483647",
                "LISTEN_FDS=\"2147483647\": too many descriptors",
            ),
            (
                "LISTEN_PID=7 LISTEN_FDS=2 LISTEN_FDNAMES=a",
                "LISTEN_FDNAMES=\"a\": 1 names for 2 descriptors",
            ),
            ("WATCHDOG_USEC=0", "WATCHDOG_USEC=\"0\": zero"),
            ("WATCHDOG_USEC=1s", "WATCHDOG_USEC=\"1s\": not a time in microseconds"),
            (
                "NOTIFY_SOCKET=vsock:2:1",
                "NOTIFY_SOCKET=\"vsock:2:1\": neither a path nor an abstract name (@)",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), error);
        }
        assert!(parse(&format!("NOTIFY_SOCKET=/{}", "x".repeat(200))).is_err());
    }

    #[test]
    fn l6_the_watchdog_of_another_process_is_ignored() {
        let time = |text| parse(text).unwrap().watchdog;
        assert_eq!(time("WATCHDOG_USEC=2000000"), Some(Duration::from_secs(2)));
        assert_eq!(time("WATCHDOG_USEC=2000000 WATCHDOG_PID=7"), Some(Duration::from_secs(2)));
        assert_eq!(time("WATCHDOG_USEC=2000000 WATCHDOG_PID=8"), None);
        assert!(parse("WATCHDOG_PID=x").is_err());
    }
}
