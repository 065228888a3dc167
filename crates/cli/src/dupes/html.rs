//! The report as a page for a browser: one file, drawings inside, nothing fetched.
//!
//! It draws what [`Told`] says and decides nothing.

mod places;
mod treemap;

use std::fmt::{self, Write as _};

use dupes::Group;
use volume::Volume;

use super::report::Told;
use super::words::{hint, name, reason, signed, size};

const STYLE: &str = include_str!("html/style.css");
/// Groups that are listed, and troubles.
const NR_GROUPS: usize = 25;
const NR_TROUBLES: usize = 200;
/// Places of a group that are listed.
const NR_PLACES: usize = 5;

/// Text between tags.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// Returns the page of a run; `scope` is what was looked at.
pub(crate) fn page(told: &Told, volume: &mut dyn Volume, scope: &str) -> String {
    let directories = told.directories(volume);
    let mut body = String::new();
    head(&mut body, told, scope);
    space(&mut body, told);
    places::map(&mut body, told, directories);
    places::table(&mut body, told, directories);
    groups(&mut body, told, volume);
    stays(&mut body, told);
    troubles(&mut body, told, volume);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Duplicates in {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         {body}</main>\n</body>\n</html>\n",
        Text(scope),
    )
}

/// The numbers that count.
fn head(body: &mut String, told: &Told, scope: &str) {
    let predicted = told.prediction.net_bytes();
    let what = match &told.done {
        None => "What could be freed; nothing has been changed.",
        Some(_) => "What was freed. Every file reads as before.",
    };
    let _ = write!(
        body,
        "<h1>Duplicates in {}</h1>\n<p>{what}</p>\n<div class=\"cards\">\n",
        Text(scope),
    );
    let mut card = |class: &str, number: String, says: String| {
        let _ = writeln!(
            body,
            "<div class=\"card\"><b class=\"{class}\">{number}</b><span>{says}</span></div>"
        );
    };
    let used = told.used_before();
    card("", size(used), "of data used before".to_owned());
    let share = 100.0 * predicted as f64 / used.max(1) as f64;
    let at_most = match told.is_at_most() {
        true => "; it may be less, for only root sees where extents begin and end",
        false => "",
    };
    card(
        "good",
        signed(-predicted),
        format!("predicted change of used data, {share:.1} % of it{at_most}"),
    );
    if let Some(done) = &told.done {
        let real = done.used_before.cast_signed() - done.used_after.cast_signed();
        let (class, says) = match real == predicted {
            true => ("good", "real change, as predicted to the byte".to_owned()),
            false => {
                let more = signed(predicted - real);
                (
                    "bad",
                    format!("real change, {more} beside what was predicted"),
                )
            }
        };
        card(class, signed(-real), says);
    }
    let report = &told.report;
    card(
        "",
        format!("{}", report.nr_files),
        format!(
            "files with {} in {} extents; {} read to tell them apart",
            size(report.scanned_bytes),
            report.nr_extents,
            size(report.read_bytes),
        ),
    );
    body.push_str("</div>\n");
}

/// Used data as one bar.
fn space(body: &mut String, told: &Told) {
    let used = told.used_before().max(1) as f64;
    let freed = told.prediction.freed_bytes as f64;
    let written = told.prediction.written_bytes as f64;
    let stays: f64 = told.stays.iter().map(|stay| stay.bytes as f64).sum();
    let stays = stays.min(used - freed);
    let parts = [
        ("freed", "given back", freed - written),
        ("written", "given back, and written anew", written),
        ("stays", "there twice or needed for it, and stays", stays),
    ];
    body.push_str("<section>\n<h2>Used data</h2>\n<p>All data on the filesystem before.</p>\n");
    body.push_str("<svg viewBox=\"0 0 1000 36\" role=\"img\" aria-label=\"used data\">\n");
    body.push_str("<rect width=\"1000\" height=\"36\" rx=\"5\" fill=\"var(--line)\"/>\n");
    let mut x = 0.0;
    for (colour, says, bytes) in parts {
        let width = 1000.0 * bytes.max(0.0) / used;
        let _ = writeln!(
            body,
            "<rect x=\"{x:.1}\" width=\"{width:.1}\" height=\"36\" fill=\"var(--{colour})\">\
             <title>{says}: {}</title></rect>",
            size(bytes.max(0.0) as u64),
        );
        x += width;
    }
    body.push_str("</svg>\n<div class=\"legend\">");
    for (colour, says, bytes) in parts.iter().filter(|(_, _, bytes)| 0.0 < *bytes) {
        let bytes = size(*bytes as u64);
        let _ = write!(
            body,
            "<span><i style=\"background:var(--{colour})\"></i>{says}: {bytes}</span>"
        );
    }
    let rest = size((used - freed - stays).max(0.0) as u64);
    let _ = write!(
        body,
        "<span><i style=\"background:var(--line)\"></i>there once, or not looked at: {rest}</span>"
    );
    let prediction = &told.prediction;
    let _ = write!(
        body,
        "</div>\n<p style=\"margin-top:12px\">{} extents go, {} are written. {} of files refer to \
         other storage afterwards, for which {} requests are made; the trees get {:+} file extent \
         items.</p>\n</section>\n",
        prediction.nr_extents_freed,
        prediction.nr_extents_written,
        size(prediction.moved_bytes),
        prediction.nr_requests,
        prediction.nr_file_extents_more,
    );
}

