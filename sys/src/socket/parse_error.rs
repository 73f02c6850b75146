//! Error messages for texts that are not addresses.

use std::io;
use std::net::IpAddr;

/// Longest part of a text that a message shows, in characters. The text may be untrusted input.
const SHOWN: usize = 80;

/// Returns the error for `text`, which cannot be parsed as an address.
pub(super) fn parse_error(text: &str) -> io::Error {
    let message = format!("{} is not an address: {}", quoted(text), reason(text));
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Returns `text` in quotation marks, with special characters escaped. Of a long text, only the
/// beginning and the length are shown.
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
        _ => format!("{FORMS}; look up the host name first"),
    }
}

/// Returns true for an IP address, with or without brackets.
fn is_ip(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_explains_the_error() {
        for (text, expected) in [
            ("127.0.0.1:99999", "a port is a number up to 65535"),
            ("127.0.0.1:http", "a port is a number up to 65535"),
            ("[::1]:-1", "a port is a number up to 65535"),
            ("127.0.0.1:", "its port is missing"),
            ("127.0.0.1", "it has no port; expected IP:PORT"),
            ("[::1]", "it has no port; expected IP:PORT"),
            ("::1", "it has no port; expected IP:PORT"),
            ("fe80::1:99999", "an IPv6 address before a port needs brackets"),
            ("localhost:80", "look up the host name first"),
            ("localhost:99999", "look up the host name first"),
            ("", "look up the host name first"),
        ] {
            let message = parse_error(text).to_string();
            assert!(message.starts_with(&format!("{text:?} is not an address: ")), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_long_text_is_shortened() {
        let message = parse_error(&"é".repeat(100_000)).to_string();
        assert!(message.len() < 500, "{}", message.len());
        assert!(message.contains("é\"… (200000 bytes) is not an address: "), "{message}");
        assert_eq!(quoted(&"x".repeat(80)), format!("{:?}", "x".repeat(80)));
    }
}
