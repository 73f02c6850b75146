//! Charts of a sheet, as SVG that needs no font, script or style of its own.

use crate::figures::median;
use crate::sheet::{Column, Sheet, figure};

const LABELS: f64 = 130.0;
const BARS: f64 = 420.0;
const FIGURES: f64 = 110.0;
const ROW: f64 = 18.0;
const HEADING: f64 = 34.0;

/// A bar that is longer than so many times the shortest one is cut, or the others could not be told
/// apart.
const LONGEST: f64 = 5.0;

const OURS: &str = "#1f6feb";
const RAW: &str = "#57606a";
const OTHERS: &str = "#afb8c1";

/// A panel of bars for each column, the shortest first; shorter is better.
pub fn bars(sheet: &Sheet) -> String {
    let mut panels = String::new();
    let mut top = HEADING;
    for column in &sheet.columns {
        let (panel, height) = panel(column, top);
        panels += &panel;
        top += height;
    }
    let heading = format!("{} ({}; shorter is better)", sheet.title, sheet.unit);
    let title = text(8.0, 20.0, "bold", &heading);
    page(LABELS + BARS + FIGURES, top + 8.0, &format!("{title}{panels}"))
}

fn panel(column: &Column, top: f64) -> (String, f64) {
    let with_median = |(name, figures): &(&'static str, Vec<f64>)| {
        (!figures.is_empty()).then(|| (*name, median(figures.iter().copied())))
    };
    let mut bars: Vec<(&str, f64)> = column.figures.iter().filter_map(with_median).collect();
    bars.sort_by(|one, other| one.1.total_cmp(&other.1));
    let shortest = bars.first().map_or(1.0, |bar| bar.1);
    let limit = bars.last().map_or(1.0, |bar| bar.1).min(shortest * LONGEST);
    let mut svg = text(8.0, top + 14.0, "bold", &column.name);
    for (number, (name, value)) in bars.iter().enumerate() {
        let y = top + ROW * (number + 1) as f64;
        let width = BARS * value.min(limit) / limit;
        let (colour, cut) = (colour(name), if *value > limit { " »" } else { "" });
        svg += &text(16.0, y + 13.0, "normal", name);
        svg += &format!(
            "<rect x=\"{LABELS}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\" fill=\"{colour}\"/>\n",
            y + 3.0
        );
        let label = format!("{cut} {}", figure(*value));
        svg += &text(LABELS + width + 4.0, y + 13.0, "normal", label.trim());
    }
    (svg, ROW * (bars.len() + 1) as f64 + 10.0)
}

pub fn colour(peer: &str) -> &'static str {
    match peer {
        name if name.starts_with("mainspring") => OURS,
        "raw" => RAW,
        _ => OTHERS,
    }
}

pub fn text(x: f64, y: f64, weight: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-weight=\"{weight}\">{text}</text>\n")
}

pub fn page(width: f64, height: f64, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{content}</svg>\n"
    )
}
