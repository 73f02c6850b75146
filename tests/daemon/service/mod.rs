//! Service managers (docs/contract.md, section L).

mod activation;
mod command_line;
mod cross_checks;
mod environment;
mod listeners;
mod manager;
mod notifications;

mod reload;
mod stop;
mod store;
mod watchdog;
