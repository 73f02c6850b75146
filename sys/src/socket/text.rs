//! Addresses as text: formatting and parsing.
//!
//! # Invariants
//!
//! * Parsing the text of an address gives the same address.
//! * The text is printable and has one line, whatever bytes a peer's address contains.

use std::ffi::{CString, OsStr};
use std::fmt::{self, Write};
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use super::address::Address;
use super::parse_error::{parse_error, quoted};
use super::unix::{UnixAddress, invalid};

/// Separator between an IPv6 address and its flow information, if that is not zero.
const FLOW: &str = "?flowinfo=";
/// Text of a Unix address without path or name.
const UNNAMED: &str = "(unnamed)";

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(SocketAddr::V6(address)) if address.flowinfo() != 0 => {
                write!(f, "{address}{FLOW}{}", address.flowinfo())
            }
            Address::Inet(address) => address.fmt(f),
            Address::Unix(address) => address.fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Address> {
        if text.starts_with("unix:") || text.starts_with('/') {
            return text.parse().map(Address::Unix);
        }
        match text.parse() {
            Ok(address) => Ok(Address::Inet(address)),
            Err(_) => parse_special_v6(text).unwrap_or_else(|| Err(parse_error(text))),
        }
    }
}

/// Parses an IPv6 address with flow information or with an interface name. `None` if the text has
/// neither.
fn parse_special_v6(text: &str) -> Option<io::Result<Address>> {
    let (address, flow) = match text.split_once(FLOW) {
        Some((address, flow)) => (address, Some(flow.parse().ok()?)),
        None => (text, None),
    };
    let parsed = match address.parse::<SocketAddrV6>() {
        Ok(parsed) => Ok(parsed),
        Err(_) => parse_named_scope(address)?,
    };
    Some(parsed.map(|mut address| {
        address.set_flowinfo(flow.unwrap_or(0));
        Address::Inet(address.into())
    }))
}

/// Parses `[IP%NAME]:PORT`, where NAME is an interface of this machine, which the kernel looks up.
fn parse_named_scope(text: &str) -> Option<io::Result<SocketAddrV6>> {
    let (ip, rest) = text.strip_prefix('[')?.split_once('%')?;
    let (name, port) = rest.rsplit_once("]:")?;
    // std has parsed numeric scopes.
    if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut address = format!("[{ip}]:{port}").parse::<SocketAddrV6>().ok()?;
    Some(match interface(name) {
        Some(number) => {
            address.set_scope_id(number);
            Ok(address)
        }
        None => Err(invalid(format!("there is no network interface {}", quoted(name)))),
    })
}

