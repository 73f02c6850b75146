//! Command line and Unix listener of the echo daemons.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use mainspring::net::{Address, ListenOptions, SocketFile, listen};
use mainspring::{Error, Result, SelectorKind};

/// Command line: `[ADDR] [--unix PATH] [--selector KIND]`.
#[derive(Debug)]
pub struct Options {
    pub address: Address,
    pub unix: Option<PathBuf>,
    pub selector: Option<SelectorKind>,
}

impl Options {
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options { address: "127.0.0.1:0".parse()?, unix: None, selector: None };
        let mut address = None;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| bad(format!("{arg} needs a value")));
            match arg.as_str() {
                "--unix" => options.unix = Some(value()?.into()),
                "--selector" => options.selector = Some(value()?.parse()?),
                _ if arg.starts_with('-') => return Err(bad(format!("there is no option {arg}"))),
                _ if address.is_some() => return Err(bad(format!("one address only, not {arg}"))),
                _ => address = Some(arg),
            }
        }
        if let Some(address) = address {
            let parsed = address.parse();
            options.address =
                parsed.map_err(|error| bad(format!("bad address {address:?}: {error}")))?;
        }
        Ok(options)
    }
}

fn bad(message: String) -> Error {
    Error::other(format!("{message}; usage: [ADDR] [--unix PATH] [--selector KIND]"))
}

/// Listens at a path, which a killed daemon may have left behind. The file is removed with the
/// daemon, unless another daemon has taken it over.
pub fn listen_at(path: &Path) -> Result<(OwnedFd, SocketFile)> {
    let mut options = ListenOptions::default();
    options.bind.replace_stale = true;
    let listener = listen(path, &options)?;
    let file = SocketFile::of(&listener)?;
    Ok((listener, file))
}
