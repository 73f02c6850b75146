//! The programs in `examples/`, run as their users run them: they do what their first lines
//! promise.
//!
//! `cargo test` builds them first; `cargo test --test examples` alone does not, and takes the ones
//! that are there.

mod examples {
    pub mod program;

    mod echo;
    mod embed;
    mod faults;
    mod glib_source;
    #[cfg(feature = "hyper")]
    mod hyper_server;
    mod promise;
    mod proxy;
    mod signals;
    mod supervisor;
    mod threads;
    mod timers;
    mod tour;
    mod udp_echo;
    mod workers;
}
