//! Choosing among places that fit each by itself: the set with the highest sum of scores that keeps the rules.
//!
//! Two rules split the places into groups that are searched one by one: values that all must have alike, and kinds of pools that mix.
//! All others have one form: each place belongs to at most one class of a rule, and a class takes a limited number of places. Such rules
//! are: one pool of a node, one of a shared space, different values, at most so many for each value.
//!
//! The search goes depth first through the places in the order of preference, so that the first set with a sum is the one that comes
//! first among all with that sum. A branch is left when all rules but one, dropped in turn, show that it cannot be better. Of places that are
//! alike for all rules a later one is never tried without the earlier ones. Where no rule binds, the search is a walk.
//! It ends after a bounded number of steps, a step being a look at one place.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ALL;
use super::filter::Candidate;
use super::mixing;
use super::rules::{Classes, Rules, space_of};

/// Steps after which a search is given up, some 10 ms: rules that are hard to keep together must not hold up the cluster.
const MOST_STEPS: u64 = 2_000_000;

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// A sound choice, as positions in the order of preference.
    Found {
        /// Positions, ascending.
        picked: Vec<usize>,
        /// Whether there is surely none better.
        proven: bool,
    },
    /// There is none.
    Nothing,
    /// The steps were used up before one was found.
    GaveUp,
}

