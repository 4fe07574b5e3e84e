//! Curves as SVG, drawn by plotters: logarithmic axes, a line for each peer.
//!
//! The background is opaque white, so that black text is readable on a dark page too.

use anyhow::Context;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

/// A line of a panel.
pub(crate) struct Line {
    /// The name in the legend.
    pub(crate) name: String,
    /// The points from left to right; all values are above zero.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A pair of axes.
pub(crate) struct Panel {
    /// The quantity with its unit.
    pub(crate) title: &'static str,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

const WIDTH: u32 = 800;
const HEADING_HEIGHT: u32 = 30;
const LEGEND_HEIGHT: u32 = 20;
const PANEL_HEIGHT: u32 = 270;
const LEFT: i32 = 70;
/// Room for half of the widest label at the end of a horizontal axis.
const RIGHT: i32 = 40;
const POINT_RADIUS: u32 = 3;
const FONT: &str = "sans-serif";
/// The colour of each line, and its dash and gap in pixels, which tell lines apart without colours. The first dash is
/// longer than any line, so the first line is solid.
const STYLES: [(RGBColor, u32, u32); 2] =
    [(RGBColor(0x0b, 0x62, 0xc4), 10 * WIDTH, 0), (RGBColor(0xc4, 0x50, 0x0b), 6, 3)];

/// A part of the picture.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws panels that share their horizontal axis and their peers, one below the other.
///
/// `ticks` are the positions on that axis with their labels, from left to right.
pub(crate) fn draw(
    heading: &str,
    axis: &str,
    ticks: &[(f64, String)],
    panels: &[Panel],
) -> anyhow::Result<String> {
    let mut svg = String::new();
    let height = HEADING_HEIGHT + LEGEND_HEIGHT + PANEL_HEIGHT * u32::try_from(panels.len())?;
    let picture = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    picture.fill(&WHITE)?;
    let (legend, below) = picture.titled(heading, (FONT, 18))?.split_vertically(LEGEND_HEIGHT);
    draw_legend(&legend, panels.first().map_or(&[], |panel| &panel.lines))?;
    for (area, panel) in below.split_evenly((panels.len(), 1)).iter().zip(panels) {
        draw_panel(area, axis, ticks, panel)?;
    }
    picture.present()?;
    drop((legend, below, picture));
    Ok(svg)
}

/// Draws one legend for all panels. The legend of plotters is inside a panel, where it can cover a line.
fn draw_legend(area: &Area<'_>, lines: &[Line]) -> anyhow::Result<()> {
    for (number, (line, (colour, dash, gap))) in (0..).zip(lines.iter().zip(STYLES.into_iter().cycle())) {
        let (x, y) = (LEFT + 110 * number, 10);
        area.draw(&DashedPathElement::new([(x, y), (x + 25, y)], dash, gap, colour.stroke_width(2)))?;
        area.draw(&Text::new(line.name.as_str(), (x + 31, 3), (FONT, 15)))?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, axis: &str, ticks: &[(f64, String)], panel: &Panel) -> anyhow::Result<()> {
    let places: Vec<f64> = ticks.iter().map(|(place, _)| *place).collect();
    let marks = value_marks(panel.lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value));
    let ends = |axis: &[f64]| axis.first().copied().zip(axis.last().copied());
    let (left, right) = ends(&places).context("nothing to draw")?;
    let (low, high) = ends(&marks).context("no value to draw")?;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, (FONT, 16, FontStyle::Bold))
        .margin_top(10)
        .margin_right(RIGHT)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 44)
        .build_cartesian_2d(
            (left..right).log_scale().with_key_points(places),
            (low..high).log_scale().with_key_points(marks),
        )?;
    let label =
        |at: &f64| ticks.iter().find(|(place, _)| place >= at).map_or("", |(_, label)| label).to_owned();
    chart
        .configure_mesh()
        .label_style((FONT, 15))
        .x_desc(axis)
        .x_label_formatter(&label)
        .y_label_formatter(&ToString::to_string)
        .draw()?;
    for (line, (colour, dash, gap)) in panel.lines.iter().zip(STYLES.into_iter().cycle()) {
        let stroke = colour.stroke_width(2);
        chart.draw_series(DashedLineSeries::new(line.points.iter().copied(), dash, gap, stroke))?;
        chart.draw_series(
            line.points.iter().map(|point| Circle::new(*point, POINT_RADIUS, colour.filled())),
        )?;
    }
    Ok(())
}

/// Returns marks at 1, 2 and 5 of every power of ten, from the last one below all values to the first above them.
fn value_marks(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let (least, most) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
    let steps: Vec<f64> =
        (-3..9).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power))).collect();
    let low = steps.iter().rposition(|mark| *mark <= least).unwrap_or(0);
    let high = steps.iter().position(|mark| *mark > most).unwrap_or(steps.len() - 1);
    steps.get(low..=high).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_enclose_the_values() {
        assert_eq!(value_marks([30.0, 700.0].into_iter()), [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
    }
}
