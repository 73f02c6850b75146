//! Keepalive, user timeout and linger: options that decide when a connection ends.
//!
//! The kernel counts these times in whole seconds or milliseconds. A [`Duration`] is rounded up, so
//! no duration becomes 0, which has another meaning (the default, or a reset).

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::option::{get, get_flag, set, set_flag};

/// Times at which a silent peer is probed. `None` leaves a value unchanged, which initially is the
/// system's default.
///
/// ```
/// use mainspring_sys::socket::{self, KeepaliveTimes};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// let idle = Some(Duration::from_millis(59_001));
/// let times = KeepaliveTimes { idle, count: Some(3), ..KeepaliveTimes::default() };
/// match socket::set_keepalive_times(&stream, &times) {
///     Ok(()) => {
///         let times = socket::keepalive_times(&stream)?;
///         assert_eq!(times.idle, Some(Duration::from_secs(60)), "rounded up");
///         assert!(socket::keepalive(&stream)?);
///     }
///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepaliveTimes {
    /// Idle time before the first probe (`TCP_KEEPIDLE`; `TCP_KEEPALIVE` on Apple systems), in
    /// whole seconds.
    pub idle: Option<Duration>,
    /// Time between two probes (`TCP_KEEPINTVL`), in whole seconds.
    pub interval: Option<Duration>,
    /// Number of unanswered probes after which the connection fails with `TimedOut`
    /// (`TCP_KEEPCNT`).
    pub count: Option<u32>,
}

/// Turns probing of a silent peer on or off (`SO_KEEPALIVE`). Unless [times](set_keepalive_times)
/// are set, the first probe is sent after two hours on most systems.
///
/// # Errors
///
/// The errors of setsockopt(2).
pub fn set_keepalive(socket: impl AsFd, on: bool) -> io::Result<()> {
    set_flag(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, on)
}

/// Returns true if a silent peer is probed.
///
/// # Errors
///
/// The errors of getsockopt(2).
pub fn keepalive(socket: impl AsFd) -> io::Result<bool> {
    get_flag(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE)
}

/// Sets the times at which a silent peer is probed, and turns keepalive on. See tcp(7).
///
/// Times are rounded up to seconds.
///
/// # Errors
///
/// `InvalidInput` for a time or a count that is zero or too large; then nothing has changed, unless
/// only the kernel refused a value (Linux: above 32767 seconds, 127 probes). `Unsupported` where
/// the system has no such options (OpenBSD); the errors of setsockopt(2).
pub fn set_keepalive_times(socket: impl AsFd, times: &KeepaliveTimes) -> io::Result<()> {
    let socket = socket.as_fd();
    let idle = times.idle.map(|time| seconds("idle time", time)).transpose()?;
    let interval = times.interval.map(|time| seconds("interval", time)).transpose()?;
    let count = times.count.map(|count| positive("count", u128::from(count))).transpose()?;
    set_keepalive_values(socket, [idle, interval, count])?;
    // Turned on last, so that the first probe already follows the new times.
    set_keepalive(socket, true)
}

/// Returns the times at which a silent peer is probed, if keepalive is on.
///
/// # Errors
///
/// `Unsupported` where the system has no such options; the errors of getsockopt(2).
pub fn keepalive_times(socket: impl AsFd) -> io::Result<KeepaliveTimes> {
    let [idle, interval, count] = keepalive_values(socket)?;
    let time = |value: u32| Some(Duration::from_secs(value.into()));
    Ok(KeepaliveTimes { idle: time(idle), interval: time(interval), count: Some(count) })
}

#[cfg(has_tcp_keepidle)]
const KEEPALIVE: [libc::c_int; 3] = [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT];
#[cfg(has_tcp_keepalive)]
const KEEPALIVE: [libc::c_int; 3] = [libc::TCP_KEEPALIVE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT];

#[cfg(any(has_tcp_keepidle, has_tcp_keepalive))]
fn set_keepalive_values(socket: impl AsFd, values: [Option<libc::c_int>; 3]) -> io::Result<()> {
    let socket = socket.as_fd();
    for (name, value) in KEEPALIVE.into_iter().zip(values) {
        if let Some(value) = value {
            set(socket, libc::IPPROTO_TCP, name, value)?;
        }
    }
    Ok(())
}

#[cfg(any(has_tcp_keepidle, has_tcp_keepalive))]
fn keepalive_values(socket: impl AsFd) -> io::Result<[u32; 3]> {
    let socket = socket.as_fd();
    let mut values = [0; 3];
    for (name, value) in KEEPALIVE.into_iter().zip(&mut values) {
        *value = get::<libc::c_int>(socket, libc::IPPROTO_TCP, name)?.unsigned_abs();
    }
    Ok(values)
}

