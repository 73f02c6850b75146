//! Medians and spreads of rounds.

use std::fmt;

/// Returns the median of the figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(figures).median
}

/// Median, minimum and maximum of figures.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (count, middle) = (sorted.len(), sorted.len() / 2);
        assert!(count > 0, "there is no median without figures");
        let median = (sorted[middle] + sorted[(count - 1) / 2]) / 2.0;
        Spread { median, least: sorted[0], greatest: sorted[count - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3}..{:.3})", self.median, self.least, self.greatest)
    }
}

/// Returns the interval that contains the true median with 95 % confidence, by the sign test, which
/// assumes no distribution. With fewer than six figures it is their whole range.
pub fn interval_of_median(figures: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // Probability that `below` figures or fewer are below the median: a sum of binomials.
    let (mut term, mut sum, mut below) = (0.5_f64.powi(count as i32), 0.0, 0);
    while sum + term <= 0.025 {
        sum += term;
        below += 1;
        term *= (count + 1 - below) as f64 / below as f64;
    }
    let first = below.saturating_sub(1);
    (sorted[first], sorted[count - 1 - first])
}

/// Figures of pairs of rounds: raw, mainspring.
#[derive(Debug)]
pub struct Pairs(pub Vec<[f64; 2]>);

impl Pairs {
    pub fn raw(&self) -> f64 {
        median(self.0.iter().map(|[raw, _]| *raw))
    }

    pub fn mainspring(&self) -> f64 {
        median(self.0.iter().map(|[_, ours]| *ours))
    }

    pub fn ratio(&self) -> Spread {
        Spread::of(self.0.iter().map(|[raw, ours]| ours / raw))
    }

    /// Returns both medians and the ratio, for a table.
    pub fn columns(&self) -> [String; 3] {
        [figure(self.raw()), figure(self.mainspring()), self.ratio().to_string()]
    }
}

/// Formats a figure with about three digits.
pub fn figure(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
