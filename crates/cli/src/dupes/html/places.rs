//! The directories in which something changes, as areas and as a table.

use std::fmt::Write as _;

use super::super::directories::Directory;
use super::super::report::Told;
use super::super::words::{signed, size};
use super::treemap::{Rectangle, layout};
use super::{Text, bar};

/// Directories that are drawn, and listed.
const NR_DRAWN: usize = 140;
const NR_LISTED: usize = 25;
/// Pixels of a letter in an area, about, and how few are not worth it.
const LETTER_WIDTH: f64 = 6.6;
const NR_LETTERS_MIN: usize = 5;

/// Directories as areas.
pub(super) fn map(body: &mut String, told: &Told, directories: &[Directory]) {
    let gains = |it: &&Directory| 0 < it.predicted.net_bytes();
    let gaining: Vec<&Directory> = directories.iter().filter(gains).collect();
    if gaining.len() < 2 {
        return;
    }
    let (drawn, others) = gaining.split_at(gaining.len().min(NR_DRAWN));
    let common = common_folder(&gaining);
    let most = drawn[0].predicted.net_bytes() as f64;
    let mut cells: Vec<Cell> = drawn
        .iter()
        .map(|it| {
            let bytes = it.predicted.net_bytes();
            Cell {
                name: below(&it.path, &common),
                bytes,
                colour: "freed",
                opacity: 0.6 + 0.4 * bytes as f64 / most,
            }
        })
        .collect();
    if !others.is_empty() {
        cells.push(Cell {
            name: format!("{} others", others.len()),
            bytes: others.iter().map(|it| it.predicted.net_bytes()).sum(),
            colour: "stays",
            opacity: 1.0,
        });
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.bytes));
    }
    let whole = Rectangle {
        x: 0.0,
        y: 0.0,
        width: 1000.0,
        height: 420.0,
    };
    let weights: Vec<f64> = cells.iter().map(|cell| cell.bytes as f64).collect();
    let _ = write!(
        body,
        "<section>\n<h2>Where it {} from</h2>\n<p>Directories below {}; each area is what is given \
         back there.</p>\n<svg viewBox=\"0 0 1000 420\" role=\"img\" aria-label=\"directories\">\n",
        if told.done.is_some() { "came" } else { "comes" },
        Text(&common),
    );
    for (cell, rectangle) in cells.iter().zip(layout(&weights, whole)) {
        cell.draw(body, rectangle);
    }
    body.push_str("</svg>\n</section>\n");
}

/// An area.
struct Cell {
    name: String,
    bytes: i64,
    colour: &'static str,
    opacity: f64,
}

impl Cell {
    /// Draws it, with its name if there is room for that.
    fn draw(&self, body: &mut String, at: Rectangle) {
        let Rectangle {
            x,
            y,
            width,
            height,
        } = at;
        let bytes = size(self.bytes.unsigned_abs());
        let _ = write!(
            body,
            "<g><title>{}: {bytes}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\" rx=\"3\" fill=\"var(--{})\" opacity=\"{:.2}\"/>",
            Text(&self.name),
            x + 1.0,
            y + 1.0,
            (width - 2.0).max(0.5),
            (height - 2.0).max(0.5),
            self.colour,
            self.opacity,
        );
        let nr_letters = ((width - 12.0) / LETTER_WIDTH).max(0.0) as usize;
        if 20.0 <= height && NR_LETTERS_MIN <= nr_letters {
            let x = x + 6.0;
            let name = end_of(&self.name, nr_letters);
            let name_y = y + 16.0;
            let _ = write!(
                body,
                "<text class=\"on\" x=\"{x:.1}\" y=\"{name_y:.1}\">{}</text>",
                Text(&name),
            );
            if 36.0 <= height && bytes.len() <= nr_letters {
                let bytes_y = y + 30.0;
                let _ = write!(
                    body,
                    "<text class=\"on\" x=\"{x:.1}\" y=\"{bytes_y:.1}\">{bytes}</text>"
                );
            }
        }
        body.push_str("</g>\n");
    }
}

