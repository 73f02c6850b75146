//! The life of a service (docs/contract.md, section L).

mod activation;
mod command_line;
mod environment;
mod listeners;
mod manager;
mod notifications;
mod real_systemd;
mod reload;
mod stop;
mod store;
mod watchdog;
