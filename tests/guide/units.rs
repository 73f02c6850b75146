//! The unit files of the guide, checked by systemd (docs/contract.md, G12).

use std::env;
use std::fs;
use std::process::{self, Command};

use super::unit_files::unit;

#[test]
fn g12_systemd_accepts_the_units() {
    let folder = env::temp_dir().join(format!("mainspring-units-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    // The program of the page is not installed here.
    let service = unit("motd.service").replace("/usr/local/bin/daemon", "/bin/true");
    fs::write(folder.join("motd.service"), service).unwrap();
    fs::write(folder.join("motd.socket"), unit("motd.socket")).unwrap();
    let files = ["motd.service", "motd.socket"].map(|name| folder.join(name));
    let ending = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(files).output();
    fs::remove_dir_all(&folder).unwrap();
    match ending {
        Ok(ending) => {
            let errors = String::from_utf8(ending.stderr).unwrap();
            let ours: Vec<&str> = errors.lines().filter(|line| line.contains("motd")).collect();
            assert!(ending.status.success() && ours.is_empty(), "{errors}");
        }
        Err(_) => println!("skipped: systemd-analyze is not installed"),
    }
}