/// Directories as a table.
pub(super) fn table(body: &mut String, told: &Told, directories: &[Directory]) {
    if directories.is_empty() {
        return;
    }
    body.push_str(
        "<section>\n<h2>By directory</h2>\n<p>Change of used data. Each extent counts for the \
         first file that refers to it, what is written for the file that it is copied from.</p>\n\
         <table>\n<tr><th>directory</th><th class=\"number\">predicted</th>",
    );
    let is_done = told.done.is_some();
    if is_done {
        body.push_str("<th class=\"number\">real</th>");
    }
    body.push_str("<th></th></tr>\n");
    let net = |it: &Directory| it.predicted.net_bytes().max(it.real.net_bytes()).max(0) as f64;
    let most = directories.iter().map(net).fold(1.0, f64::max);
    for directory in directories.iter().take(NR_LISTED) {
        let (predicted, real) = (directory.predicted, directory.real);
        let _ = write!(
            body,
            "<tr><td class=\"path\">{}</td><td class=\"number\">{}</td>",
            Text(&directory.path),
            signed(-predicted.net_bytes()),
        );
        if is_done {
            let class = if real == predicted { "" } else { " bad" };
            let bytes = signed(-real.net_bytes());
            let _ = write!(body, "<td class=\"number{class}\">{bytes}</td>");
        }
        let shown = if is_done { real } else { predicted };
        bar(body, shown.net_bytes().max(0) as f64 / most, "freed");
        body.push_str("</tr>\n");
    }
    let nr_more = directories.len().saturating_sub(NR_LISTED);
    if 0 < nr_more {
        let rest = &directories[NR_LISTED..];
        let sum: i64 = rest.iter().map(|it| it.predicted.net_bytes()).sum();
        let _ = write!(
            body,
            "<tr><td><small>{nr_more} more</small></td><td class=\"number\">{}</td>",
            signed(-sum),
        );
        if is_done {
            let sum: i64 = rest.iter().map(|it| it.real.net_bytes()).sum();
            let _ = write!(body, "<td class=\"number\">{}</td>", signed(-sum));
        }
        body.push_str("<td></td></tr>\n");
    }
    body.push_str("</table>\n</section>\n");
}

/// Returns the folder that all directories are in, or are.
fn common_folder(directories: &[&Directory]) -> String {
    let mut paths = directories.iter().map(|it| it.path.split('/'));
    let Some(first) = paths.next() else {
        return String::new();
    };
    let mut common: Vec<&str> = first.collect();
    for path in paths {
        let same = common
            .iter()
            .zip(path)
            .take_while(|(one, other)| **one == *other);
        let len = same.count();
        common.truncate(len);
    }
    match common.join("/") {
        root if root.is_empty() => "/".to_owned(),
        folder => folder,
    }
}

/// Returns a path without the folder that it is below.
fn below(path: &str, folder: &str) -> String {
    let rest = path.strip_prefix(folder).unwrap_or(path);
    match rest.trim_start_matches('/') {
        "" => ".".to_owned(),
        rest => rest.to_owned(),
    }
}

/// Returns the end of a path, which tells more than its begin.
fn end_of(path: &str, nr_letters: usize) -> String {
    let letters: Vec<char> = path.chars().collect();
    match letters.len() <= nr_letters {
        true => path.to_owned(),
        false => {
            let rest = &letters[letters.len() - (nr_letters - 1)..];
            std::iter::once('…').chain(rest.iter().copied()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_below_the_folder_that_they_are_all_in() {
        let directory = |path: &str| Directory {
            path: path.to_owned(),
            ..Directory::default()
        };
        let all = [
            directory("/a/b/c"),
            directory("/a/b"),
            directory("/a/b/d/e"),
        ];
        let all: Vec<&Directory> = all.iter().collect();
        let common = common_folder(&all);
        assert_eq!(common, "/a/b");
        assert_eq!(below("/a/b/d/e", &common), "d/e");
        assert_eq!(below("/a/b", &common), ".");
        assert_eq!(end_of("a/long/path", 6), "…/path");
    }
}
