//! Curves as SVG: two logarithmic axes, a line for each peer, readable on light and on dark.

use std::fmt::Write as _;

/// One line.
pub(crate) struct Line {
    /// What it is called in the legend.
    pub(crate) name: String,
    /// Points from left to right; all values above zero.
    pub(crate) points: Vec<(f64, f64)>,
}

/// One pair of axes.
pub(crate) struct Panel {
    /// What is shown, with its unit.
    pub(crate) title: String,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 720.0;
const PANEL_HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;
/// A viewer's own preference decides; colours of the lines are told apart in both, and by their dashes.
const STYLE: &str = "\
text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold } .grid { stroke: #ddd } .frame { stroke: #888; fill: none }
.back { fill: #fff } .line { fill: none; stroke-width: 2 } .l0 { stroke: #0b62c4 } .l1 { stroke: #c4500b; stroke-dasharray: 6 3 }
.d0 { fill: #0b62c4 } .d1 { fill: #c4500b }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .grid { stroke: #333 } .back { fill: #111 }
.l0 { stroke: #6cb2ff } .l1 { stroke: #ffa25e } .d0 { fill: #6cb2ff } .d1 { fill: #ffa25e } }";

/// Draws panels that share their horizontal axis, one below the other.
///
/// `ticks` are the places of that axis with what stands there.
pub(crate) fn draw(heading: &str, axis: &str, ticks: &[(f64, String)], panels: &[Panel]) -> String {
    let height = crate::figures::length(panels) * PANEL_HEIGHT + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{heading}</title>\n<style>{STYLE}</style>\n<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
    );
    let mut top = 0.0;
    for panel in panels {
        draw_panel(&mut svg, top, axis, ticks, panel);
        top += PANEL_HEIGHT;
    }
    svg.push_str("</svg>\n");
    svg
}

/// A logarithmic axis: from a value to a place.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let share = (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln());
        self.from + share * (self.to - self.from)
    }
}

fn draw_panel(svg: &mut String, top: f64, axis: &str, ticks: &[(f64, String)], panel: &Panel) {
    let (upper, lower) = (top + TOP, top + PANEL_HEIGHT - BOTTOM);
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let (marks, low, high) = value_marks(points().map(|(_, value)| *value));
    let places = ticks.iter().map(|(place, _)| *place);
    let horizontal = Scale {
        low: places.clone().fold(f64::INFINITY, f64::min),
        high: places.fold(0.0, f64::max),
        from: LEFT,
        to: WIDTH - RIGHT,
    };
    let vertical = Scale { low, high, from: lower, to: upper };
    let text = |svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, what: &str| {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{what}</text>"
        );
    };
    text(svg, LEFT, top + 20.0, "start", "title", &panel.title);
    for (place, label) in ticks {
        let x = horizontal.at(*place);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {upper:.1}V{lower:.1}\"/>");
        // The last one must not reach beyond the picture.
        let anchor = if *place < horizontal.high { "middle" } else { "end" };
        text(svg, x, lower + 16.0, anchor, "", label);
    }
    text(svg, WIDTH - RIGHT, lower + 32.0, "end", "", axis);
    for mark in marks {
        let y = vertical.at(mark);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", WIDTH - RIGHT);
        text(svg, LEFT - 6.0, y + 4.0, "end", "", &format!("{mark}"));
    }
    let _ = writeln!(
        svg,
        "<rect class=\"frame\" x=\"{LEFT}\" y=\"{upper:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        WIDTH - RIGHT - LEFT,
        lower - upper
    );
    for (number, line) in panel.lines.iter().enumerate() {
        let class = number % 2;
        let at = |(place, value): &(f64, f64)| (horizontal.at(*place), vertical.at(*value));
        let path: Vec<String> = line.points.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(svg, "<polyline class=\"line l{class}\" points=\"{}\"/>", path.join(" "));
        for (x, y) in line.points.iter().map(at) {
            let _ = writeln!(svg, "<circle class=\"d{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        }
        let mut x = WIDTH - RIGHT - 170.0;
        x += if number == 0 { 0.0 } else { 95.0 };
        let _ = writeln!(svg, "<path class=\"line l{class}\" d=\"M{x:.1} {:.1}h22\"/>", top + 16.0);
        text(svg, x + 27.0, top + 20.0, "start", "", &line.name);
    }
}

/// Round values that the data lie between, with a mark at 1, 2 and 5 of every power of ten.
fn value_marks(values: impl Iterator<Item = f64> + Clone) -> (Vec<f64>, f64, f64) {
    let (least, most) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
    let steps: Vec<f64> =
        (-3..9).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power))).collect();
    let low = steps.iter().copied().rfind(|mark| *mark <= least).unwrap_or(0.001);
    let high = steps.iter().copied().find(|mark| *mark > most).unwrap_or(1e9);
    (steps.into_iter().filter(|mark| (low..=high).contains(mark)).collect(), low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_enclose_the_values() {
        let (marks, low, high) = value_marks([30.0, 700.0].into_iter());
        assert_eq!(marks, [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert!(low <= 30.0 && high > 700.0);
    }

    #[test]
    fn every_point_lies_within_the_picture() {
        let line = Line { name: "receiver".to_owned(), points: vec![(1.0, 3.0), (256.0, 900.0)] };
        let panel = Panel { title: "MB/s".to_owned(), lines: vec![line] };
        let ticks = [(1.0, "1".to_owned()), (256.0, "256".to_owned())];
        let svg = draw("connections", "connections", &ticks, &[panel]);
        let centres: Vec<f64> =
            svg.split("cx=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
        assert_eq!(centres, [LEFT, WIDTH - RIGHT]);
    }
}
