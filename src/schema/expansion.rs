//! How much work the schemas of a bundle can cause, counted before anything is compiled.

use std::collections::HashMap;

use jsonschema::Draft;

use super::Bundle;
use super::drafts::is_of_draft;
use super::keywords::Applies;
use super::location::Locations;
use super::path::resolve;

/// How many schemas may come to be applied to one value.
const SAME_VALUE_MAX: u64 = 2_000;

/// How many schemas may stand in or refer to each other before one is reached that applies to a part of the value; each takes stack space
/// at every level of a payload.
const SAME_VALUE_DEPTH_MAX: usize = 16;

/// How many schemas there may be when each `$ref` is replaced by what it refers to.
const PATHS_MAX: u64 = 10_000;

/// How deep schemas may lead to each other, through parts of the value as well.
const PATHS_DEPTH_MAX: usize = 256;

/// As how many the schema of a draft counts, with all in it: it is known.
const OF_DRAFT: u64 = 200;

/// All schemas of a bundle, and which of them refers to which.
pub(super) struct Graph<'a> {
    pub locations: Locations<'a>,
    /// Where a `$dynamicRef` may lead, by the name in it.
    dynamic: HashMap<&'a str, Vec<usize>>,
    /// Where a `$recursiveRef` may lead, besides what it stands in.
    recursive: Vec<usize>,
}

impl<'a> Graph<'a> {
    pub fn of(bundle: &'a Bundle) -> Self {
        let locations = Locations::of(bundle);
        let (mut dynamic, mut recursive) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (number, location) in locations.all().iter().enumerate() {
            for name in ["$anchor", "$dynamicAnchor"].iter().filter_map(|keyword| location.get(keyword)?.as_str()) {
                dynamic.entry(name).or_default().push(number);
            }
            if location.get("$recursiveAnchor").is_some() {
                recursive.push(number);
            }
        }
        Self { locations, dynamic, recursive }
    }

    /// The schemas that a schema's references may lead to. Which one it is can depend on the way to it: then all are counted.
    fn targets(&self, number: usize) -> Vec<usize> {
        let location = &self.locations.all()[number];
        let mut targets: Vec<_> = self.locations.target(location).into_iter().collect();
        if let Some(reference) = location.get("$dynamicRef").and_then(|text| text.as_str()).filter(|_| location.draft == Draft::Draft202012)
        {
            let (_, fragment) = reference.split_once('#').unwrap_or((reference, ""));
            match self.dynamic.get(fragment) {
                Some(named) => targets.extend(named),
                None => {
                    targets.extend(resolve(location.file, reference).ok().and_then(|(file, fragment)| self.locations.at(&file, fragment)));
                }
            }
        }
        if location.get("$recursiveRef").is_some() && location.draft == Draft::Draft201909 {
            targets.extend(self.locations.resource(location).into_iter().filter(|own| !self.recursive.contains(own)));
            targets.extend(&self.recursive);
        }
        targets
    }

    /// Refuses what would expand without end or too far; the sentence says where.
    pub fn check(&self) -> Result<(), String> {
        let mut same = Meter::new(self, Reach::SameValue);
        for number in 0..self.locations.all().len() {
            let count = same.count(number, 0)?;
            if count > SAME_VALUE_MAX {
                return Err(format!(
                    "{}: {count} schemas or more would be applied to one value (`unevaluatedProperties` and `unevaluatedItems` count \
                     double), and {SAME_VALUE_MAX} is the limit; use fewer allOf, anyOf, oneOf and $ref inside each other.",
                    self.name(number)
                ));
            }
        }
        let mut all = Meter::new(self, Reach::Parts);
        for number in 0..self.locations.all().len() {
            let count = all.count(number, 0)?;
            if count > PATHS_MAX {
                return Err(format!(
                    "{}: has {count} schemas or more once each $ref is replaced by what it refers to, and {PATHS_MAX} is the limit; \
                     refer to fewer or smaller schemas.",
                    self.name(number)
                ));
            }
        }
        Ok(())
    }

    fn name(&self, number: usize) -> String {
        self.locations.all()[number].to_string()
    }
}

/// Which schemas a count takes in.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// Those that apply to the same value.
    SameValue,
    /// Those for its parts too.
    Parts,
}

struct Meter<'g, 'a> {
    graph: &'g Graph<'a>,
    reach: Reach,
    counts: Vec<Option<u64>>,
    is_open: Vec<bool>,
}

impl<'g, 'a> Meter<'g, 'a> {
    fn new(graph: &'g Graph<'a>, reach: Reach) -> Self {
        let size = graph.locations.all().len();
        Self { graph, reach, counts: vec![None; size], is_open: vec![false; size] }
    }

    fn count(&mut self, number: usize, depth: usize) -> Result<u64, String> {
        if let Some(count) = self.counts[number] {
            return Ok(count);
        }
        if self.is_open[number] {
            // Through a part of the value a schema may refer to itself: payloads are at most 64 levels deep.
            return if self.reach == Reach::Parts { Ok(1) } else { Err(self.refusal(number, "refers to itself for the same value")) };
        }
        let depth_max = if self.reach == Reach::Parts { PATHS_DEPTH_MAX } else { SAME_VALUE_DEPTH_MAX };
        if depth == depth_max {
            return Err(self.refusal(number, &format!("is reached through more than {depth_max} others")));
        }
        let location = &self.graph.locations.all()[number];
        if is_of_draft(location.file) {
            return Ok(OF_DRAFT);
        }
        self.is_open[number] = true;
        let mut total: u64 = 1;
        let within = location.children.iter().filter(|(applies, _)| match applies {
            Applies::Same => true,
            Applies::Below => self.reach == Reach::Parts,
            Applies::Apart => false,
        });
        let next: Vec<_> = within.map(|(_, child)| *child).chain(self.graph.targets(number)).collect();
        for child in next {
            total = total.saturating_add(self.count(child, depth + 1)?);
        }
        if self.reach == Reach::SameValue {
            // What is evaluated is found out by applying everything once more.
            for _ in ["unevaluatedProperties", "unevaluatedItems"].iter().filter(|keyword| location.get(keyword).is_some()) {
                total = total.saturating_mul(2);
            }
        }
        self.is_open[number] = false;
        self.counts[number] = Some(total);
        Ok(total)
    }

    fn refusal(&self, number: usize, what: &str) -> String {
        format!("{}: {what}; put its parts together with fewer $ref, allOf, anyOf and oneOf in between.", self.graph.name(number))
    }
}
