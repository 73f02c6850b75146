//! A figure as an SVG text: shapes and labels. A label overlaps nothing (docs/contract.md, G7).
//!
//! A figure is 360 units wide, so its text has its real size on a phone. Its colours follow the
//! theme of the page: of rustdoc, or else of the system.

/// Width of a figure.
pub const WIDTH: f64 = 360.0;

/// Space between the content and the edge.
pub const MARGIN: f64 = 12.0;

/// Size of a text and of a note.
pub const TEXT: f64 = 12.0;
pub const NOTE: f64 = 11.0;

/// Width of a character in units of the size of the font; the widest of the usual fonts.
const CHARACTER: f64 = 0.61;

/// The style. Each rule begins with the class of the figure, because it applies to the whole page.
const STYLE: &str = include_str!("../../../src/guide/figures/style.css");

/// Colours of lanes, by number.
pub const COLOURS: &[&str] = &["a", "b", "c", "d", "e"];

pub type Point = (f64, f64);

/// The point of a label that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug, Default)]
pub struct Figure {
    title: String,
    /// Sentences with the content, for readers that do not see the figure.
    description: Vec<String>,
    content: String,
    labels: Vec<Label>,
    /// Corners of the rectangles, and ends of the lines.
    rects: Vec<(Point, Point)>,
    lines: Vec<(Point, Point)>,
}

/// The area that a text covers.
#[derive(Debug)]
struct Label {
    text: String,
    from: Point,
    to: Point,
}

impl Figure {
    /// Begins a figure.
    pub fn new(title: &str) -> Figure {
        Figure { title: title.to_owned(), ..Figure::default() }
    }

    /// Adds a sentence to the content in words.
    pub fn describe(&mut self, sentence: &str) {
        self.description.push(escaped(sentence));
    }

    /// Adds a text of the usual size, with its base line at `at`.
    pub fn text(&mut self, at: Point, anchor: Anchor, class: &str, text: &str) {
        self.sized_text(at, anchor, class, TEXT, text);
    }

    /// Adds a note: a smaller, fainter text.
    pub fn note(&mut self, at: Point, anchor: Anchor, text: &str) {
        self.sized_text(at, anchor, "faint", NOTE, text);
    }

    fn sized_text(&mut self, (x, y): Point, anchor: Anchor, class: &str, size: f64, text: &str) {
        let width = width_of(text, size);
        let (left, word) = match anchor {
            Anchor::Start => (x, "start"),
            Anchor::Middle => (x - width / 2.0, "middle"),
            Anchor::End => (x - width, "end"),
        };
        let (from, to) = ((left, y - 0.8 * size), (left + width, y + 0.25 * size));
        self.labels.push(Label { text: text.to_owned(), from, to });
        self.content += &format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{word}\" \
             font-size=\"{size:.0}\">{}</text>\n",
            escaped(text)
        );
    }

    /// Adds a rectangle. A label is inside or outside of it.
    pub fn rect(&mut self, class: &str, (x, y): Point, (width, height): Point, radius: f64) {
        self.rects.push(((x, y), (x + width, y + height)));
        self.content += &format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" rx=\"{radius:.0}\"/>\n"
        );
    }

    /// Adds a line through points.
    pub fn line(&mut self, class: &str, points: &[Point]) {
        self.lines.extend(points.windows(2).map(|ends| (ends[0], ends[1])));
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        self.content += &format!("<path class=\"{class}\" d=\"M{}\"/>\n", points.join("L"));
    }

    /// Adds a line through points, with a head at the last one.
    pub fn arrow(&mut self, points: &[Point]) {
        let [.., before, tip] = points else { panic!("an arrow has two points") };
        let (dx, dy) = (tip.0 - before.0, tip.1 - before.1);
        let length = dx.hypot(dy);
        let (dx, dy) = (dx / length, dy / length);
        let back = (tip.0 - 7.0 * dx, tip.1 - 7.0 * dy);
        let mut points = points.to_vec();
        if let Some(last) = points.last_mut() {
            *last = back;
        }
        self.line("line", &points);
        let (left, right) =
            ((back.0 - 4.0 * dy, back.1 + 4.0 * dx), (back.0 + 4.0 * dy, back.1 - 4.0 * dx));
        self.content += &format!(
            "<path class=\"head\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>\n",
            tip.0, tip.1, left.0, left.1, right.0, right.1
        );
    }

    /// Returns the figure, as high as given.
    #[track_caller]
    pub fn svg(self, height: f64) -> String {
        let found = self.overlaps(height);
        assert!(found.is_empty(), "{}", found.join("\n"));
        let Figure { title, description, content, .. } = self;
        assert!(!description.is_empty(), "{title} has no content in words");
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"loop-figure\" role=\"img\" \
             style=\"max-width:540px\" \
             viewBox=\"0 0 {WIDTH:.0} {height:.0}\">\n\
             <title>{}</title>\n<desc>\n{}\n</desc>\n<style>\n{STYLE}</style>\n\
             <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\"/>\n\
             {content}</svg>\n",
            escaped(&title),
            description.join("\n"),
            WIDTH - 1.0,
            height - 1.0
        )
    }

    /// Returns the labels that overlap others or shapes, or are not within the figure.
    fn overlaps(&self, height: f64) -> Vec<String> {
        let mut found = Vec::new();
        for (index, label) in self.labels.iter().enumerate() {
            let Label { text, from, to } = label;
            if from.0 < 4.0 || from.1 < 4.0 || to.0 > WIDTH - 4.0 || to.1 > height - 4.0 {
                found.push(format!("{text:?} is not within the figure: {from:?} to {to:?}"));
            }
            let others =
                self.labels[..index].iter().filter(|other| label.meets(other.from, other.to));
            found.extend(others.map(|other| format!("{text:?} overlaps {:?}", other.text)));
            let mut rects = self.rects.iter();
            if let Some(rect) = rects.find(|(a, b)| label.meets(*a, *b) && !label.is_inside(*a, *b))
            {
                found.push(format!("{text:?} overlaps the edge of {rect:?}"));
            }
            if let Some(line) = self.lines.iter().find(|(a, b)| label.is_crossed(*a, *b)) {
                found.push(format!("{text:?} overlaps the line {line:?}"));
            }
        }
        found
    }
}

