//! Error messages for texts that are no address.

use std::io;
use std::net::IpAddr;

/// Longest part of a text that a message shows, in characters. The text may be a stranger's input.
const SHOWN: usize = 80;

/// Returns the error for `text`, which cannot be read as an address.
pub(super) fn refused(text: &str) -> io::Error {
    let message = format!("{} is no address: {}", quoted(text), reason(text));
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Returns `text` in quotation marks with special characters escaped. Of a long text it is the
/// beginning and the length.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

const FORMS: &str = "expected IP:PORT, [IPv6]:PORT, unix:PATH or an absolute path";

fn reason(text: &str) -> String {
    if is_ip(text) {
        return format!("it has no port; {FORMS}");
    }
    match text.rsplit_once(':') {
        Some((host, _)) if is_ip(host) && host.contains(':') && !host.starts_with('[') => {
            "an IPv6 address before a port needs brackets".into()
        }
        Some((host, port)) if is_ip(host) && port.is_empty() => "its port is missing".into(),
        Some((host, _)) if is_ip(host) => "a port is a number up to 65535".into(),
        _ => format!("{FORMS}; a host's name has to be looked up first"),
    }
}

/// True for an IP address, in brackets or without.
fn is_ip(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_is_wrong() {
        for (text, expected) in [
            ("127.0.0.1:99999", "a port is a number up to 65535"),
            ("127.0.0.1:http", "a port is a number up to 65535"),
            ("[::1]:-1", "a port is a number up to 65535"),
            ("127.0.0.1:", "its port is missing"),
            ("127.0.0.1", "it has no port; expected IP:PORT"),
            ("[::1]", "it has no port; expected IP:PORT"),
            ("::1", "it has no port; expected IP:PORT"),
            ("fe80::1:99999", "an IPv6 address before a port needs brackets"),
            ("localhost:80", "a host's name has to be looked up first"),
            ("localhost:99999", "a host's name has to be looked up first"),
            ("", "a host's name has to be looked up first"),
        ] {
            let said = refused(text).to_string();
            assert!(said.starts_with(&format!("{text:?} is no address: ")), "{said}");
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_long_text_is_not_shown_whole() {
        let said = refused(&"é".repeat(100_000)).to_string();
        assert!(said.len() < 500, "{}", said.len());
        assert!(said.contains("é\"… (200000 bytes) is no address"), "{said}");
        assert_eq!(quoted(&"x".repeat(80)), format!("{:?}", "x".repeat(80)));
    }
}
