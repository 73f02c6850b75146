//! The unit files of the guide: blocks of a page that begin with the name of the file.

/// The page with the units.
const PAGE: &str = include_str!("../../src/guide/a_daemon_from_zero_to_systemd.md");

/// Returns the unit file with this name.
pub fn unit(name: &str) -> &'static str {
    let start = format!("```ini\n# {name}\n");
    let (_, unit) = PAGE.split_once(&start).expect("the page has this unit");
    unit.split_once("```").expect("a block has an end").0
}
