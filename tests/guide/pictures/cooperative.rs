//! Cooperative multitasking (docs/contract.md, G4).

use mainspring::yield_now;

use super::lanes::{Chart, Lane};
use super::{Step, files, ms, recorded, steps, turns_of};
use crate::support::on_every_selector;

const TASKS: [&str; 3] = ["task A", "task B", "task C"];

#[test]
fn g4_tasks_take_turns_at_their_awaits() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        for name in TASKS {
            let time = clock.clone();
            let task = el.spawn(async move {
                for _ in 0..3 {
                    time.advance(ms(8));
                    yield_now().await;
                }
            });
            task.named(name).detach();
        }
        el.run().unwrap();
        let steps = steps(&el.tape().unwrap(), clock.elapsed());
        let mut turns: Vec<&Step> = steps.iter().filter(|step| !step.is_sleep()).collect();
        // The last poll of each task finds nothing more to do.
        let last = turns.split_off(9);
        assert!(last.iter().all(|turn| turn.lasted.is_zero()));
        let names: Vec<&str> = turns.iter().map(|turn| turn.name.as_str()).collect();
        assert_eq!(names, TASKS.repeat(3));
        // One at a time, and one right after the other.
        assert!(turns.windows(2).all(|turns| turns[0].end() == turns[1].at));
        assert!(turns.iter().all(|turn| turn.lasted == ms(8)));
        for name in TASKS {
            assert_eq!(turns_of(&steps, name).len(), 4);
        }
        let ran: Vec<Step> = turns.into_iter().cloned().collect();
        let title = "Cooperative multitasking: three tasks on one thread".to_owned();
        let lanes = TASKS.iter().map(|name| Lane::of_task(&ran, name)).collect();
        let runs = vec![(String::new(), lanes)];
        let chart = Chart { title, length: ms(72), mark: ms(24), runs };
        files::compare("cooperative_multitasking", &chart.svg());
    });
}
