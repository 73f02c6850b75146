//! HTTP: hyper with a service that answers thirteen bytes, on the runtimes that support it.
//!
//! Connections are kept alive and have one request in flight each. Figures are the CPU time of the
//! server's process per request, and the wall time. The load runs on another core. If the wall time
//! is longer than the CPU time, the load is the slower side.

use std::io;

use super::scenario::Scenario;
use crate::comparison::Comparison;
use crate::http_load::HttpLoad;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::table::{Base, Headline, Table};

pub const SCENARIO: Scenario =
    Scenario { name: "http", about: "hyper: CPU time of the server, and requests", run };

const CELLS: &[&[usize]] = &[&[1], &[50], &[1000]];

fn run(comparison: &mut Comparison) {
    let mut cost = Table::new("hyper: CPU time of the server", "ns CPU a request", Base::Best);
    let mut wall = Table::new("hyper: wall time", "ns a request", Base::Best);
    cost.headline = Headline::Whole("hyper".to_owned());
    for cell in comparison.options.cells(&CELLS[1..2], CELLS) {
        let name = format!("{} connections", cell[0]);
        let results = comparison.measure(
            "http",
            |_| name.clone(),
            |comparison, peer| measure(comparison, peer, cell[0]),
        );
        cost.add(&name, &results, 0);
        wall.add(&name, &results, 1);
    }
    comparison.add(cost);
    comparison.add(wall);
}

fn measure(comparison: &Comparison, peer: &Peer, connections: usize) -> io::Result<Vec<f64>> {
    let server = Server::start(comparison, peer, "http")?;
    let mut load = HttpLoad::connect(server.address(), connections)?;
    let trial = connections.max(2000);
    let took = load.run(trial)?.as_secs_f64();
    let requests = (trial as f64 * comparison.options.seconds / took) as usize;
    let before = server.cpu()?;
    let took = load.run(requests)?.as_nanos();
    let spent = (server.cpu()? - before).as_nanos();
    Ok([spent, took].map(|it| it as f64 / requests as f64).to_vec())
}