/// Returns the number of the network interface `name`, if there is one.
fn interface(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` ends with a zero byte and outlives the call.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|number| *number != 0)
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unix:")?;
        if let Some(name) = self.as_abstract_name() {
            f.write_str("@")?;
            return write_escaped(f, name);
        }
        let Some(path) = self.as_pathname() else { return f.write_str(UNNAMED) };
        let path = path.as_os_str().as_bytes();
        match path {
            // The first character is escaped if the path would look like an abstract name or like
            // no name.
            [first @ (b'@' | b'('), rest @ ..] => {
                write_hex(f, &[*first])?;
                write_escaped(f, rest)
            }
            path => write_escaped(f, path),
        }
    }
}

/// Writes printable text unchanged, and every other byte as `\xNN`.
fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => f.write_str(r"\\")?,
                '\'' | '"' => f.write_char(char)?,
                // `escape_debug` leaves printable characters unchanged.
                _ if char.escape_debug().len() == 1 => f.write_char(char)?,
                _ => write_hex(f, char.encode_utf8(&mut [0; 4]).as_bytes())?,
            }
        }
        write_hex(f, chunk.invalid())?;
    }
    Ok(())
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, r"\x{byte:02x}"))
}

impl FromStr for UnixAddress {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<UnixAddress> {
        let Some(text) = text.strip_prefix("unix:") else {
            return match text.strip_prefix('@') {
                Some(name) => UnixAddress::from_abstract_name(name),
                None => UnixAddress::from_pathname(text),
            };
        };
        if text == UNNAMED {
            return Ok(UnixAddress::unnamed());
        }
        match text.strip_prefix('@') {
            Some(name) => UnixAddress::from_abstract_name(unescaped(name)?),
            None => UnixAddress::from_pathname(OsStr::from_bytes(&unescaped(text)?)),
        }
    }
}

/// Decodes the text of [`write_escaped`]. Other escapes of Rust's byte strings are accepted too.
fn unescaped(text: &str) -> io::Result<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = escaped_byte(escape).ok_or_else(|| bad_escape(escape))?;
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Returns the byte of an escape, and the length of the escape without its backslash.
fn escaped_byte(escape: &str) -> Option<(u8, usize)> {
    let byte = match *escape.as_bytes().first()? {
        b'x' => {
            let digits =
                escape.get(1..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            return Some((u8::from_str_radix(digits, 16).ok()?, 3));
        }
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        itself @ (b'\\' | b'\'' | b'"') => itself,
        _ => return None,
    };
    Some((byte, 1))
}

fn bad_escape(escape: &str) -> io::Error {
    let shown: String = escape.chars().take(3).collect();
    let shown = quoted(&format!("\\{shown}"));
    invalid(format!(r"invalid escape {shown}: after unix: write a backslash as \\, a byte as \xNN"))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::address::tests::any_address;
    use super::*;

    fn path(bytes: &[u8]) -> Address {
        UnixAddress::from_pathname(OsStr::from_bytes(bytes)).unwrap().into()
    }

    fn assert_parsed_back(address: &Address) {
        let text = address.to_string();
        assert_eq!(text.parse::<Address>().ok().as_ref(), Some(address), "{text}");
        if let Address::Unix(address) = address {
            assert_eq!(text.parse::<UnixAddress>().ok().as_ref(), Some(address), "{text}");
        }
        assert!(!text.contains(char::is_control), "{text:?}");
    }

    proptest! {
        #![proptest_config(crate::socket::cases(4000))]

        #[test]
        fn every_address_is_parsed_back_from_its_text(address in any_address()) {
            assert_parsed_back(&address);
        }

        /// Bytes with a special meaning somewhere: in Rust, in a shell, in a terminal, in this
        /// text.
        #[test]
        fn special_bytes_are_parsed_back(
            bytes in vec(prop::sample::select(&b"@\\'\"x0n()/.: \n\x1b\x7f\xc3\xbc\xe2\x80\xae"[..]), 1..20),
        ) {
            assert_parsed_back(&path(&bytes));
            if cfg!(has_abstract_unix) {
                assert_parsed_back(&UnixAddress::from_abstract_name(&bytes).unwrap().into());
            }
        }

        #[test]
        fn any_text_is_an_address_or_an_error(text in r#"(unix:|\[|@)?[\\@x0-9a-f:%/?=.\]é"]{0,12}"#) {
            if let Ok(address) = text.parse::<Address>() {
                assert_parsed_back(&address);
            }
        }
    }

    #[test]
    fn special_names_are_parsed_back() {
        for bytes in [&b"@x"[..], b"(unnamed)", b"(", b"\\", b"\\x41", b"/a\xff", b"it's \"it\""] {
            assert_parsed_back(&path(bytes));
        }
        assert_parsed_back(&UnixAddress::unnamed().into());
        assert_eq!(path(b"@x").to_string(), r"unix:\x40x");
        assert_eq!(path("/ü\u{202e}".as_bytes()).to_string(), r"unix:/ü\xe2\x80\xae");
        assert_eq!(UnixAddress::unnamed().to_string(), "unix:(unnamed)");
    }

    #[test]
    fn addresses_are_parsed() {
        for text in ["127.0.0.1:80", "[::1]:0", "[fe80::1%3]:22", "[::1]:1?flowinfo=7"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["unix:/run/x", "unix:x", "unix:./@x"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("/run/x".parse::<Address>().unwrap().to_string(), "unix:/run/x");
        assert_eq!(r"/run/\x".parse::<Address>().unwrap(), path(br"/run/\x"), "literally");
        assert_eq!(r"unix:/run/\\x\x0a".parse::<Address>().unwrap(), path(b"/run/\\x\n"));
        for text in ["", "unix:", "localhost:80", "127.0.0.1", "::1:80", "x", "127.0.0.1:65536"] {
            let refused = text.parse::<Address>().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{text:?}");
        }
        for text in [r"unix:\", r"unix:\q", r"unix:\x4", r"unix:\xé", r"unix:/a\x+1", "unix:a\0"] {
            let refused = text.parse::<Address>().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{text:?}");
        }
        if cfg!(has_abstract_unix) {
            let name: Address = "unix:@a b".parse().unwrap();
            assert_eq!(name.as_unix().unwrap().as_abstract_name(), Some(&b"a b"[..]));
            assert_eq!(name.to_string(), "unix:@a b");
        }
    }

    /// Every machine has a loopback interface, with one of these names.
    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel for its interfaces")]
    fn a_scope_may_be_the_name_of_an_interface() {
        let read = |name: &str| format!("[fe80::1%{name}]:22").parse::<Address>();
        let Some(found) = ["lo", "lo0"].iter().find_map(|name| read(name).ok()) else {
            return; // This system has no loopback interface, or its name is unusual.
        };
        let Address::Inet(SocketAddr::V6(found)) = found else { panic!("{found}") };
        assert!(found.scope_id() != 0 && found.port() == 22, "{found}");
        assert_parsed_back(&Address::Inet(found.into()));
        let unknown = read("no-such-interface").unwrap_err();
        assert!(unknown.to_string().contains("\"no-such-interface\""), "{unknown}");
        for text in ["[fe80::1%]:22", "[fe80::1%lo]", "[127.0.0.1%lo]:1", "fe80::1%lo:22"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
