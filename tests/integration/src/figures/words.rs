//! A report as Markdown: the tables, the section of the README, and the ratios against an earlier report.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Better, CURVES, Chapter, Curve, FIGURES, FLAT_TIMES, Figure, Report};

/// Before the generated part of the README.
pub const README_BEGIN: &str = "<!-- written by cargo xtask bench --publish: begin -->";
/// After it.
pub const README_END: &str = "<!-- written by cargo xtask bench --publish: end -->";

/// Two digits for small values, none for large ones.
fn number(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value))
}

fn goal(goal: Option<f64>, unit: &str) -> String {
    goal.map_or_else(|| "-".to_owned(), |goal| with_unit(goal, unit))
}

/// How far a value is from what it should be.
fn verdict(figure: &Figure, value: f64) -> &'static str {
    let reaches = |goal: Option<f64>| goal.is_some_and(|goal| figure.reaches(value, goal));
    match (figure.must, figure.aim) {
        (None, None) => "",
        _ if reaches(figure.aim) => "aim met",
        _ if reaches(figure.must) => "met",
        _ => "**missed**",
    }
}

/// The names of the figures that do not reach what they must.
#[must_use]
pub fn missed(report: &Report) -> Vec<&'static str> {
    let misses = |figure: &Figure| {
        let measured = report.figure(figure.id)?;
        figure.must.map(|must| !figure.reaches(measured.value(figure), must))
    };
    FIGURES.iter().filter(|figure| misses(figure) == Some(true)).map(|figure| figure.id).collect()
}

/// The figures of a report, a table for each chapter that it has something of.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    for chapter in Chapter::ALL {
        let rows: Vec<_> = FIGURES
            .iter()
            .filter(|figure| figure.chapter == chapter)
            .filter_map(|figure| report.figure(figure.id).map(|measured| (figure, measured)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let heading = chapter.heading();
        let goals = rows.iter().any(|(figure, _)| figure.must.is_some());
        let head = if goals {
            format!("| {heading} | must | aim | measured | |\n|---|---|---|---|---|\n")
        } else {
            format!("| {heading} | measured |\n|---|---|\n")
        };
        text.push_str(&head);
        for (figure, measured) in rows {
            let value = measured.value(figure);
            let note = if measured.note.is_empty() { String::new() } else { format!(" ({})", measured.note) };
            let what = format!("{}{note}", figure.what);
            let seen = with_unit(value, figure.unit);
            let row = if goals {
                let (must, aim) = (goal(figure.must, figure.unit), goal(figure.aim, figure.unit));
                format!("| {what} | {must} | {aim} | {seen} | {} |\n", verdict(figure, value))
            } else {
                format!("| {what} | {seen} |\n")
            };
            text.push_str(&row);
        }
        text.push('\n');
    }
    text
}

/// The curves of a report as a table: a row for each curve and count of nodes.
#[must_use]
pub fn curves_table(report: &Report) -> String {
    let counts: BTreeSet<u32> = report.curves.iter().map(|point| point.resources).collect();
    let (Some(first), Some(last)) = (counts.first().copied(), counts.last().copied()) else { return String::new() };
    let mut text = String::from("| cost | nodes |");
    for count in &counts {
        let _ = write!(text, " {} resources |", thousands(*count));
    }
    text.push_str(" last to first | |\n|---|---|");
    text.push_str(&"---|".repeat(counts.len() + 2));
    text.push('\n');
    for curve in CURVES {
        let nodes: BTreeSet<u32> = report.curves.iter().filter(|point| point.curve == curve.id).map(|point| point.nodes).collect();
        for nodes in nodes {
            let at = |resources: u32| report.point(curve.id, nodes, resources).map(|point| point.median);
            let _ = write!(text, "| {} | {} |", curve.what, thousands(nodes));
            for count in &counts {
                let _ = write!(text, " {} |", at(*count).map_or_else(String::new, |value| with_unit(value, curve.unit)));
            }
            let times = at(last).zip(at(first)).filter(|(_, first)| *first > 0.0).map(|(last, first)| last / first);
            let shown = times.map_or_else(String::new, |times| format!("{times:.2}"));
            let _ = writeln!(text, " {shown} | {} |", flatness(curve, times.filter(|_| first < last)));
        }
    }
    text
}

fn flatness(curve: &Curve, times: Option<f64>) -> &'static str {
    match times {
        Some(times) if curve.flat && times <= FLAT_TIMES => "flat",
        Some(_) if curve.flat => "**grows**",
        _ => "",
    }
}

fn thousands(count: u32) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", count / 1000, count % 1000) }
}

