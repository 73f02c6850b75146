//! The programs in `examples/`, run like a user runs them. Each does what its first lines describe.
//!
//! `cargo test` builds them first. `cargo test --test examples` alone does not, and runs existing
//! binaries.

mod examples {
    pub mod program;

    mod black_box;
    mod daemon;
    mod dump;
    mod echo;
    mod embed;
    mod faults;
    mod glib_source;
    mod handover;
    mod haproxy;
    mod metrics;
    mod promise;
    mod proxy;
    mod restarts;
    #[path = "../../sys/tests/short_dir/mod.rs"]
    mod short_dir;
    mod signals;
    mod supervise;
    mod systemd;
    mod threads;
    mod timers;
    mod tour;
    mod udp_echo;
    #[path = "../guide/unit_files.rs"]
    mod unit_files;
    mod workers;
}