/// The largest groups.
fn groups(body: &mut String, told: &Told, volume: &mut dyn Volume) {
    if told.groups.is_empty() {
        return;
    }
    body.push_str(
        "<section>\n<h2>Largest groups of equals</h2>\n<p>One copy stays, the others refer to it \
         afterwards.</p>\n<table>\n<tr><th class=\"number\">length</th><th class=\"number\">copies\
         </th><th>where</th><th></th></tr>\n",
    );
    let most = told.groups.iter().map(Group::moved_bytes).max();
    let most = most.unwrap_or(0).max(1) as f64;
    for group in told.groups.iter().take(NR_GROUPS) {
        let nr_copies = group.nr_copies();
        let _ = write!(
            body,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{nr_copies}</td>\
             <td class=\"path\">",
            size(group.range.len),
        );
        let mut nr_named = 0;
        for (file, offset) in group.places().take(NR_PLACES) {
            let line_break = if nr_named == 0 { "" } else { "<br>" };
            let name = name(volume, file);
            let _ = write!(
                body,
                "{line_break}{} <small>at {offset}</small>",
                Text(&name)
            );
            nr_named += 1;
        }
        let nr_more = nr_copies.saturating_sub(nr_named);
        if 0 < nr_more {
            let _ = write!(body, "<br><small>and {nr_more} more</small>");
        }
        body.push_str("</td>");
        bar(body, group.moved_bytes() as f64 / most, "freed");
        body.push_str("</tr>\n");
    }
    body.push_str("</table>\n</section>\n");
}

/// What stays, and why.
fn stays(body: &mut String, told: &Told) {
    if told.stays.is_empty() {
        return;
    }
    body.push_str(
        "<section>\n<h2>What is there twice and stays</h2>\n<p>An extent stays allocated whole \
         while anything refers to any part of it, so sharing a part of it would free nothing.</p>\n\
         <table>\n<tr><th class=\"number\">bytes</th><th class=\"number\">extents</th>\
         <th>why</th><th></th></tr>\n",
    );
    let most = told.stays.iter().map(|stay| stay.bytes).max();
    let most = most.unwrap_or(0).max(1) as f64;
    for stay in &told.stays {
        let _ = write!(
            body,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td>{}<br><small>{}</small></td>",
            size(stay.bytes),
            stay.nr_extents,
            reason(stay.reason),
            hint(stay.reason, told.rewrite),
        );
        bar(body, stay.bytes as f64 / most, "stays");
        body.push_str("</tr>\n");
    }
    body.push_str("</table>\n</section>\n");
}

/// What was left out, and what did not go as planned.
fn troubles(body: &mut String, told: &Told, volume: &mut dyn Volume) {
    let troubles = told.troubles(volume);
    if troubles.is_empty() {
        return;
    }
    let _ = write!(
        body,
        "<section>\n<h2 class=\"bad\">{} troubles</h2>\n<ul>\n",
        troubles.len()
    );
    for trouble in troubles.iter().take(NR_TROUBLES) {
        let _ = writeln!(body, "<li>{}</li>", Text(trouble));
    }
    let nr_more = troubles.len().saturating_sub(NR_TROUBLES);
    if 0 < nr_more {
        let _ = writeln!(body, "<li>and {nr_more} more</li>");
    }
    body.push_str("</ul>\n</section>\n");
}

fn bar(body: &mut String, share: f64, colour: &str) {
    let _ = write!(
        body,
        "<td class=\"bar\"><svg viewBox=\"0 0 200 12\" preserveAspectRatio=\"none\" height=\"12\">\
         <rect width=\"{:.1}\" height=\"12\" rx=\"2\" fill=\"var(--{colour})\"/></svg></td>",
        (200.0 * share).max(0.5),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_text_whatever_is_in_them() {
        let name = "<script>\"&'";
        assert_eq!(Text(name).to_string(), "&lt;script&gt;&quot;&amp;'");
    }
}
