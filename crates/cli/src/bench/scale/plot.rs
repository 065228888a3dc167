//! The plot: what a call and a check of an extent take, over the number of extents, both
//! logarithmic, as SVG.

use super::sample::Sample;

/// Pixels.
const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 460.0;
/// Pixels left of, above, right of and below the area of the plot.
const MARGINS: [f64; 4] = [70.0, 40.0, 210.0, 55.0];
/// Colours that are told apart without colour vision too.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#555555"];

/// A curve: its name, and microseconds by number of extents.
struct Curve<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

/// The area of the plot with its two scales, in powers of ten.
struct Area {
    x: (f64, f64),
    y: (f64, f64),
}

impl Area {
    /// Returns the area that holds all points, whole powers of ten wide and high.
    fn around(curves: &[Curve<'_>]) -> Area {
        let bounds = |of: fn(&(f64, f64)) -> f64| {
            let values = curves.iter().flat_map(|curve| curve.points.iter().map(of));
            let logs = values.map(f64::log10);
            let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| {
                (low.min(log), high.max(log))
            });
            (low.floor(), high.ceil().max(low.floor() + 1.0))
        };
        Area {
            x: bounds(|point| point.0),
            y: bounds(|point| point.1),
        }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, above, right, below] = MARGINS;
        let along = |value: f64, (low, high): (f64, f64)| (value.log10() - low) / (high - low);
        (
            left + along(x, self.x) * (WIDTH - left - right),
            HEIGHT - below - along(y, self.y) * (HEIGHT - above - below),
        )
    }
}

/// Returns the plot of the samples.
pub(super) fn svg(samples: &[Sample]) -> String {
    let curves = curves(samples);
    let area = Area::around(&curves);
    let mut parts = vec![format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"
    )];
    parts.push(text(
        WIDTH / 2.0,
        22.0,
        "middle",
        "Time by number of file extents",
    ));
    parts.extend(grid(&area));
    for (idx, (curve, colour)) in curves.iter().zip(COLOURS).enumerate() {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|&point| area.place(point))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        parts.push(format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        ));
        let (x, y) = (
            WIDTH - MARGINS[2] + 15.0,
            MARGINS[1] + 12.0 + 22.0 * idx as f64,
        );
        parts.push(format!(
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
            y - 11.0
        ));
        parts.push(text(x + 18.0, y, "start", curve.name));
    }
    parts.push("</svg>\n".to_owned());
    parts.join("\n")
}

fn curves(samples: &[Sample]) -> Vec<Curve<'_>> {
    let names = samples.first().into_iter().flat_map(|first| &first.ops);
    let of_ops = names.enumerate().map(|(idx, op)| Curve {
        name: &op.name,
        points: samples
            .iter()
            .filter_map(|sample| Some((sample.nr_extents as f64, sample.ops.get(idx)?.micros)))
            .collect(),
    });
    let mut curves: Vec<Curve<'_>> = of_ops.collect();
    curves.push(Curve {
        name: "fsck, per extent",
        points: samples
            .iter()
            .map(|sample| (sample.nr_extents as f64, sample.fsck_micros_per_extent()))
            .collect(),
    });
    curves
}

/// Returns a line for every power of ten, with its label.
fn grid(area: &Area) -> Vec<String> {
    let mut parts = Vec::new();
    let powers =
        |(low, high): (f64, f64)| (low as i32..=high as i32).map(|power| 10f64.powi(power));
    let (left, right) = (MARGINS[0], WIDTH - MARGINS[2]);
    let (top, bottom) = (MARGINS[1], HEIGHT - MARGINS[3]);
    for value in powers(area.x) {
        let (x, _) = area.place((value, 10f64.powf(area.y.0)));
        parts.push(line((x, top), (x, bottom)));
        let label = format!("10^{}", value.log10().round());
        parts.push(text(x, bottom + 20.0, "middle", &label));
    }
    for value in powers(area.y) {
        let (_, y) = area.place((10f64.powf(area.x.0), value));
        parts.push(line((left, y), (right, y)));
        parts.push(text(left - 8.0, y + 4.0, "end", &format!("{value} µs")));
    }
    parts.push(text(
        (left + right) / 2.0,
        HEIGHT - 12.0,
        "middle",
        "file extents",
    ));
    parts
}

fn line(from: (f64, f64), to: (f64, f64)) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#dddddd\"/>",
        from.0, from.1, to.0, to.1
    )
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_lie_on_the_edges() {
        let curve = Curve {
            name: "calls",
            points: vec![(1e3, 0.9), (1e7, 12.0)],
        };
        let area = Area::around(&[curve]);
        assert_eq!((area.x, area.y), ((3.0, 7.0), (-1.0, 2.0)));
        let [left, above, right, below] = MARGINS;
        assert_eq!(area.place((1e3, 0.1)), (left, HEIGHT - below));
        assert_eq!(area.place((1e7, 100.0)), (WIDTH - right, above));
    }

    #[test]
    fn a_single_size_has_an_area_too() {
        let svg = svg(&[Sample::of_test()]);
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
