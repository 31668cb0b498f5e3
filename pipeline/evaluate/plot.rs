//! The reliability diagram, and accuracy by way of answering, as SVG.

use std::io::{self, Write};

use super::case::Case;
use super::score::{Bin, score};
use super::show::{Group, scores};

const SIDE: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#222222", "#c98a1b", "#a83232"];

fn text(out: &mut dyn Write, x: f64, y: f64, anchor: &str, words: &str) -> io::Result<()> {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#)
}

/// Draws all calls' reliability beside each group's accuracy.
pub fn write(groups: &[Group<'_>], out: &mut dyn Write) -> io::Result<()> {
    let all: Vec<&Case> = groups.iter().flat_map(|group| group.cases.iter().copied()).collect();
    let bars = LEFT + SIDE + 90.0;
    let (width, height) = (bars + (groups.len() as f64 * 110.0).max(330.0) + 20.0, TOP + SIDE + 90.0);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="sans-serif" font-size="11">"#
    )?;
    writeln!(out, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
    reliability(&score(all.iter().map(|case| case.model())).reliability, out)?;
    accuracy(groups, bars, out)?;
    writeln!(out, "</svg>")
}

fn axes(left: f64, width: f64, title: &str, out: &mut dyn Write) -> io::Result<()> {
    text(out, left, TOP - 16.0, "start", title)?;
    for tenth in [0, 2, 4, 6, 8, 10] {
        let y = TOP + SIDE * (1.0 - f64::from(tenth) / 10.0);
        writeln!(out, r##"<line x1="{left}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="#dddddd"/>"##, left + width)?;
        text(out, left - 6.0, y + 4.0, "end", &format!("{:.1}", f64::from(tenth) / 10.0))?;
    }
    Ok(())
}

/// What was said along, what was true up; a dot's area is the number of its calls.
fn reliability(table: &[Bin], out: &mut dyn Write) -> io::Result<()> {
    axes(LEFT, SIDE, "Reliability: confidence of named sessions, and how many are right", out)?;
    let most = table.iter().map(|bin| bin.calls).max().unwrap_or(1).max(1) as f64;
    writeln!(
        out,
        r##"<line x1="{LEFT}" y1="{:.1}" x2="{:.1}" y2="{TOP}" stroke="#888888" stroke-dasharray="4 4"/>"##,
        TOP + SIDE,
        LEFT + SIDE
    )?;
    for bin in table.iter().filter(|bin| bin.calls > 0) {
        writeln!(
            out,
            r#"<circle cx="{:.1}" cy="{:.1}" r="{:.1}" fill="{}" fill-opacity="0.75"/>"#,
            LEFT + SIDE * bin.said,
            TOP + SIDE * (1.0 - bin.right),
            3.0 + 13.0 * (bin.calls as f64 / most).sqrt(),
            COLOURS[0]
        )?;
    }
    for tenth in [0, 2, 4, 6, 8, 10] {
        let share = f64::from(tenth) / 10.0;
        text(out, LEFT + SIDE * share, TOP + SIDE + 18.0, "middle", &format!("{share:.1}"))?;
    }
    text(out, LEFT + SIDE / 2.0, TOP + SIDE + 36.0, "middle", "attribution_confidence")
}

fn accuracy(groups: &[Group<'_>], left: f64, out: &mut dyn Write) -> io::Result<()> {
    let width = (groups.len() as f64 * 110.0).max(330.0);
    axes(left, width, "Accuracy: right answers of all calls to leased numbers", out)?;
    for (at, group) in groups.iter().enumerate() {
        let from = left + at as f64 * 110.0 + 10.0;
        for (way, (_, score)) in scores(&group.cases).iter().enumerate() {
            let (x, tall) = (from + way as f64 * 22.0, SIDE * score.accuracy());
            let y = TOP + SIDE - tall;
            writeln!(out, r#"<rect x="{x:.1}" y="{y:.1}" width="18" height="{tall:.1}" fill="{}"/>"#, COLOURS[way])?;
            text(out, x + 9.0, y - 4.0, "middle", &format!("{:.2}", score.accuracy()))?;
        }
        text(out, from + 42.0, TOP + SIDE + 18.0, "middle", &group.name)?;
    }
    for (way, (name, _)) in super::show::WAYS.iter().enumerate() {
        let (x, y) = (left + (way % 2) as f64 * 160.0, TOP + SIDE + 36.0 + (way / 2) as f64 * 18.0);
        writeln!(out, r#"<rect x="{x:.1}" y="{:.1}" width="10" height="10" fill="{}"/>"#, y - 9.0, COLOURS[way])?;
        text(out, x + 15.0, y, "start", name)?;
    }
    Ok(())
}
