//! X1 and P57: programs that must not compile, as documentation tests. Each follows a similar
//! program that compiles, so that it fails for the intended reason.
//!
//! A closure that is sent to the loop must be `Send`:
//!
//! ```
//! let el = mainspring::EventLoop::new()?;
//! let shared = std::sync::Arc::new(());
//! el.remote().call_soon(move |_, ()| drop(shared))?;
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0277
//! let el = mainspring::EventLoop::new()?;
//! let shared = std::rc::Rc::new(());
//! el.remote().call_soon(move |_, ()| drop(shared))?;
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! A `Remote` is `Send`. A `LoopHandle` and an `EventLoop` are not:
//!
//! ```
//! let el = mainspring::EventLoop::new()?;
//! let remote = el.remote();
//! std::thread::spawn(move || remote.stop()).join().unwrap()?;
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0277
//! let el = mainspring::EventLoop::new()?;
//! let handle = el.handle().clone();
//! std::thread::spawn(move || handle.stop()).join().unwrap();
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0277
//! let mut el = mainspring::EventLoop::new()?;
//! std::thread::spawn(move || el.run()).join().unwrap()?;
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! A callback cannot run its own loop:
//!
//! ```
//! let el = mainspring::EventLoop::new()?;
//! el.call_soon(|el: &mainspring::LoopHandle, ()| el.stop());
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0599
//! let el = mainspring::EventLoop::new()?;
//! el.call_soon(|el: &mainspring::LoopHandle, ()| el.run());
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! A callback returns `()`, a `Result`, or never returns. Any other value is a type error:
//!
//! ```
//! let el = mainspring::EventLoop::new()?;
//! el.call_soon(|_, ()| std::process::abort());
//! el.call_soon(|_, ()| -> mainspring::Result<()> { Err(mainspring::Error::Closed) });
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0277
//! let el = mainspring::EventLoop::new()?;
//! el.call_soon(|_, ()| 42);
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0277
//! let el = mainspring::EventLoop::new()?;
//! el.add_signal_handler(mainspring::Signal::TERM, |_, ()| Some(()))?;
//! # Ok::<(), mainspring::Error>(())
//! ```
//!
//! A source that a loop may watch cannot leave the loop's thread:
//!
//! ```
//! let (_reader, writer) = std::io::pipe()?;
//! let writer = mainspring::Io::new(writer)?.into_inner();
//! std::thread::spawn(move || drop(writer)).join().unwrap();
//! # Ok::<(), mainspring::Error>(())
//! ```
//! ```compile_fail,E0277
//! let (_reader, writer) = std::io::pipe()?;
//! let writer = mainspring::Io::new(writer)?;
//! std::thread::spawn(move || drop(writer)).join().unwrap();
//! # Ok::<(), mainspring::Error>(())
//! ```
