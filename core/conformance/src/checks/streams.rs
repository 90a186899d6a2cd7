//! Snapshots that are sent as streams, and received as volumes.

use berth_plugin_sdk::{FaultKind, Kib, New, Stream};

use crate::trial::{Trial, Verdict, hold};

const WHOLE: &str = "A stream that was received and finished is the snapshot, whole";

/// A stream's command, which must be one that the manifest asks for: the host runs no other.
fn command(t: &Trial<'_>, what: &str, stream: &Stream) -> Verdict {
    hold(
        !stream.format.is_empty() && stream.format.chars().all(|c| c.is_ascii_graphic()),
        format!("{what} has a format that is one word"),
        || format!("'{}'", stream.format),
        "Name what the bytes are: a receiver takes what a sender of the same word sends",
    )?;
    let argv: Vec<&str> = stream.argv.iter().map(String::as_str).collect();
    let granted = t.watch.may_run(&argv);
    hold(
        granted,
        format!("the command of {what} is matched by a pattern of the manifest"),
        || stream.argv.join(" "),
        "Add its pattern to Manifest::commands: the host runs it, and only if it was granted",
    )
}

pub(super) fn round_trip(t: &mut Trial<'_>) -> Verdict {
    let volume = t.stamped("send", 71)?;
    let snapshot = t.snapshot_of(&volume, "s")?;
    t.snapshot(&volume, &snapshot)?;
    t.write(&volume, 72)?;
    let target = t.volume("recv")?;
    let before = t.inventory()?;
    let sent = match t.provider.send(t.on(), &snapshot.known(), None) {
        Err(fault) if fault.kind == FaultKind::Unsupported => {
            t.refused("send where the provider does not do it", Err::<(), _>(fault), &[FaultKind::Unsupported])?;
            t.refused(
                "receive where the provider does not send",
                t.provider.receive(t.on(), &target, t.size(), None),
                &[FaultKind::Unsupported],
            )?;
            return t.same(&before, "after a refused stream");
        }
        answer => t.ok("send", answer)?,
    };
    command(t, "send", &sent)?;
    // A send is a question: nothing is made by it.
    let again = t.ok("send, again,", t.provider.send(t.on(), &snapshot.known(), None))?;
    hold(again == sent, "a send answers the same again", || format!("{sent:?}, then {again:?}"), "Keep nothing between calls")?;
    refusals(t, &snapshot)?;
    t.same(&before, "after a send whose command was not run")?;

    // Cut short before a byte came, and cleaned: nothing is left. Cut short, and begun anew: it goes on.
    receive(t, &target, &sent)?;
    t.gone(&target.name)?;
    t.ok("clean", t.provider.clean(t.on(), t.settings.cluster))?;
    t.same(&before, "after a receive that was cut short before its command ran, and clean,")?;
    receive(t, &target, &sent)?;
    let received = receive(t, &target, &sent)?;

    t.host("run both commands", t.bench.pipe(&sent.argv, &received.argv))?;
    t.gone(&target.name)?;
    for _ in 0..2 {
        t.ok("finish-copy of what was received", t.provider.finish_copy(t.on(), &target))?;
    }
    let size = t.found(&target)?.size;
    hold(size == t.size(), format!("a received volume of {}", t.size()), || size.to_string(), WHOLE)?;
    t.reads(&target, 71, "received")?;
    t.write(&target, 73)?;
    t.reads(&volume, 72, "after what was received of it was written to")?;
    t.found(&snapshot).map(|_| ())?;
    // A receive of what is there already may be refused, but does not touch it, also when its command runs and nobody ends it.
    if let Ok(again) = t.provider.receive(t.on(), &target, t.size(), None) {
        let _either_way = t.bench.pipe(&sent.argv, &again.argv);
    }
    t.ok("clean", t.provider.clean(t.on(), t.settings.cluster))?;
    t.reads(&target, 73, "received, written to, and the receive repeated without an end")
}

/// What cannot be sent is refused.
fn refusals(t: &Trial<'_>, snapshot: &New) -> Verdict {
    let missing = New { name: t.volume("none")?.name, ..snapshot.clone() };
    t.refused("send of a missing snapshot", t.provider.send(t.on(), &missing.known(), None), &[FaultKind::Lost])?;
    let mut other = snapshot.known();
    other.generation = t.id();
    t.refused("send of another generation", t.provider.send(t.on(), &other, None), &[FaultKind::Foreign])
}

/// Begins to receive; the command takes what the sender sends.
fn receive(t: &Trial<'_>, target: &New, sent: &Stream) -> Verdict<Stream> {
    let size: Kib = t.size();
    let stream = t.ok("receive", t.provider.receive(t.on(), target, size, None))?;
    command(t, "receive", &stream)?;
    let advice = "One word for one kind of bytes: what a provider sends it takes";
    hold(stream.format == sent.format, format!("format '{}', as it is sent", sent.format), || stream.format.clone(), advice)?;
    Ok(stream)
}
