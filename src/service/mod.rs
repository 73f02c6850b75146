//! Service managers: inherited sockets, readiness, watchdog, reload, and stop.
//!
//! A [`Service`] is the process's connection to the service manager that started it: systemd, s6,
//! or another one with the same conventions. Without a manager each part does nothing, or does what
//! a program would do on its own. So one program runs in all of these environments. Each part can
//! be used alone.
//!
//! ```
//! use std::net::TcpListener;
//! use std::time::Duration;
//! use mainspring::{EventLoop, Signal, service::Service};
//!
//! let service = Service::from_env()?; // first in `main`, before threads and children
//! let mut el = EventLoop::with_state("the configuration")?;
//!
//! let listener = service.listener("http", || TcpListener::bind("127.0.0.1:0"))?;
//! let server = el.serve(listener, |_, _, conn, data| Ok(_ = conn.write(data)))?;
//!
//! service.on_reload(&el, Signal::HUP, |_, state| *state = "a new configuration")?;
//! service.on_stop(&el, &[Signal::TERM, Signal::INT], move |el, _| {
//!     server.close(); // new clients are refused; connections go on
//!     let server = server.clone();
//!     let limit = el.call_later(Duration::from_secs(5), move |_, _| server.abort_clients());
//!     el.set_background(limit);
//! })?;
//! service.keep_watchdog(&el)?;
//! service.ready()?;
//! # Signal::TERM.raise()?;
//! el.run()?; // returns when the last client is gone
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! [The guide](crate::guide::a_daemon_from_zero_to_systemd) builds such a daemon, with its units.
//!
//! [`drain_on`] is for services of tasks: it begins a [`Shutdown`](crate::Shutdown), which waits
//! for the futures that were passed to [`track`](crate::Shutdown::track). It does not wait for
//! connections of [`serve`](crate::LoopHandle::serve).
//!
//! | part | systemd | s6 |
//! |---|---|---|
//! | [`listener`], [`listeners`] | a `.socket` unit | |
//! | [`ready`], [`set_ready_fd`] | `Type=notify`, `Type=notify-reload` | `notification-fd` |
//! | [`keep_watchdog`] | `WatchdogSec=` | |
//! | [`on_reload`], [`on_reload_task`] | `Type=notify-reload` | `s6-svc -h` |
//! | [`on_stop`], [`drain_on`] | `systemctl stop` | `s6-svc -d` |
//! | [`store_fd`] | `FileDescriptorStoreMax=` | |
//!
//! [`drain_on`]: Service::drain_on
//! [`keep_watchdog`]: Service::keep_watchdog
//! [`listener`]: Service::listener
//! [`listeners`]: Service::listeners
//! [`on_reload`]: Service::on_reload
//! [`on_reload_task`]: Service::on_reload_task
//! [`on_stop`]: Service::on_stop
//! [`ready`]: Service::ready
//! [`set_ready_fd`]: Service::set_ready_fd
//! [`store_fd`]: Service::store_fd

mod barrier;
mod from_env;
mod handle;
mod inherit;
mod listeners;
mod notifier;
mod notify;
mod reload;
mod report;
mod stop;
mod store;
mod variables;
mod watchdog;

pub use mainspring_sys::socket::SocketKind;

pub use self::handle::Service;
pub use self::inherit::Inherit;
