//! Routes with what they take and answer: router and OpenAPI document come from the same line, so that no operation can be without its
//! description.

mod document;
mod op;
mod serve;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, options, patch, post, put};

pub use op::Op;
pub use serve::routes;

use crate::Controller;

/// Operations on their paths, each with its description.
pub struct Routes {
    group: &'static str,
    router: Router<Controller>,
    operations: Vec<Operation>,
}

/// An operation on its path.
#[derive(Debug)]
pub struct Operation {
    /// E.g. `get`.
    pub verb: &'static str,
    /// As the router takes it, e.g. `/v1/nodes/{node}`.
    pub path: String,
    /// The heading that it stands under.
    group: &'static str,
    op: Op,
}

impl Routes {
    /// None yet; those that follow stand under the heading `group`.
    pub fn new(group: &'static str) -> Self {
        Self { group, router: Router::new(), operations: Vec::new() }
    }

    /// Reads.
    pub fn get<T: 'static>(self, path: &str, handler: impl Handler<T, Controller>, op: Op) -> Self {
        self.on("get", path, get(handler), op)
    }

    /// Makes.
    pub fn post<T: 'static>(self, path: &str, handler: impl Handler<T, Controller>, op: Op) -> Self {
        self.on("post", path, post(handler), op)
    }

    /// Changes.
    pub fn put<T: 'static>(self, path: &str, handler: impl Handler<T, Controller>, op: Op) -> Self {
        self.on("put", path, put(handler), op)
    }

    /// Changes a part.
    pub fn patch<T: 'static>(self, path: &str, handler: impl Handler<T, Controller>, op: Op) -> Self {
        self.on("patch", path, patch(handler), op)
    }

    /// Deletes.
    pub fn delete<T: 'static>(self, path: &str, handler: impl Handler<T, Controller>, op: Op) -> Self {
        self.on("delete", path, delete(handler), op)
    }

    /// Asks with a document.
    pub fn options<T: 'static>(self, path: &str, handler: impl Handler<T, Controller>, op: Op) -> Self {
        self.on("options", path, options(handler), op)
    }

    /// The same for a verb that stands in a table.
    pub fn on(mut self, verb: &'static str, path: &str, methods: MethodRouter<Controller>, op: Op) -> Self {
        self.router = self.router.route(path, methods);
        self.operations.push(Operation { verb, path: path.to_owned(), group: self.group, op });
        self
    }

    /// Both.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.operations.extend(other.operations);
        self
    }

    /// What answers requests.
    pub fn into_router(self) -> Router<Controller> {
        self.router
    }

    /// What can be asked.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}
