//! What differs between two descriptions of one API.

use std::collections::BTreeSet;

use super::{Operation, Place, Shape, Skeleton};

/// Whose value travels: what a client must accept is narrower on the side that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From client to server.
    Request,
    /// From server to client.
    Reply,
}

struct Comparison<'s> {
    theirs: &'s Skeleton,
    ours: &'s Skeleton,
    /// Pairs of types that were compared, or are being compared.
    seen: BTreeSet<(String, String, bool)>,
    found: BTreeSet<String>,
}

/// Everything that differs, one line each, sorted. Lines about a member of a document begin with `request` or `reply` and the name that the
/// document has in `theirs`; lines about an operation begin with its verb and path in `theirs`.
///
/// Names of parameters in paths mean nothing; a word of `theirs` may be any text in `ours`.
#[must_use]
pub fn differences(theirs: &Skeleton, ours: &Skeleton) -> Vec<String> {
    let mut comparison = Comparison { theirs, ours, seen: BTreeSet::new(), found: BTreeSet::new() };
    comparison.all();
    comparison.found.into_iter().collect()
}

/// A path without the names of its parameters.
fn bare(place: &Place) -> (String, String) {
    let parts = place.path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    (parts.collect::<Vec<_>>().join("/"), place.verb.clone())
}

impl Comparison<'_> {
    fn all(&mut self) {
        for (place, operation) in &self.theirs.operations {
            match self.ours.operations.iter().find(|(other, _)| bare(other) == bare(place)) {
                Some((_, other)) => self.operation(place, operation, other),
                None => self.tell(format!("{} {}: only theirs", place.verb, place.path)),
            }
        }
        let known: BTreeSet<_> = self.theirs.operations.keys().map(bare).collect();
        for place in self.ours.operations.keys().filter(|place| !known.contains(&bare(place))) {
            self.tell(format!("{} {}: only ours", place.verb, place.path));
        }
    }

    fn tell(&mut self, what: String) {
        self.found.insert(what);
    }

    fn operation(&mut self, place: &Place, theirs: &Operation, ours: &Operation) {
        let head = format!("{} {}", place.verb, place.path);
        for (name, param) in &theirs.query {
            match ours.query.get(name) {
                None => self.tell(format!("{head} query {name}: only theirs")),
                Some(other) => {
                    if param.many != other.many {
                        self.tell(format!("{head} query {name}: theirs {}, ours {}", several(param.many), several(other.many)));
                    }
                    self.shapes(&param.shape, &other.shape, &format!("{head} query {name}"), Way::Request);
                }
            }
        }
        for name in ours.query.keys().filter(|name| !theirs.query.contains_key(*name)) {
            self.tell(format!("{head} query {name}: only ours"));
        }
        match (&theirs.body, &ours.body) {
            (Some((shape, _)), Some((other, _))) => self.shapes(shape, other, &format!("{head} body"), Way::Request),
            (Some(_), None) => self.tell(format!("{head} body: only theirs")),
            (None, Some(_)) => self.tell(format!("{head} body: only ours")),
            (None, None) => {}
        }
        let successes = |operation: &Operation| operation.replies.keys().copied().filter(|status| *status < 300).collect::<BTreeSet<u16>>();
        let (wanted, given) = (successes(theirs), successes(ours));
        for status in wanted.difference(&given) {
            self.tell(format!("{head} {status}: only theirs"));
        }
        for status in given.difference(&wanted) {
            self.tell(format!("{head} {status}: only ours"));
        }
        for status in wanted.intersection(&given) {
            self.shapes(&theirs.replies[status], &ours.replies[status], &format!("{head} {status}"), Way::Reply);
        }
    }

    fn shapes(&mut self, theirs: &Shape, ours: &Shape, at: &str, way: Way) {
        match (theirs, ours) {
            (Shape::Any, _) | (Shape::Text(_), Shape::Text(_)) => {}
            (Shape::List(theirs), Shape::List(ours)) => self.shapes(theirs, ours, &format!("{at}[]"), way),
            (Shape::Map(theirs), Shape::Map(ours)) => self.shapes(theirs, ours, &format!("{at}{{}}"), way),
            (Shape::OneOf(theirs), ours) => {
                for shape in theirs {
                    self.nearest(shape, ours, at, way);
                }
            }
            (theirs, Shape::OneOf(_)) => self.nearest(theirs, ours, at, way),
            (Shape::Named(theirs), Shape::Named(ours)) => self.types(theirs, ours, way),
            (theirs, ours) if theirs == ours => {}
            (theirs, ours) => self.tell(format!("{at}: theirs {theirs}, ours {ours}")),
        }
    }

    /// Of several of ours, the one that comes nearest.
    fn nearest(&mut self, theirs: &Shape, ours: &Shape, at: &str, way: Way) {
        let single = [ours.clone()];
        let choices = if let Shape::OneOf(choices) = ours { choices.as_slice() } else { &single };
        let tried = choices.iter().map(|choice| {
            let mut inner = Comparison { theirs: self.theirs, ours: self.ours, seen: self.seen.clone(), found: BTreeSet::new() };
            inner.shapes(theirs, choice, at, way);
            inner
        });
        // One of another form altogether is farthest, however little there is to say about it.
        let other_form = format!("{at}: theirs ");
        let distance = |inner: &Self| (inner.found.iter().any(|line| line.starts_with(&other_form)), inner.found.len());
        if let Some(best) = tried.min_by_key(distance) {
            self.seen.extend(best.seen);
            self.found.extend(best.found);
        }
    }

    fn types(&mut self, theirs: &str, ours: &str, way: Way) {
        if !self.seen.insert((theirs.to_owned(), ours.to_owned(), way == Way::Reply)) {
            return;
        }
        let (Some(wanted), Some(given)) = (self.theirs.types.get(theirs), self.ours.types.get(ours)) else {
            return self.tell(format!("{theirs}: theirs or ours ({ours}) is not there"));
        };
        let head = match way {
            Way::Request => "request",
            Way::Reply => "reply",
        };
        for (member, is) in wanted {
            let at = format!("{head} {theirs}.{member}");
            match given.get(member) {
                None => self.tell(format!("{at}: only theirs")),
                Some(other) => {
                    if way == Way::Reply && is.always && !other.always {
                        self.tell(format!("{at}: theirs always, ours maybe"));
                    }
                    self.shapes(&is.shape, &other.shape, &at, way);
                }
            }
        }
        for member in given.keys().filter(|member| !wanted.contains_key(*member)) {
            self.tell(format!("{head} {theirs}.{member}: only ours"));
        }
    }
}

