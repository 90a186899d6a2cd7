//! The curves as a picture: a small chart for each cost, resources to the right, a line for each count of nodes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, anyhow};
use berth_integration::{CURVES, Curve, Report};
use plotters::prelude::*;

const SIZE: (u32, u32) = (1200, 640);
const COLUMNS: usize = 4;
const ROWS: usize = 2;
const COLOURS: [RGBColor; 3] = [RGBColor(31, 119, 180), RGBColor(214, 96, 39), RGBColor(44, 140, 66)];
/// Above the highest point.
const HEADROOM: f64 = 1.25;

/// Draws the curves of a report; one without any is left out.
pub fn draw(report: &Report, path: &Path) -> Result<()> {
    let failed = |error: DrawingAreaErrorKind<std::io::Error>| anyhow!("{} cannot be drawn: {error}", path.display());
    let whole = SVGBackend::new(path, SIZE).into_drawing_area();
    whole.fill(&WHITE).map_err(failed)?;
    let parts = whole.split_evenly((ROWS, COLUMNS));
    for (curve, part) in CURVES.iter().zip(&parts) {
        chart(report, curve, part).map_err(failed)?;
    }
    if let Some(last) = parts.get(CURVES.len()) {
        legend(report, last).map_err(failed)?;
    }
    whole.present().map_err(failed)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failed = DrawingAreaErrorKind<std::io::Error>;

fn nodes_of(report: &Report) -> BTreeSet<u32> {
    report.curves.iter().map(|point| point.nodes).collect()
}

fn chart(report: &Report, curve: &Curve, area: &Area<'_>) -> Result<(), Failed> {
    let points = || report.curves.iter().filter(|point| point.curve == curve.id);
    let left = f64::from(points().map(|point| point.resources).min().unwrap_or(1));
    let right = f64::from(points().map(|point| point.resources).max().unwrap_or(10));
    let top = points().map(|point| point.median).fold(0.001, f64::max) * HEADROOM;
    let title = format!("{}, {}", curve.what, curve.unit);
    let mut builder = ChartBuilder::on(area);
    builder.caption(title, ("sans-serif", 15)).margin(10).x_label_area_size(28).y_label_area_size(46);
    let right = if right > left { right } else { left * 10.0 };
    let mut chart = builder.build_cartesian_2d((left..right).log_scale(), 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(3)
        .y_labels(5)
        .x_label_formatter(&|count| count_text(*count))
        .x_desc("resources")
        .draw()?;
    for (nodes, colour) in nodes_of(report).into_iter().zip(COLOURS) {
        let line: Vec<(f64, f64)> =
            points().filter(|point| point.nodes == nodes).map(|point| (f64::from(point.resources), point.median)).collect();
        chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(line.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    Ok(())
}

fn count_text(count: f64) -> String {
    if count >= 1000.0 { format!("{:.0},000", count / 1000.0) } else { format!("{count:.0}") }
}

fn legend(report: &Report, area: &Area<'_>) -> Result<(), Failed> {
    let mut y = 60;
    for (nodes, colour) in nodes_of(report).into_iter().zip(COLOURS) {
        area.draw(&PathElement::new(vec![(40, y), (80, y)], colour.stroke_width(2)))?;
        area.draw(&Circle::new((60, y), 3, colour.filled()))?;
        area.draw(&Text::new(format!("{} nodes", count_text(f64::from(nodes))), (90, y - 7), ("sans-serif", 15)))?;
        y += 28;
    }
    Ok(())
}