/// Returns the width of a text.
pub fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * CHARACTER * size
}

/// Returns the text, escaped for XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Label {
    fn meets(&self, from: Point, to: Point) -> bool {
        let is_beside = self.to.0 <= from.0 || to.0 <= self.from.0;
        !is_beside && self.to.1 > from.1 && to.1 > self.from.1
    }

    fn is_inside(&self, from: Point, to: Point) -> bool {
        from.0 <= self.from.0 && from.1 <= self.from.1 && self.to.0 <= to.0 && self.to.1 <= to.1
    }

    /// Returns true if a line, which is horizontal or vertical, crosses the label.
    fn is_crossed(&self, a: Point, b: Point) -> bool {
        assert!(a.0 == b.0 || a.1 == b.1, "an oblique line from {a:?} to {b:?}");
        self.meets((a.0.min(b.0), a.1.min(b.1)), (a.0.max(b.0), a.1.max(b.1)))
    }
}

#[test]
fn planted_labels_that_overlap_are_found() {
    let mut figure = Figure::new("planted");
    figure.text((20.0, 20.0), Anchor::Start, "", "first");
    figure.text((20.0, 34.0), Anchor::Start, "", "below");
    figure.text((60.0, 20.0), Anchor::Start, "", "beside");
    assert_eq!(figure.overlaps(60.0), [""; 0]);
    figure.text((50.0, 24.0), Anchor::Middle, "", "over");
    figure.note((350.0, 50.0), Anchor::Middle, "outside");
    let found = figure.overlaps(60.0);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[3].starts_with("\"outside\" is not within the figure"));
}

#[test]
fn planted_shapes_under_labels_are_found() {
    let mut figure = Figure::new("planted");
    figure.rect("box", (20.0, 20.0), (100.0, 20.0), 0.0);
    figure.text((30.0, 34.0), Anchor::Start, "", "inside");
    figure.line("line", &[(20.0, 60.0), (120.0, 60.0)]);
    figure.text((30.0, 56.0), Anchor::Start, "", "above");
    assert_eq!(figure.overlaps(90.0), [""; 0]);
    figure.text((100.0, 34.0), Anchor::Start, "", "edge");
    figure.text((90.0, 64.0), Anchor::Start, "", "line");
    let found = figure.overlaps(90.0);
    assert!(found[0].starts_with("\"edge\" overlaps the edge"), "{found:?}");
    assert!(found[1].starts_with("\"line\" overlaps the line"), "{found:?}");
    assert_eq!(found.len(), 2);
}
