//! Hosts: names and addresses with a port.
//!
//! A name is checked first, and then resolved unchanged. It is never cut, decoded or repaired,
//! because the result would be the name of another host.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use crate::error::{Error, Result};

/// Longest name in the DNS in bytes, without a final dot.
const LONGEST_NAME: usize = 253;
/// Longest part of a name between two dots, in bytes.
const LONGEST_LABEL: usize = 63;

/// A host and a port. The host is a name for a resolver, or an address.
///
/// A name consists of labels of 1 to 63 visible ASCII characters with dots between them, 253 bytes
/// in all, and may end in a dot. It does not contain `:`, `/`, `@`, `%`, `[` or `]`, which belong
/// to addresses. The resolver accepts or rejects everything else, such as `127.1` or `0x7f000001`.
///
/// An IPv6 address may have a scope, which is a number or the name of an interface: `fe80::1%2`,
/// `fe80::1%eth0`.
///
/// ```
/// use mainspring::net::Host;
///
/// let host: Host = "localhost:80".parse()?; // or Host::new("localhost", 80)
/// assert_eq!((host.name(), host.port()), (Some("localhost"), 80));
///
/// let address = Host::new("fe80::1%2", 80)?.address().unwrap();
/// assert_eq!(address.to_string(), "[fe80::1%2]:80");
///
/// let error = Host::new("example.com\0.example.net", 80).unwrap_err();
/// assert!(error.to_string().ends_with("a name must not contain spaces or control characters"));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(HostKind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum HostKind {
    Address(SocketAddr),
    Name(String, u16),
}

impl Host {
    /// Creates a host from a name or an address. IPv6 addresses may be in brackets.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] if the text is neither.
    pub fn new(name: &str, port: u16) -> Result<Host> {
        match in_brackets(name) {
            Some(address) => scoped(address, port),
            None if name.contains(':') => scoped(name, port),
            None => plain(name, port),
        }
        .map(Host)
        .map_err(|reason| refusal(name, reason))
    }

    /// Returns the name, if the host is not an address.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            HostKind::Address(_) => None,
            HostKind::Name(name, _) => Some(name),
        }
    }

    /// Returns the address, if it needs no resolver. An IPv6 address with the name of an interface
    /// needs one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.0 {
            HostKind::Address(address) => Some(address),
            HostKind::Name(..) => None,
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        match self.0 {
            HostKind::Address(address) => address.port(),
            HostKind::Name(_, port) => port,
        }
    }
}

type Checked = Result<HostKind, &'static str>;

/// Parses a name or an IPv4 address.
fn plain(name: &str, port: u16) -> Checked {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(HostKind::Address(SocketAddr::new(address, port)));
    }
    let without_dot = name.strip_suffix('.').unwrap_or(name);
    if without_dot.is_empty() {
        return Err("the name is empty");
    }
    check_characters(name)?;
    if name.contains(['/', '@', '%', '[', ']']) {
        return Err("a name must not contain the characters / @ % [ ]");
    }
    if without_dot.len() > LONGEST_NAME {
        return Err("a name has at most 253 bytes");
    }
    for label in without_dot.split('.') {
        match label.len() {
            0 => return Err("a label is empty: two dots in a row, or a dot at the beginning"),
            1..=LONGEST_LABEL => {}
            _ => return Err("a label has at most 63 bytes"),
        }
    }
    Ok(HostKind::Name(name.to_owned(), port))
}

/// Parses an IPv6 address, with or without a scope.
fn scoped(text: &str, port: u16) -> Checked {
    let (address, scope) = match text.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<Ipv6Addr>() else {
        return Err("colons and brackets are only for IPv6 addresses, and this is not one");
    };
    let number = match scope {
        None => Some(0),
        Some(scope) => number(scope),
    };
    if let Some(scope) = number {
        return Ok(HostKind::Address(SocketAddrV6::new(ip, port, 0, scope).into()));
    }
    check_characters(text)?;
    match scope {
        Some("") => Err("the scope after the % is empty"),
        _ if text.len() > LONGEST_NAME => Err("a name has at most 253 bytes"),
        // The resolver converts the name of the interface to its number.
        _ => Ok(HostKind::Name(text.to_owned(), port)),
    }
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if !text.is_ascii() {
        return Err("a name must be ASCII: write an international name in its xn-- form");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a name must not contain spaces or control characters");
    }
    Ok(())
}

fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// Parses a number that consists of digits only: `parse` alone accepts a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Returns the error for `text`. Shows only its beginning, because a text may have any length.
fn refusal(text: &str, reason: &'static str) -> Error {
    let mut host: String = text.chars().take(80).collect();
    if host.len() < text.len() {
        host.push('…');
    }
    Error::Host { host, reason }
}

impl FromStr for Host {
    type Err = Error;

    /// Parses `name:port`, `192.0.2.1:80`, `[2001:db8::1]:80` or `[fe80::1%eth0]:80`.
    fn from_str(text: &str) -> Result<Host> {
        let parts = if in_brackets(text).is_none() { text.rsplit_once(':') } else { None };
        let (name, port) =
            parts.ok_or_else(|| refusal(text, "the port is missing: write name:port"))?;
        if name.contains(':') && in_brackets(name).is_none() {
            return Err(refusal(text, "an IPv6 address before a port needs brackets"));
        }
        let port =
            number(port).ok_or_else(|| refusal(text, "the port must be a number up to 65535"))?;
        Host::new(name, port)
    }
}

impl TryFrom<&str> for Host {
    type Error = Error;

    fn try_from(text: &str) -> Result<Host> {
        text.parse()
    }
}

impl TryFrom<&String> for Host {
    type Error = Error;

    fn try_from(text: &String) -> Result<Host> {
        text.parse()
    }
}

impl TryFrom<String> for Host {
    type Error = Error;

    fn try_from(text: String) -> Result<Host> {
        text.parse()
    }
}

impl TryFrom<(&str, u16)> for Host {
    type Error = Error;

    fn try_from((name, port): (&str, u16)) -> Result<Host> {
        Host::new(name, port)
    }
}

impl TryFrom<(String, u16)> for Host {
    type Error = Error;

    fn try_from((name, port): (String, u16)) -> Result<Host> {
        Host::new(&name, port)
    }
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Host {
        Host(HostKind::Address(address))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            HostKind::Address(address) => write!(f, "{address}"),
            HostKind::Name(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            HostKind::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
