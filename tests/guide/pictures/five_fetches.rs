//! Five URLs, fetched at once (docs/contract.md, G5).

use mainspring::gather;
use mainspring::net::UnixStream;

use super::lanes::{Chart, Lane};
use super::one_fetch::{Log, fetch_data, serve};
use super::{files, ms, recorded, steps, turns_of};
use crate::support::on_every_selector;

const FETCHES: [&str; 5] = ["URL 1", "URL 2", "URL 3", "URL 4", "URL 5"];

#[test]
fn g5_five_fetches_wait_at_the_same_time() {
    on_every_selector(|kind| {
        let (mut el, clock) = recorded(kind, ());
        let fetches: Vec<_> = FETCHES
            .iter()
            .map(|name| {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let fetch = el.spawn(fetch_data(ours, clock.clone(), Log::default())).named(name);
                el.spawn(serve(theirs)).named("server").detach();
                fetch
            })
            .collect();
        let bodies = el.run_until_complete(gather(fetches)).unwrap().unwrap();
        assert_eq!(bodies.len(), 5);
        let total = clock.elapsed();
        let steps = steps(&el.tape().unwrap(), total);

        let mut one_after_the_other = ms(0);
        for (shift, name) in (0..).zip(FETCHES) {
            let turns: Vec<_> =
                turns_of(&steps, name).iter().map(|turn| (turn.at, turn.lasted)).collect();
            // Starts, waits for the header, waits for the body, returns: 3 ms of work.
            let expected = [0, 151, 201].map(|at| (ms(at + shift), ms(1)));
            assert_eq!(turns, expected, "{name}");
            one_after_the_other += turns[2].0 + turns[2].1 - turns[0].0;
        }
        // The waits overlap: five fetches take little longer than one.
        assert_eq!((total, one_after_the_other), (ms(206), ms(1010)));
        let title = "Five fetches at the same time, on one thread";
        let lanes = FETCHES.iter().map(|name| Lane::of_task(&steps, name)).collect();
        let runs = vec![(String::new(), lanes)];
        let chart = Chart { title: title.to_owned(), length: total, mark: ms(50), runs };
        files::compare("five_at_once", &chart.svg());
    });
}
