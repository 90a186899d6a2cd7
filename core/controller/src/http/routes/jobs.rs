//! Jobs: what the controller is busy with, what blocks it, cancel and retry. Berth's own.

use axum::http::StatusCode;
use berth_api::job::{Blocker, Holder, Job as Document, Possible, Step, Wait};
use berth_engine::command::Command;
use berth_engine::{jobs, lookup};
use berth_model::job::{Job, Task};
use berth_model::observed;

use crate::View;
use crate::http::answer::document;
use crate::http::call::{Answered, Call};
use crate::http::query::{lets, refused};
use crate::http::routes::explain::{bad, known_word, only};
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Jobs")
        .get(
            "/v1/berth/jobs",
            list,
            Op::list::<Document>("Lists open jobs, what blocks each, and the way out.")
                .texts("resource", "Only those of these resources.")
                .texts("node", "Only those that work on these nodes or wait for them.")
                .texts("task", "Only those with this task, e.g. create.")
                .flag("blocked", "Only those that are blocked, or only those that are not."),
        )
        .get("/v1/berth/jobs/{job}", one, Op::answers::<Document>("Shows a job."))
        .delete("/v1/berth/jobs/{job}", cancel, Op::changes("Gives a job up and undoes what it did."))
        .post("/v1/berth/jobs/{job}/retry", retry, Op::changes("Has a job try again at once."))
}

async fn list(call: Call) -> Answered {
    only(&call, &["resource", "node", "task", "blocked", "limit", "offset"])?;
    let resources = call.query.names("resource", lookup::resource_name)?;
    let nodes = call.query.names("node", lookup::node_name)?;
    let tasks = call.query.all("task");
    tasks.iter().try_for_each(|task| known_word("task of a job", task, Task::WORDS))?;
    let unclear = |_| bad("'blocked' is neither true nor false.".to_owned(), "Give 'blocked=true' or 'blocked=false', or leave it out.");
    let blocked = call.query.truth("blocked").map_err(unclear)?;
    let view = call.view();
    let mut open: Vec<&std::sync::Arc<Job>> = view.cluster.jobs.values().collect();
    open.sort_by_key(|job| (job.created, job.id));
    let resource_fits = |job: &Job| resources.is_none() || job.resource().is_some_and(|name| lets(resources.as_ref(), name));
    let task_fits = |job: &Job| tasks.is_empty() || tasks.iter().any(|task| task.eq_ignore_ascii_case(job.task.word()));
    let documents = open
        .into_iter()
        .filter(|job| resource_fits(job) && task_fits(job))
        .map(|job| seen(&view, job))
        .filter(|job| nodes.is_none() || concerns(job).any(|name| lets(nodes.as_ref(), name)))
        .map(shown)
        .filter(|job| blocked.is_none_or(|wanted| job.blocked == wanted));
    Ok(document(&call.query.page(documents)))
}

/// The nodes that a job works on or waits for.
fn concerns(job: &jobs::JobView) -> impl Iterator<Item = &berth_model::names::NodeName> {
    job.node.iter().chain(job.waits_for.iter().map(|wait| &wait.node))
}

async fn one(call: Call) -> Answered {
    let view = call.view();
    let job = jobs::find(&view.cluster, call.part("job")).map_err(refused)?;
    Ok(document(&shown(seen(&view, &job))))
}

async fn cancel(call: Call) -> Answered {
    Ok(call.submit(Command::CancelJob { id: call.text("job") }, StatusCode::OK).await)
}

async fn retry(call: Call) -> Answered {
    Ok(call.submit(Command::RetryJob { id: call.text("job") }, StatusCode::OK).await)
}

fn seen(view: &View, job: &Job) -> jobs::JobView {
    jobs::view(&view.cluster, &view.observed, job, crate::state::now())
}

fn possible(outlook: Result<String, String>) -> Possible {
    match outlook {
        Ok(outcome) => Possible { possible: true, outcome },
        Err(outcome) => Possible { possible: false, outcome },
    }
}

fn holder(holder: observed::Holder) -> Holder {
    let nothing = Holder { kind: "", device: String::new(), path: None, pid: None, command: None, by: None };
    match holder {
        observed::Holder::Mount { device, path } => Holder { kind: "mount", device, path: Some(path), ..nothing },
        observed::Holder::Process { device, pid, command } => {
            Holder { kind: "process", device, pid: Some(pid), command: Some(command), ..nothing }
        }
        observed::Holder::Device { device, by } => Holder { kind: "device", device, by: Some(by), ..nothing },
    }
}

/// The document of an open job.
pub fn document_of(view: &View, job: &Job) -> Document {
    shown(seen(view, job))
}

fn shown(job: jobs::JobView) -> Document {
    Document {
        uuid: job.id.to_string(),
        task: job.task,
        resource_name: job.resource.map(|name| name.to_string()),
        node_name: job.node.map(|name| name.to_string()),
        snapshot_name: job.snapshot.map(|name| name.to_string()),
        volume_number: job.volume.map(|number| number.get()),
        actor: job.actor,
        create_timestamp: job.created.0,
        serial: job.serial,
        steps: job.steps.into_iter().map(|step| Step { name: step.name, state: step.state.word() }).collect(),
        blocked: !job.blockers.is_empty(),
        waits_for: job
            .waits_for
            .into_iter()
            .map(|wait| Wait {
                node_name: wait.node.to_string(),
                item: wait.item.to_string(),
                state: wait.state,
                seen_timestamp: wait.seen.map(|at| at.0),
            })
            .collect(),
        blockers: job
            .blockers
            .into_iter()
            .map(|blocker| Blocker {
                kind: blocker.kind.word(),
                object: blocker.object,
                node_name: blocker.node.map(|node| node.to_string()),
                seen_timestamp: blocker.seen.map(|at| at.0),
                message: blocker.message,
                cause: blocker.cause,
                way_out: blocker.way_out,
                holders: blocker.holders.into_iter().map(holder).collect(),
            })
            .collect(),
        cancel: possible(job.outlook.cancel),
        retry: possible(job.outlook.retry),
    }
}
