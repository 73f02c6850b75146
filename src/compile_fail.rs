//! X1 and P57: what must not compile. Rustdoc builds these; each has a twin that compiles, so that
//! none fails for another reason.
//!
//! What a thread sends may own nothing of its own thread:
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
//! A remote crosses threads, a handle of the loop does not, and neither does the loop:
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
//! A callback cannot run the loop that runs it:
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
//! A callback returns nothing, a result, or never; another value is refused:
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
//! A source that a loop may watch stays with the thread of that loop:
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
