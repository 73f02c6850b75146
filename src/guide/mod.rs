//! The guide: how the loop works, how to write and run a daemon, how it fits with other libraries.
//!
//! The pages in the order in which to read them. Figures are drawn by tests, from runs.
//!
//! | page | subject |
//! |---|---|
//! | [the loop in one picture](the_loop_in_one_picture) | the parts of a loop, and one tick step by step |
//! | [task lifecycle](task_lifecycle) | the states of a callback, a watcher and a task |
//! | [what `.await` does](what_await_does) | a fetch, from its call to its result |
//! | [where memory lies](where_memory_lies) | the tables of a loop, and the bytes of each entry |
//! | [concurrency models compared](concurrency_models_compared) | four models on the same work |
//! | [a daemon from zero to systemd](a_daemon_from_zero_to_systemd) | it grows from its first line to a service |
//! | [async anti-patterns](async_anti_patterns) | ten programs that misbehave, with cures; misconceptions |
//! | [debugging a stuck daemon](debugging_a_stuck_daemon) | a daemon hangs: which callback, since when, and why |
//! | [the program `mainspring`](the_program_mainspring) | the program that reads tapes: installation and options |
//! | [testing with simulated time](testing_with_simulated_time) | exact tests of timeouts and retries |
//! | [deployment](deploying) | one core, many cores, many machines behind a balancer |
//! | [inside another loop](inside_another_loop) | GLib and tokio, as a host or as a guest |
//! | [crates of the ecosystem](crates_of_the_ecosystem) | axum, tokio-postgres, redis and others on this loop |
//! | [clients of C libraries](clients_of_c_libraries) | libcurl, libpq and hiredis |
//!
//! # Porting
//!
//! For programs that use another event loop: each public symbol of it, and its counterpart here.
//!
//! | from | page |
//! |---|---|
//! | libuv | [from libuv](porting::from_libuv) |
//! | libev | [from libev](porting::from_libev) |
//! | libevent | [from libevent](porting::from_libevent) |
//! | asyncio | [from asyncio](porting::from_asyncio) |
//! | tokio, current-thread runtime | [from tokio](porting::from_tokio) |
//! | mio | [from mio](porting::from_mio) |
//! | calloop | [from calloop](porting::from_calloop) |

// A figure is an HTML block between empty lines. rustdoc removes those at the ends of a file.

#[doc = include_str!("the_loop_in_one_picture/parts.md")]
#[doc = ""]
#[doc = include_str!("figures/the_loop.svg")]
#[doc = ""]
#[doc = include_str!("the_loop_in_one_picture/one_tick.md")]
#[doc = ""]
#[doc = include_str!("figures/execution_flow.svg")]
#[doc = ""]
#[doc = include_str!("the_loop_in_one_picture/taking_turns.md")]
#[doc = ""]
#[doc = include_str!("figures/cooperative_multitasking.svg")]
#[doc = ""]
#[doc = include_str!("the_loop_in_one_picture/one_thread.md")]
pub mod the_loop_in_one_picture {}

#[doc = include_str!("task_lifecycle/callback.md")]
#[doc = ""]
#[doc = include_str!("figures/life_of_a_callback.svg")]
#[doc = ""]
#[doc = include_str!("task_lifecycle/watcher.md")]
#[doc = ""]
#[doc = include_str!("figures/life_of_a_watcher.svg")]
#[doc = ""]
#[doc = include_str!("task_lifecycle/task.md")]
#[doc = ""]
#[doc = include_str!("figures/life_of_a_task.svg")]
#[doc = ""]
#[doc = include_str!("task_lifecycle/endings.md")]
pub mod task_lifecycle {}

#[doc = include_str!("what_await_does/steps.md")]
#[doc = ""]
#[doc = include_str!("figures/one_fetch.svg")]
#[doc = ""]
#[doc = include_str!("what_await_does/waits.md")]
#[doc = ""]
#[doc = include_str!("figures/five_at_once.svg")]
#[doc = ""]
#[doc = include_str!("what_await_does/five.md")]
pub mod what_await_does {}

#[doc = include_str!("concurrency_models_compared/models.md")]
#[doc = ""]
#[doc = include_str!("figures/five_fetches.svg")]
#[doc = ""]
#[doc = include_str!("concurrency_models_compared/costs.md")]
pub mod concurrency_models_compared {}

#[doc = include_str!("a_daemon_from_zero_to_systemd.md")]
pub mod a_daemon_from_zero_to_systemd {}

#[doc = include_str!("async_anti_patterns/introduction.md")]
#[doc = include_str!("async_anti_patterns/blocking_call.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/blocking_call.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/endless_read.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/endless_read.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/swallowed_error.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/swallowed_error.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/drift.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/drift.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/accept_without_limit.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/accept_without_limit.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/partial_read.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/partial_read.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/refcell_over_a_call.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/refcell_over_a_call.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/giant_batch.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/giant_batch.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/no_water_marks.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/no_water_marks.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/idle_keep_alive.md")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/idle_keep_alive.svg")]
#[doc = ""]
#[doc = include_str!("async_anti_patterns/takeaways.md")]
pub mod async_anti_patterns {}

#[doc = include_str!("debugging_a_stuck_daemon/stuck.md")]
#[doc = ""]
#[doc = include_str!("debugging_a_stuck_daemon/lanes.svg")]
#[doc = ""]
#[doc = include_str!("debugging_a_stuck_daemon/late.md")]
pub mod debugging_a_stuck_daemon {}

#[doc = include_str!("the_program_mainspring.md")]
pub mod the_program_mainspring {}

#[doc = include_str!("where_memory_lies/stack.md")]
#[doc = ""]
#[doc = include_str!("figures/memory.svg")]
#[doc = ""]
#[doc = include_str!("where_memory_lies/bytes.md")]
pub mod where_memory_lies {}

#[doc = include_str!("testing_with_simulated_time.md")]
pub mod testing_with_simulated_time {}

#[doc = include_str!("clients_of_c_libraries.md")]
pub mod clients_of_c_libraries {}

#[doc = include_str!("crates_of_the_ecosystem.md")]
pub mod crates_of_the_ecosystem {}

#[doc = include_str!("inside_another_loop.md")]
pub mod inside_another_loop {}

#[doc = include_str!("deploying.md")]
pub mod deploying {}

/// Tables of the symbols of other event loops, each with its counterpart here.
///
/// In a table `name*` stands for all symbols that begin with `name`, and "none" means that there is
/// no counterpart; the reason follows.
pub mod porting {
    #[doc = include_str!("porting/asyncio.md")]
    pub mod from_asyncio {}
    #[doc = include_str!("porting/calloop.md")]
    pub mod from_calloop {}
    #[doc = include_str!("porting/libev.md")]
    pub mod from_libev {}
    #[doc = include_str!("porting/libevent.md")]
    pub mod from_libevent {}
    #[doc = include_str!("porting/libuv.md")]
    pub mod from_libuv {}
    #[doc = include_str!("porting/mio.md")]
    pub mod from_mio {}
    #[doc = include_str!("porting/tokio.md")]
    pub mod from_tokio {}
}
