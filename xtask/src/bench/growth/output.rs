//! Tables and plots of growth.

use super::Curve;
use anyhow::{Context, Result};
use plotters::prelude::SVGBackend;
use plotters::{
    chart::ChartBuilder,
    drawing::IntoDrawingArea,
    element::Circle,
    series::LineSeries,
    style::{BLACK, BLUE, Color, WHITE},
};
use std::{fmt::Write, fs, path::Path};

/// A plot's width and height.
const SIZE: (u32, u32) = (720, 440);
/// Costs that differ by more than this factor are plotted by their magnitude.
const MAGNITUDES: f64 = 8.0;

/// Prints the table of a curve.
pub fn print(curve: &Curve) {
    let Curve { name, unit, request, is_answer, sizes } = curve;
    println!("\n{name}: {request}");
    println!("{unit:>24}   requests/s   CPU us a request   beside the least");
    let (least, _) = bounds(sizes.iter().map(|(_, series)| series.cpu()));
    for (size, series) in sizes {
        let cpu = series.cpu();
        print!("{size:>24}   {:>10.0}   {cpu:>16.1}   {:>16.2}", series.rate(), cpu / least);
        if *is_answer {
            print!("   {:.4} us a {unit}", cpu / *size as f64);
        }
        println!();
    }
}

/// Writes all rounds of all curves as CSV, and a plot of each curve.
pub fn write(folder: &Path, curves: &[Curve]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let table = folder.join("growth.csv");
    fs::write(&table, table_of(curves)?).with_context(|| format!("{} can't be written", table.display()))?;
    for curve in curves {
        let file = folder.join(curve.name).with_extension("svg");
        draw(&file, curve).with_context(|| format!("{} can't be drawn", file.display()))?;
    }
    println!("\n{} and {} plots beside it", table.display(), curves.len());
    Ok(())
}

/// Makes the table as CSV.
fn table_of(curves: &[Curve]) -> Result<String> {
    let mut table = "axis,size,round,requests_per_second,cpu_us_per_request\n".to_owned();
    for curve in curves {
        for (size, series) in &curve.sizes {
            for (number, round) in (1..).zip(series.rounds()) {
                writeln!(table, "{},{size},{number},{:.1},{:.3}", curve.name, round.rate, round.cpu)?;
            }
        }
    }
    Ok(table)
}

/// Draws the medians as a line, and each round as a dot. Sizes are shown by their magnitude, and so is the cost if it
/// grows much.
fn draw(file: &Path, curve: &Curve) -> Result<()> {
    let rounds: Vec<(f64, f64)> = curve
        .sizes
        .iter()
        .flat_map(|(size, series)| series.rounds().iter().map(|round| (*size as f64, round.cpu)))
        .collect();
    let (least, most) = bounds(rounds.iter().map(|(_, cpu)| cpu.max(0.01)));
    let by_magnitude = most / least > MAGNITUDES;
    let place =
        move |(size, cpu): (f64, f64)| (size.log10(), if by_magnitude { cpu.max(0.01).log10() } else { cpu });
    let (left, right) = bounds(rounds.iter().map(|(size, _)| size.log10()));
    let heights = match by_magnitude {
        true => least.log10() - 0.2..most.log10() + 0.2,
        false => 0.0..most * 1.15,
    };

    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{} by {}s", curve.request, curve.unit), ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(left - 0.1..right + 0.1, heights)?;
    chart
        .configure_mesh()
        .x_desc(format!("{}s", curve.unit))
        .y_desc("CPU microseconds a request")
        .x_labels(10)
        .x_label_formatter(&|size| short(10_f64.powf(*size)))
        .y_label_formatter(&|cpu| short(if by_magnitude { 10_f64.powf(*cpu) } else { *cpu }))
        .draw()?;
    let medians = curve.sizes.iter().map(|(size, series)| place((*size as f64, series.cpu())));
    chart.draw_series(LineSeries::new(medians, BLUE.stroke_width(2)))?;
    chart
        .draw_series(rounds.into_iter().map(|round| Circle::new(place(round), 3, BLACK.mix(0.5).filled())))?;
    area.present()?;
    Ok(())
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)))
}

/// Writes a number in a few letters.
fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{:.1}M", number / 1e6),
        number if number >= 1e3 => format!("{:.1}k", number / 1e3),
        number if number >= 10.0 => format!("{number:.0}"),
        number => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::Series;

    fn curve(name: &'static str, costs: [f64; 3]) -> Curve {
        let sizes = [1, 16, 512].into_iter().zip(costs);
        let sizes = sizes.map(|(size, cpu)| (size, Series::of([(9.0, cpu), (10.0, cpu * 1.1)])));
        Curve { name, unit: "connection", request: "GET /x", is_answer: false, sizes: sizes.collect() }
    }

    #[test]
    fn every_round_is_in_the_table_and_in_a_plot() {
        let folder = tempfile::tempdir().unwrap();
        let curves = [curve("flat", [20.0, 21.0, 22.0]), curve("steep", [1.0, 30.0, 4000.0])];
        write(folder.path(), &curves).unwrap();
        let table = fs::read_to_string(folder.path().join("growth.csv")).unwrap();
        assert_eq!(table.lines().count(), 1 + 2 * 3 * 2, "{table}");
        assert!(table.contains("flat,16,2,10.0,23.100\n"), "{table}");
        for name in ["flat.svg", "steep.svg"] {
            let plot = fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(plot.matches("<circle").count(), 6, "{plot}");
            assert!(plot.contains("<polyline") && plot.contains("GET /x by connections"), "{plot}");
        }
    }
}
