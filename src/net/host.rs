//! Hosts: names and addresses with a port.
//!
//! A name is checked before anything is done with it, and is asked for as it is or not at all:
//! nothing is cut, decoded or mended, because then another host would be asked for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;

use crate::error::{Error, Result};

/// Longest name in the DNS in bytes, without the dot that may end it.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A host and a port: a name that a resolver may be asked for, or an address.
///
/// A name has labels of 1 to 63 visible ASCII characters with dots between them, 253 in all, and
/// may end in a dot. `:`, `/`, `@`, `%`, `[` and `]` belong to addresses and are in no name. What
/// else there is, such as `127.1` or `0x7f000001`, is for the resolver to understand or to refuse.
///
/// An IPv6 address may have a scope, a number or the name of an interface: `fe80::1%2`,
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
/// assert!(error.to_string().ends_with("a name has neither spaces nor control characters"));
/// # Ok::<(), mainspring::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Address(SocketAddr),
    Name(String, u16),
}

impl Host {
    /// A host by its name or its address, IPv6 with or without brackets.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] for what is neither.
    pub fn new(name: &str, port: u16) -> Result<Host> {
        match in_brackets(name) {
            Some(address) => scoped(address, port),
            None if name.contains(':') => scoped(name, port),
            None => plain(name, port),
        }
        .map(Host)
        .map_err(|reason| refusal(name, reason))
    }

    /// The name, if it is not an address.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Address(_) => None,
            Kind::Name(name, _) => Some(name),
        }
    }

    /// The address, if no resolver is needed for it. That of an IPv6 address with the name of an
    /// interface needs one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.0 {
            Kind::Address(address) => Some(address),
            Kind::Name(..) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self.0 {
            Kind::Address(address) => address.port(),
            Kind::Name(_, port) => port,
        }
    }
}

type Checked = Result<Kind, &'static str>;

/// A name, or an IPv4 address.
fn plain(name: &str, port: u16) -> Checked {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(Kind::Address(SocketAddr::new(address, port)));
    }
    let without_dot = name.strip_suffix('.').unwrap_or(name);
    if without_dot.is_empty() {
        return Err("the name is empty");
    }
    check_characters(name)?;
    if name.contains(['/', '@', '%', '[', ']']) {
        return Err("a name has none of the characters / @ % [ ]");
    }
    if without_dot.len() > LONGEST_NAME {
        return Err("a name has at most 253 bytes");
    }
    for label in without_dot.split('.') {
        match label.len() {
            0 => return Err("there is nothing between two dots, or before the first"),
            1..=LONGEST_LABEL => {}
            _ => return Err("there are at most 63 bytes between two dots"),
        }
    }
    Ok(Kind::Name(name.to_owned(), port))
}

/// An IPv6 address, perhaps with a scope.
fn scoped(text: &str, port: u16) -> Checked {
    let (address, scope) = match text.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<Ipv6Addr>() else {
        return Err("only an IPv6 address has colons or brackets, and this is none");
    };
    let number = match scope {
        None => Some(0),
        Some(scope) => number(scope),
    };
    if let Some(scope) = number {
        return Ok(Kind::Address(SocketAddrV6::new(ip, port, 0, scope).into()));
    }
    check_characters(text)?;
    match scope {
        Some("") => Err("there is nothing after the %"),
        _ if text.len() > LONGEST_NAME => Err("a name has at most 253 bytes"),
        // The resolver knows the numbers of the interfaces.
        _ => Ok(Kind::Name(text.to_owned(), port)),
    }
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    if !text.is_ascii() {
        return Err("a name is ASCII; write an international one in its form with xn--");
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a name has neither spaces nor control characters");
    }
    Ok(())
}

fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// Only digits: `parse` alone would allow a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The error. A message need not show more than the beginning of a text that may be immense.
fn refusal(text: &str, reason: &'static str) -> Error {
    let mut host: String = text.chars().take(80).collect();
    if host.len() < text.len() {
        host.push('…');
    }
    Error::Host { host, reason }
}

impl FromStr for Host {
    type Err = Error;

    /// Reads `name:port`, `192.0.2.1:80`, `[2001:db8::1]:80` or `[fe80::1%eth0]:80`.
    fn from_str(text: &str) -> Result<Host> {
        let parts = if in_brackets(text).is_none() { text.rsplit_once(':') } else { None };
        let (name, port) = parts.ok_or_else(|| refusal(text, "write it as name:port"))?;
        if name.contains(':') && in_brackets(name).is_none() {
            return Err(refusal(text, "an IPv6 address before a port needs brackets"));
        }
        let port = number(port).ok_or_else(|| refusal(text, "a port is a number up to 65535"))?;
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
        Host(Kind::Address(address))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Address(address) => write!(f, "{address}"),
            Kind::Name(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Kind::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