fn several(many: bool) -> &'static str {
    if many { "several" } else { "one" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_is_told_once() {
        let theirs = "op\tGET\t/a/{x}\tlimit=int old=text\t-\t200=[A]\t-\n\
                      op\tPUT\t/a/{x}\t-\tA\t200=A\t-\n\
                      op\tGET\t/gone\t-\t-\t200=plain\t-\n\
                      type\tA\tgone\tint\tmaybe\ntype\tA\tkind\ttext(x|y)\talways\ntype\tA\tother\tB\tmaybe\ntype\tA\tsize\tint\tmaybe\n\
                      type\tB\tb\tbool\tmaybe\n";
        let ours = "op\tGET\t/a/{y}\tlimit*=int\t-\t200=C/[C]\t-\n\
                    op\tPUT\t/a/{y}\t-\tC?\t201=C\t-\n\
                    op\tGET\t/new\t-\t-\t200=plain\t-\n\
                    type\tC\tkind\ttext\tmaybe\ntype\tC\tmore\ttext\tmaybe\ntype\tC\tother\tD\tmaybe\ntype\tC\tsize\tnumber\talways\n\
                    type\tD\tb\tbool\tmaybe\n";
        let found = differences(&Skeleton::parse(theirs).unwrap(), &Skeleton::parse(ours).unwrap());
        let wanted = [
            "GET /a/{x} query limit: theirs one, ours several",
            "GET /a/{x} query old: only theirs",
            "GET /gone: only theirs",
            "GET /new: only ours",
            "PUT /a/{x} 200: only theirs",
            "PUT /a/{x} 201: only ours",
            "reply A.gone: only theirs",
            "reply A.kind: theirs always, ours maybe",
            "reply A.more: only ours",
            "reply A.size: theirs int, ours number",
            "request A.gone: only theirs",
            "request A.more: only ours",
            "request A.size: theirs int, ours number",
        ];
        assert_eq!(found, wanted);
    }
}