#[cfg(not(any(has_tcp_keepidle, has_tcp_keepalive)))]
fn set_keepalive_values(_: impl AsFd, values: [Option<libc::c_int>; 3]) -> io::Result<()> {
    match values {
        [None, None, None] => Ok(()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(not(any(has_tcp_keepidle, has_tcp_keepalive)))]
fn keepalive_values(_: impl AsFd) -> io::Result<[u32; 3]> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Limits the time that sent data may stay unacknowledged before the connection fails with
/// `TimedOut` (`TCP_USER_TIMEOUT`, tcp(7)). `None` is the system's default, which retries for many
/// minutes.
///
/// The time is rounded up to milliseconds.
///
/// ```
/// use mainspring_sys::socket::{set_user_timeout, user_timeout};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// match set_user_timeout(&stream, Some(Duration::from_secs(30))) {
///     Ok(()) => assert_eq!(user_timeout(&stream)?, Some(Duration::from_secs(30))),
///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput` for zero, which the kernel takes for the default, and for more than 24 days;
/// `Unsupported` where the system has no such option (all but Linux).
pub fn set_user_timeout(socket: impl AsFd, limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.map(|limit| milliseconds("user timeout", limit)).transpose()?;
    #[cfg(has_user_timeout)]
    return set(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, limit.unwrap_or(0));
    #[cfg(not(has_user_timeout))]
    {
        let _ = (socket, limit);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns the limit of unacknowledged data; `None` for the system's default.
///
/// # Errors
///
/// `Unsupported` where the system has no such option; the errors of getsockopt(2).
pub fn user_timeout(socket: impl AsFd) -> io::Result<Option<Duration>> {
    #[cfg(has_user_timeout)]
    {
        let limit = get::<libc::c_uint>(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT)?;
        Ok((limit != 0).then(|| Duration::from_millis(limit.into())))
    }
    #[cfg(not(has_user_timeout))]
    {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Selects what close(2) does with unsent data: discard it and reset the connection (`SO_LINGER`
/// with zero), or send it in the background, which is the default.
///
/// ```
/// use mainspring_sys::socket::{linger, set_linger_zero};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// assert_eq!(linger(&stream)?, None);
/// set_linger_zero(&stream, true)?;
/// assert_eq!(linger(&stream)?, Some(Duration::ZERO));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The errors of setsockopt(2).
pub fn set_linger_zero(socket: impl AsFd, on: bool) -> io::Result<()> {
    let value = libc::linger { l_onoff: libc::c_int::from(on), l_linger: 0 };
    set(socket, libc::SOL_SOCKET, LINGER, value)
}

/// For zero, makes close(2) reset the connection; otherwise like [`set_linger_zero`] with false.
///
/// A time other than zero is ignored. With it, close(2) would block the thread until the peer has
/// all data or the time is over, even for a non-blocking socket (socket(7)). Instead the data is
/// sent in the background, without a limit. To set a limit, use [`set_user_timeout`].
///
/// # Errors
///
/// The errors of setsockopt(2).
#[deprecated = "a linger time would block the loop; use `set_linger_zero`"]
pub fn set_linger(socket: impl AsFd, linger: Option<Duration>) -> io::Result<()> {
    set_linger_zero(socket, linger == Some(Duration::ZERO))
}

/// Returns the time that close(2) waits for unsent data (`SO_LINGER`). Zero resets the connection;
/// `None` sends in the background. Other times were set by other code, and block the thread that
/// closes.
///
/// # Errors
///
/// The errors of getsockopt(2).
pub fn linger(socket: impl AsFd) -> io::Result<Option<Duration>> {
    let linger: libc::linger = get(socket, libc::SOL_SOCKET, LINGER)?;
    let time = Duration::from_secs(linger.l_linger.unsigned_abs().into());
    Ok((linger.l_onoff != 0).then_some(time))
}

#[cfg(has_so_linger_sec)]
const LINGER: libc::c_int = libc::SO_LINGER_SEC;
#[cfg(not(has_so_linger_sec))]
const LINGER: libc::c_int = libc::SO_LINGER;

fn seconds(name: &str, time: Duration) -> io::Result<libc::c_int> {
    positive(name, time.as_nanos().div_ceil(1_000_000_000))
}

fn milliseconds(name: &str, time: Duration) -> io::Result<libc::c_int> {
    positive(name, time.as_nanos().div_ceil(1_000_000))
}

/// Refuses zero, which the kernel takes for "default", and values above `c_int::MAX`.
fn positive(name: &str, value: u128) -> io::Result<libc::c_int> {
    let problem = match libc::c_int::try_from(value) {
        Ok(0) => "cannot be zero",
        Ok(value) => return Ok(value),
        Err(_) => "is too large",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the {name} {problem}")))
}
