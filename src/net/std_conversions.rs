//! The conversions that every socket of tasks has: from std's type, to it, and to the descriptor.

/// Implements the conversions of a type with `from_std` and `into_std`. The caller imports
/// `OwnedFd`, `Error` and `Result`.
macro_rules! std_conversions {
    ($socket:ident, $std:ty) => {
        impl TryFrom<$std> for $socket {
            type Error = Error;

            #[track_caller]
            fn try_from(socket: $std) -> Result<$socket> {
                $socket::from_std(socket)
            }
        }

        impl From<$socket> for $std {
            fn from(socket: $socket) -> $std {
                socket.into_std()
            }
        }

        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> OwnedFd {
                socket.into_std().into()
            }
        }
    };
}

pub(super) use std_conversions;