/// Picks `count` of the places (or as many as go together), which are in the order of preference.
pub(super) fn select(places: &[Candidate<'_>], classes: &Classes<'_>, count: usize, rules: &Rules) -> Search {
    select_within(places, classes, count, rules, MOST_STEPS)
}

pub(super) fn select_within(places: &[Candidate<'_>], classes: &Classes<'_>, count: usize, rules: &Rules, steps: u64) -> Search {
    if count == 0 {
        return Search::Found { picked: Vec::new(), proven: true };
    }
    let mut problems = Vec::new();
    for group in groups(places, rules.same.len()) {
        problems.extend(cliques(places, &group).into_iter().map(|clique| Problem::new(places, classes, clique, rules)));
    }
    let (mut best, mut proven) = (None::<Pick>, true);
    // The most promising first, so that the others need only be shown not to be better.
    let mut open: Vec<(Bound, &Problem)> = problems
        .iter()
        .filter_map(|problem| {
            let bound = problem.outlook(count)?;
            Some((bound, problem))
        })
        .collect();
    open.sort_by_key(|(bound, _)| std::cmp::Reverse(*bound));
    let mut left = steps;
    for (at, (bound, problem)) in open.iter().enumerate() {
        if best.as_ref().is_some_and(|best| *bound < best.bound()) {
            break;
        }
        let share = left / u64::try_from(open.len() - at).unwrap_or(1).max(1);
        let mut budget = share.max(problem.least_steps());
        let given = budget;
        let (found, ended) = problem.solve(count, &mut budget);
        left = left.saturating_sub(given - budget);
        proven &= ended;
        if let Some(found) = found.filter(|found| best.as_ref().is_none_or(|best| found.before(best))) {
            best = Some(found);
        }
    }
    match best {
        Some(best) => Search::Found { picked: best.places, proven },
        None if proven => Search::Nothing,
        None => Search::GaveUp,
    }
}

/// How many places, and the sum of their scores.
type Bound = (usize, i128);

/// A sound choice.
#[derive(Debug, Clone)]
struct Pick {
    sum: i128,
    /// Positions in the order of preference, ascending.
    places: Vec<usize>,
}

impl Pick {
    fn bound(&self) -> Bound {
        (self.places.len(), self.sum)
    }

    /// Whether it is the better one: more places, then a higher sum, then the earlier places.
    fn before(&self, other: &Self) -> bool {
        other.bound().cmp(&self.bound()).then_with(|| self.places.cmp(&other.places)).is_lt()
    }
}

/// The places by the values that must be alike; each in the order of preference.
fn groups(places: &[Candidate<'_>], same: usize) -> Vec<Vec<usize>> {
    if same == 0 {
        return vec![(0..places.len()).collect()];
    }
    let mut groups: BTreeMap<&[Option<usize>], Vec<usize>> = BTreeMap::new();
    for (at, place) in places.iter().enumerate() {
        groups.entry(place.classes.get(..same).unwrap_or_default()).or_default().push(at);
    }
    groups.into_values().collect()
}

/// The places of a group whose pools mix, as large as possible each.
fn cliques(places: &[Candidate<'_>], group: &[usize]) -> Vec<Vec<usize>> {
    let kind = |at: &usize| places.get(*at).map(|place| place.kind);
    let kinds: BTreeSet<mixing::Kind> = group.iter().filter_map(kind).collect();
    if kinds.iter().all(|a| kinds.iter().all(|b| a.mixes(*b))) {
        return vec![group.to_vec()];
    }
    let kinds: Vec<mixing::Kind> = kinds.into_iter().collect();
    let mut sets = Vec::new();
    grow(&mut Vec::new(), &kinds, &[], &mut sets);
    sets.into_iter().map(|set| group.iter().filter(|at| kind(at).is_some_and(|kind| set.contains(&kind))).copied().collect()).collect()
}

/// All largest sets of kinds that mix (Bron and Kerbosch); there are a dozen kinds at most.
fn grow(set: &mut Vec<mixing::Kind>, open: &[mixing::Kind], done: &[mixing::Kind], found: &mut Vec<Vec<mixing::Kind>>) {
    if open.is_empty() && done.is_empty() {
        found.push(set.clone());
    }
    let mut done = done.to_vec();
    for (at, kind) in open.iter().enumerate() {
        let with = |kinds: &[mixing::Kind]| kinds.iter().filter(|other| other.mixes(*kind)).copied().collect::<Vec<_>>();
        set.push(*kind);
        grow(set, &with(open.get(at + 1..).unwrap_or_default()), &with(&done), found);
        set.pop();
        done.push(*kind);
    }
}

/// Numbers from 0 on, without gaps, for keys that are small numbers, as they come.
#[derive(Debug, Default)]
struct Numbers {
    /// By key.
    known: Vec<Option<usize>>,
    count: usize,
}

impl Numbers {
    fn of(&mut self, key: usize) -> usize {
        if self.known.len() <= key {
            self.known.resize(key + 1, None);
        }
        let count = &mut self.count;
        let new = || {
            *count += 1;
            *count - 1
        };
        self.known.get_mut(key).map_or(0, |known| *known.get_or_insert_with(new))
    }
}

/// A rule of limited classes.
#[derive(Debug)]
struct Rule {
    /// The class of each place.
    class: Vec<Option<usize>>,
    /// How many each class takes.
    cap: Vec<usize>,
    /// How many each class has from the beginning.
    there: Vec<usize>,
    /// Whether at most one class may have some but fewer than it takes.
    fill: bool,
    /// Classes that have some but fewer, and no place here.
    partial: usize,
}

impl Rule {
    /// Of the keys of places; with the class of each key, by key. Keys are small numbers.
    fn of(keys: impl Iterator<Item = Option<usize>>, cap: usize) -> (Self, Vec<Option<usize>>) {
        let mut numbers = Numbers::default();
        let class = keys.map(|key| key.map(|key| numbers.of(key))).collect();
        let rule = Self { class, cap: vec![cap; numbers.count], there: vec![0; numbers.count], fill: false, partial: 0 };
        (rule, numbers.known)
    }

    /// Whether it can ever keep a place out.
    fn binds(&self) -> bool {
        let mut counts = self.there.clone();
        self.fill
            || self.class.iter().flatten().any(|class| {
                let (Some(count), Some(cap)) = (counts.get_mut(*class), self.cap.get(*class)) else { return false };
                *count += 1;
                *count > *cap
            })
    }

    fn class(&self, at: usize) -> Option<usize> {
        self.class.get(at).copied().flatten()
    }

    fn room(&self, counts: &[usize], at: usize) -> bool {
        self.class(at).is_none_or(|class| counts.get(class) < self.cap.get(class))
    }
}

/// For each of so many places a number below that, the same for those in the same classes of all rules.
fn alike<'r>(rules: impl Iterator<Item = &'r Rule>, places: usize) -> Vec<usize> {
    let mut kinds = vec![0; places];
    for rule in rules {
        let mut known = HashMap::new();
        for (at, kind) in kinds.iter_mut().enumerate() {
            let next = known.len();
            *kind = *known.entry((*kind, rule.class(at))).or_insert(next);
        }
    }
    kinds
}

/// Places among which all rules but those of this module hold.
#[derive(Debug)]
struct Problem {
    /// Positions in the order of preference.
    places: Vec<usize>,
    scores: Vec<i128>,
    /// Rules that can bind.
    rules: Vec<Rule>,
    /// For each place an earlier one that may always stand for it.
    stand_in: Vec<Option<usize>>,
}

/// Where a search stands.
struct State {
    /// For each rule how many places each class has.
    counts: Vec<Vec<usize>>,
    chosen: Vec<bool>,
    picked: Vec<usize>,
    sum: i128,
}

/// Which places of each node are left: pools in spaces of their own, and at most one that shares none.
#[derive(Debug, Default)]
struct Seats {
    /// The first space of each node's places by the turn of the node; `None`: no place of it yet.
    first: Vec<Option<Option<String>>>,
    /// The further ones.
    more: HashMap<usize, Vec<Option<String>>>,
    /// Whether any node has several places.
    several: bool,
}

impl Seats {
    /// Takes a place in a space (`None`: one of its own), unless an earlier one of the node stands for it.
    fn take(&mut self, seat: usize, space: Option<String>) -> bool {
        if self.first.len() <= seat {
            self.first.resize(seat + 1, None);
        }
        let Some(slot) = self.first.get_mut(seat) else { return false };
        let Some(first) = slot else {
            *slot = Some(space);
            return true;
        };
        let stands = |earlier: &Option<String>| earlier.is_none() || *earlier == space;
        if stands(first) || self.more.get(&seat).is_some_and(|more| more.iter().any(stands)) {
            return false;
        }
        self.more.entry(seat).or_default().push(space);
        self.several = true;
        true
    }

    /// Whether a node has one place only.
    fn is_alone(&self, seat: usize) -> bool {
        !self.several || !self.more.contains_key(&seat)
    }
}

impl Problem {
    fn new(all: &[Candidate<'_>], classes: &Classes<'_>, mut places: Vec<usize>, rules: &Rules) -> Self {
        let shared = all.iter().any(|place| place.pool.shared_space.is_some());
        let space = |at: usize| if shared { all.get(at).and_then(|place| space_of(place.pool)) } else { None };
        // Another pool of the node goes before it, and is at least as free to take.
        let mut before = Seats::default();
        places.retain(|at| all.get(*at).is_some_and(|place| before.take(place.seat, space(*at))));
        let several = before.several;
        let here = || places.iter().filter_map(|at| all.get(*at));
        let mut made = Vec::new();
        if several {
            made.push(Rule::of(here().map(|place| Some(place.seat)), 1).0);
        }
        if shared {
            let mut spaces = HashMap::new();
            let mut number = |space: String| {
                let next = spaces.len();
                *spaces.entry(space).or_insert(next)
            };
            made.push(Rule::of(places.iter().map(|at| space(*at).map(&mut number)), 1).0);
        }
        let (different, limited) = rules.begins();
        let value = |at: usize| here().map(move |place| place.classes.get(at).copied().flatten());
        for at in different..limited {
            made.push(Rule::of(value(at), 1).0);
        }
        for (at, limit) in (limited..).zip(&rules.limited) {
            let (mut rule, known) = Rule::of(value(at), limit.most);
            for (value, count) in &limit.counts {
                let class = classes.number(at, value).and_then(|number| known.get(number).copied().flatten());
                match class.and_then(|class| rule.there.get_mut(class)) {
                    Some(there) => *there = *count,
                    None => rule.partial += usize::from(*count < limit.most),
                }
            }
            rule.fill = limit.most > 1;
            made.push(rule);
        }
        made.retain(Rule::binds);
        let clean = |at: usize| all.get(at).is_some_and(|place| before.is_alone(place.seat));
        let mut stand_in = vec![None; places.len()];
        if !made.is_empty() {
            // Rules of nodes do not tell those apart that are alone on theirs.
            let alike = alike(made.iter().skip(usize::from(several)), places.len());
            let mut last = vec![None; places.len()];
            for (at, (slot, kind)) in stand_in.iter_mut().zip(alike).enumerate() {
                let Some(last) = last.get_mut(kind) else { continue };
                *slot = *last;
                if places.get(at).is_some_and(|place| clean(*place)) {
                    *last = Some(at);
                }
            }
        }
        let scores = here().map(|place| place.score.parts()).collect();
        Self { places, scores, rules: made, stand_in }
    }

    fn begin(&self) -> State {
        let counts = self.rules.iter().map(|rule| rule.there.clone()).collect();
        State { counts, chosen: vec![false; self.places.len()], picked: Vec::new(), sum: 0 }
    }

    /// Steps within which the search reaches a first choice where nothing goes wrong.
    fn least_steps(&self) -> u64 {
        u64::try_from(self.places.len()).unwrap_or(u64::MAX).saturating_mul(16).saturating_add(1000)
    }

    /// What the best choice cannot exceed; `None`: there is none.
    fn outlook(&self, count: usize) -> Option<Bound> {
        let mut steps = u64::MAX;
        let state = self.begin();
        let most = self.most(&state);
        match count {
            ALL => (most > 0).then_some((most, i128::MAX)),
            count if count > most => None,
            count if self.rules.is_empty() => Some((count, self.scores.iter().take(count).sum())),
            count => Some((count, self.bound(&state, 0, count, &mut steps)?)),
        }
    }

    /// How many places any choice has at most.
    fn most(&self, state: &State) -> usize {
        let of = |rule: &Rule, counts: &Vec<usize>| {
            let mut counts = counts.clone();
            let fits = |at: &usize| match rule.class(*at).and_then(|class| Some((class, counts.get_mut(class)?))) {
                None => true,
                Some((class, count)) => {
                    let fits = rule.cap.get(class).is_some_and(|cap| *count < *cap);
                    *count += usize::from(fits);
                    fits
                }
            };
            (0..self.places.len()).filter(fits).count()
        };
        self.rules.iter().zip(&state.counts).map(|(rule, counts)| of(rule, counts)).min().unwrap_or(self.places.len())
    }

    /// The best choice, and whether the search came to its end.
    fn solve(&self, count: usize, steps: &mut u64) -> (Option<Pick>, bool) {
        if count != ALL {
            return self.search(count, steps);
        }
        let mut ended = true;
        for count in (1..=self.most(&self.begin())).rev() {
            // Half of what is left for each number, so that something is left for smaller ones.
            let mut budget = (*steps / 2).max(self.least_steps());
            let given = budget;
            let (found, done) = self.search(count, &mut budget);
            *steps = steps.saturating_sub(given - budget);
            ended &= done;
            if found.is_some() {
                return (found, ended);
            }
        }
        (None, ended)
    }

    /// The best choice of exactly `count` places.
    fn search(&self, count: usize, steps: &mut u64) -> (Option<Pick>, bool) {
        let mut state = self.begin();
        if self.rules.is_empty() {
            let picked: Vec<usize> = (0..self.places.len().min(count)).collect();
            return ((picked.len() == count).then(|| self.pick(&picked)), true);
        }
        let Some(outlook) = self.bound(&state, 0, count, steps) else { return (None, *steps > 0) };
        let mut best: Option<Pick> = None;
        let mut next = 0;
        loop {
            if *steps == 0 {
                return (best, false);
            }
            if state.picked.len() == count {
                if self.is_complete(&state) && best.as_ref().is_none_or(|best| state.sum > best.sum) {
                    best = Some(self.pick(&state.picked));
                    if state.sum == outlook {
                        return (best, true);
                    }
                }
            } else if let Some(at) = self.step(&state, next, count - state.picked.len(), best.as_ref(), steps) {
                self.turn(&mut state, at, true);
                next = at + 1;
                continue;
            }
            match state.picked.last().copied() {
                None => return (best, *steps > 0),
                Some(at) => {
                    self.turn(&mut state, at, false);
                    next = at + 1;
                }
            }
        }
    }

    fn pick(&self, picked: &[usize]) -> Pick {
        let sum = picked.iter().filter_map(|at| self.scores.get(*at)).sum();
        Pick { sum, places: picked.iter().filter_map(|at| self.places.get(*at)).copied().collect() }
    }

    /// Takes a place, or gives back the last one.
    fn turn(&self, state: &mut State, at: usize, take: bool) {
        let score = self.scores.get(at).copied().unwrap_or_default();
        if take {
            state.picked.push(at);
            state.sum += score;
        } else {
            state.picked.pop();
            state.sum -= score;
        }
        if let Some(chosen) = state.chosen.get_mut(at) {
            *chosen = take;
        }
        for (rule, counts) in self.rules.iter().zip(&mut state.counts) {
            if let Some(count) = rule.class(at).and_then(|class| counts.get_mut(class)) {
                *count = if take { *count + 1 } else { count.saturating_sub(1) };
            }
        }
    }

    /// The next place to take; `None`: none leads to anything better.
    fn step(&self, state: &State, from: usize, more: usize, best: Option<&Pick>, steps: &mut u64) -> Option<usize> {
        let bound = self.bound(state, from, more, steps)?;
        if best.is_some_and(|best| state.sum + bound <= best.sum) {
            return None;
        }
        let found = (from..self.places.len()).find(|at| self.may_take(state, *at) && self.is_next(state, *at));
        *steps = steps.saturating_sub(u64::try_from(found.unwrap_or(self.places.len()).saturating_sub(from)).unwrap_or(u64::MAX));
        found
    }

    fn may_take(&self, state: &State, at: usize) -> bool {
        self.rules.iter().zip(&state.counts).all(|(rule, counts)| rule.room(counts, at))
    }

    /// Whether the place that stands for this one is taken.
    fn is_next(&self, state: &State, at: usize) -> bool {
        self.stand_in.get(at).copied().flatten().is_none_or(|first| state.chosen.get(first) == Some(&true))
    }

    /// Whether a place may still be taken by a choice that takes no further place before `from`.
    fn may_follow(&self, state: &State, from: usize, at: usize) -> bool {
        self.may_take(state, at)
            && self.stand_in.get(at).copied().flatten().is_none_or(|first| first >= from || state.chosen.get(first) == Some(&true))
    }

    /// What `more` places from `from` on can add at most: the best that keep one rule, the least over all rules (there are some).
    /// `None`: there are not as many.
    fn bound(&self, state: &State, from: usize, more: usize, steps: &mut u64) -> Option<i128> {
        let open: Vec<usize> = (from..self.places.len()).filter(|at| self.may_follow(state, from, *at)).collect();
        *steps = steps.saturating_sub(u64::try_from(self.places.len().saturating_sub(from)).unwrap_or(u64::MAX));
        let mut least: Option<i128> = None;
        for (rule, counts) in self.rules.iter().zip(&state.counts) {
            if rule.fill && !rule.can_fill(counts, &open, more) {
                return None;
            }
            let mut counts = counts.clone();
            let (mut sum, mut taken) = (0i128, 0usize);
            for at in &open {
                if taken == more {
                    break;
                }
                *steps = steps.saturating_sub(1);
                if let Some(class) = rule.class(*at) {
                    let room = rule.cap.get(class).copied().unwrap_or(0);
                    let Some(here) = counts.get_mut(class).filter(|here| **here < room) else { continue };
                    *here += 1;
                }
                sum += self.scores.get(*at).copied().unwrap_or_default();
                taken += 1;
            }
            if taken < more {
                return None;
            }
            least = Some(least.map_or(sum, |least| least.min(sum)));
        }
        least
    }

    fn is_complete(&self, state: &State) -> bool {
        let partial = |(rule, counts): (&Rule, &Vec<usize>)| {
            let here = counts.iter().zip(&rule.cap).filter(|(count, cap)| **count > 0 && *count < *cap).count();
            !rule.fill || rule.partial + here <= 1
        };
        self.rules.iter().zip(&state.counts).all(partial)
    }
}

impl Rule {
    /// Whether the classes that have some but fewer than they take can be filled by `more` of the open places; one may stay as it is.
    fn can_fill(&self, counts: &[usize], open: &[usize], more: usize) -> bool {
        let mut lacking: BTreeMap<usize, usize> = BTreeMap::new();
        for (class, (count, cap)) in counts.iter().zip(&self.cap).enumerate() {
            if *count > 0 && count < cap {
                lacking.insert(class, cap - count);
            }
        }
        let Some(mut spare) = 1usize.checked_sub(self.partial) else { return false };
        let (mut sum, mut largest) = (0usize, 0usize);
        let mut offered: HashMap<usize, usize> = HashMap::new();
        for class in open.iter().filter_map(|at| self.class(*at)) {
            *offered.entry(class).or_insert(0) += 1;
        }
        for (class, lacks) in lacking {
            if offered.get(&class).copied().unwrap_or(0) < lacks {
                let Some(rest) = spare.checked_sub(1) else { return false };
                spare = rest;
            } else {
                sum += lacks;
                largest = largest.max(lacks);
            }
        }
        sum - if spare > 0 { largest } else { 0 } <= more
    }
}
