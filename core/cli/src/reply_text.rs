//! Reply entries as people read them.

use berth_client::{Reply, Severity};

/// One entry: the severity, the message, and under headings what else there is. Ends with a line end.
pub fn render(reply: &Reply, colour: bool) -> String {
    let (word, code) = match reply.severity() {
        Severity::Success => ("SUCCESS", "32"),
        Severity::Info => ("INFO", "34"),
        Severity::Warning => ("WARNING", "33"),
        Severity::Error => ("ERROR", "31"),
    };
    let mut out = if colour { format!("\u{1b}[1;{code}m{word}:\u{1b}[0m\n") } else { format!("{word}:\n") };
    let message = reply.message.as_deref().unwrap_or_default();
    let sections: Vec<(&str, &str)> = [("Cause", &reply.cause), ("Correction", &reply.correction), ("Details", &reply.details)]
        .into_iter()
        .filter_map(|(heading, text)| Some((heading, text.as_deref()?)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let reports = reply.error_report_ids.as_deref().unwrap_or_default();
    if sections.is_empty() && reports.is_empty() {
        indented(&mut out, message);
        return out;
    }
    if !message.is_empty() {
        out.push_str("Description:\n");
        indented(&mut out, message);
    }
    for (heading, text) in sections {
        out.push_str(&format!("{heading}:\n"));
        indented(&mut out, text);
    }
    if !reports.is_empty() {
        out.push_str("Show reports:\n");
        indented(&mut out, &format!("linstor error-reports show {}", reports.join(" ")));
    }
    out
}

fn indented(out: &mut String, text: &str) {
    for line in text.lines() {
        out.push_str("    ");
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use berth_client::Reply;

    use super::render;

    #[test]
    fn sections_appear_when_there_is_more_than_a_message() {
        let mut reply = Reply { ret_code: 1, message: Some("made".into()), ..Reply::default() };
        assert_eq!(render(&reply, false), "SUCCESS:\n    made\n");
        reply.ret_code = -4_611_686_018_427_386_908;
        reply.cause = Some("few nodes\nfewer pools".into());
        reply.error_report_ids = Some(vec!["A-1".into()]);
        assert_eq!(
            render(&reply, false),
            "ERROR:\nDescription:\n    made\nCause:\n    few nodes\n    fewer pools\nShow reports:\n    linstor error-reports show A-1\n"
        );
        assert!(render(&reply, true).starts_with("\u{1b}[1;31mERROR:"));
    }
}