/// A report beside an earlier one, with their ratios; what only one of them has is left out.
#[must_use]
pub fn against(now: &Report, before: &Report) -> String {
    let mut text = String::from("| what | before | now | now to before | |\n|---|---|---|---|---|\n");
    let mut row = |what: &str, unit: &str, better: Better, was: f64, is: f64| {
        if was <= 0.0 {
            return;
        }
        let times = is / was;
        // What a shared machine makes of the same program.
        let word = match better {
            _ if (0.9..=1.1).contains(&times) => "",
            Better::Less if times < 1.0 => "better",
            Better::More if times > 1.0 => "better",
            Better::Less | Better::More => "**worse**",
        };
        let _ = writeln!(text, "| {what} | {} | {} | {times:.2} | {word} |", with_unit(was, unit), with_unit(is, unit));
    };
    for figure in FIGURES {
        if let (Some(is), Some(was)) = (now.figure(figure.id), before.figure(figure.id)) {
            row(figure.what, figure.unit, figure.better, was.value(figure), is.value(figure));
        }
    }
    for point in &now.curves {
        let Some(curve) = CURVES.iter().find(|curve| curve.id == point.curve) else { continue };
        if let Some(was) = before.point(&point.curve, point.nodes, point.resources) {
            let what = format!("{}, {} nodes, {} resources", curve.what, thousands(point.nodes), thousands(point.resources));
            row(&what, curve.unit, Better::Less, was.median, point.median);
        }
    }
    text
}

/// The generated part of the README, markers included.
fn section(report: &Report) -> String {
    let machine = &report.machine;
    let all = report.figures.iter().map(|one| (&one.commit, &one.date)).chain(report.curves.iter().map(|one| (&one.commit, &one.date)));
    let commits: BTreeSet<String> = all.map(|(commit, date)| format!("`{commit}` ({date})")).collect();
    let commits = commits.into_iter().collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "{README_BEGIN}\nMeasured on {} cores, {} GiB of memory, {}, {}, commit {commits}.\n\n{}",
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        table(report)
    );
    if !report.curves.is_empty() {
        text.push_str("What grows with the cluster, and what does not (satellites simulated, 1 ms each step, over the wire):\n\n");
        text.push_str("![Costs at growing counts of resources and nodes](docs/figures/growth.svg)\n\n");
        text.push_str(&curves_table(report));
        text.push('\n');
    }
    text.push_str(README_END);
    text
}

/// The README with its generated part written anew; `None` if it has no place for it.
#[must_use]
pub fn into_readme(readme: &str, report: &Report) -> Option<String> {
    let (before, rest) = readme.split_once(README_BEGIN)?;
    let (_, after) = rest.split_once(README_END)?;
    Some(format!("{before}{}{after}", section(report)))
}

#[cfg(test)]
mod tests {
    use super::super::{Machine, Measured, Point, Samples};
    use super::*;

    fn report(list_ms: f64, create: f64) -> Report {
        let measured = |id: &str, value: f64| {
            let figure = Figure::find(id).unwrap();
            Measured::new(figure, &Samples::from(value), "", "abc", "2026-11-21")
        };
        let point = |resources: u32, median: f64| Point {
            curve: "one".to_owned(),
            nodes: 20,
            resources,
            median,
            p99: median,
            n: 1,
            commit: "abc".to_owned(),
            date: "2026-11-21".to_owned(),
        };
        Report {
            machine: Machine { cores: 2, memory_gib: 8, kernel: "Linux".to_owned(), file_system: "ext4".to_owned() },
            figures: vec![measured("create", create), measured("list", list_ms)],
            curves: vec![point(1000, 1.0), point(100_000, 1.31)],
        }
    }

    #[test]
    fn verdicts_follow_the_way_a_figure_is_good() {
        let text = table(&report(61.0, 301.0));
        assert!(text.contains("| 300 /s | 2000 /s | 301 /s | met |"), "{text}");
        assert!(text.contains("| 60 ms | 20 ms | 61 ms | **missed** |"), "{text}");
        assert!(table(&report(20.0, 2000.0)).matches("aim met").count() == 2);
        assert_eq!(missed(&report(61.0, 299.0)), ["create", "list"]);
        assert_eq!(missed(&report(60.0, 300.0)), [""; 0]);
    }

    #[test]
    fn a_curve_that_rises_is_named() {
        assert!(curves_table(&report(1.0, 1.0)).contains("| 1 ms | 1.31 ms | 1.31 | **grows** |"), "{}", curves_table(&report(1.0, 1.0)));
    }

    #[test]
    fn ratios_say_which_way_they_go() {
        let text = against(&report(30.0, 100.0), &report(60.0, 200.0));
        assert!(text.contains("| 60 ms | 30 ms | 0.50 | better |"), "{text}");
        assert!(text.contains("| 200 /s | 100 /s | 0.50 | **worse** |"), "{text}");
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let samples = Samples::new((1..=200).map(f64::from));
        assert_eq!((samples.median(), samples.percentile(99), samples.count()), (100.0, 198.0, 200));
        assert_eq!(Samples::default().median(), 0.0);
    }

    #[test]
    fn a_newer_run_replaces_what_it_measured() {
        let mut all = report(60.0, 200.0);
        let mut newer = report(30.0, 1.0);
        newer.figures.retain(|one| one.id == "list");
        newer.curves.clear();
        all.renew(&newer);
        assert_eq!((all.figure("list").unwrap().median, all.figure("create").unwrap().median), (30.0, 200.0));
        assert_eq!(all.curves.len(), 2);
    }
}
