use super::program::{Program, command, run};

/// Returns the lines with this prefix, without the prefix.
fn said<'a>(who: &str, stdout: &'a str) -> Vec<&'a str> {
    stdout.lines().filter_map(|line| line.strip_prefix(who)).collect()
}

#[test]
fn jobs_go_through_both_loops() {
    let ending = Program::spawn(command("embed").env_remove("MAINSPRING_SELECTOR")).end();
    let stdout = ending.success();
    assert_eq!(
        said("guest: job ", &stdout),
        ["1 from the thread", "2 from the thread", "3 from the thread"]
    );
    assert_eq!(said("host: job ", &stdout), ["1", "2", "3"]);
    assert_eq!(said("guest: answer ", &stdout), ["1", "2", "3"]);
    assert_eq!(said("guest: the timer", &stdout), [" of 50 ms"]);
    assert!(stdout.ends_with("host: the guest has nothing left to do\n"), "{stdout}");
}

#[test]
fn reports_a_selector_without_a_descriptor() {
    for selector in ["poll", "select"] {
        let ending = Program::spawn(command("embed").env("MAINSPRING_SELECTOR", selector)).end();
        assert!(ending.complaint(1).contains("this selector has no descriptor"));
    }
}

#[test]
fn refuses_arguments() {
    assert_eq!(run("embed", &["x"]).complaint(2), "embed: unexpected argument \"x\"\n");
}
