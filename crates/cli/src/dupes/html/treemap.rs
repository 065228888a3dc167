//! Areas as rectangles that are about square: a treemap.
//!
//! Rows are filled along the shorter side as long as that makes the worst rectangle of the row
//! better (Bruls, Huizing, van Wijk: Squarified treemaps, 2000).

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Returns a rectangle within `whole` for each weight, in their order, which is descending; the
/// areas are as the weights.
pub(super) fn layout(weights: &[f64], whole: Rectangle) -> Vec<Rectangle> {
    let sum: f64 = weights.iter().sum();
    let scale = whole.width * whole.height / sum.max(f64::MIN_POSITIVE);
    let areas: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
    let mut found = Vec::with_capacity(areas.len());
    let mut free = whole;
    let mut left = areas.as_slice();
    while !left.is_empty() {
        let side = free.width.min(free.height);
        let mut len = 1;
        while len < left.len() && worst(&left[..=len], side) <= worst(&left[..len], side) {
            len += 1;
        }
        let (row, rest) = left.split_at(len);
        free = place(row, free, &mut found);
        left = rest;
    }
    found
}

/// Returns the ratio of the sides of the rectangle of a row that is the least square.
fn worst(row: &[f64], side: f64) -> f64 {
    let thickness = row.iter().sum::<f64>() / side;
    let ratio = |area: &f64| {
        let length = area / thickness;
        (length / thickness).max(thickness / length)
    };
    row.iter().map(ratio).fold(1.0, f64::max)
}

/// Places a row along the shorter side of what is free; returns what is free then.
fn place(row: &[f64], free: Rectangle, found: &mut Vec<Rectangle>) -> Rectangle {
    let area: f64 = row.iter().sum();
    let is_column = free.height <= free.width;
    let thickness = area / free.width.min(free.height);
    let (mut x, mut y) = (free.x, free.y);
    for area in row {
        let length = area / thickness;
        let (width, height) = match is_column {
            true => (thickness, length),
            false => (length, thickness),
        };
        found.push(Rectangle {
            x,
            y,
            width,
            height,
        });
        match is_column {
            true => y += length,
            false => x += length,
        }
    }
    match is_column {
        true => Rectangle {
            x: free.x + thickness,
            width: free.width - thickness,
            ..free
        },
        false => Rectangle {
            y: free.y + thickness,
            height: free.height - thickness,
            ..free
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_as_the_weights_and_fill_the_whole() {
        let whole = Rectangle {
            x: 10.0,
            y: 20.0,
            width: 300.0,
            height: 200.0,
        };
        let weights = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let found = layout(&weights, whole);
        assert_eq!(found.len(), weights.len());
        for (rectangle, weight) in found.iter().zip(weights) {
            let area = rectangle.width * rectangle.height;
            assert!(
                (area - weight * 60_000.0 / 24.0).abs() < 1e-6,
                "{rectangle:?}"
            );
            assert!(10.0 - 1e-9 <= rectangle.x && 20.0 - 1e-9 <= rectangle.y);
            assert!(
                rectangle.x + rectangle.width <= 310.0 + 1e-9,
                "{rectangle:?}"
            );
            assert!(
                rectangle.y + rectangle.height <= 220.0 + 1e-9,
                "{rectangle:?}"
            );
        }
    }

    #[test]
    fn rectangles_are_about_square() {
        let whole = Rectangle {
            x: 0.0,
            y: 0.0,
            width: 600.0,
            height: 400.0,
        };
        for rectangle in layout(&[1.0; 30], whole) {
            let ratio = rectangle.width / rectangle.height;
            assert!((0.5..2.0).contains(&ratio), "{rectangle:?}");
        }
    }
}
