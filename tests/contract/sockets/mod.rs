//! Connecting, name lookup and the socket types (S5 of docs/contract.md).

mod address_forms;
mod connect;
mod datagrams;
mod happy_eyeballs;
mod name_lookup;
mod socket_calls;
mod socket_table;
mod task_sockets;
