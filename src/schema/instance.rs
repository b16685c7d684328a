//! Payloads as the validator sees them: our own tree, nothing copied, numbers by their text, and every step of work counted.
//!
//! The count is what no check of a schema can replace: whether a validation ends in time depends on schema and payload together. The
//! validator knows no end but its own, so when the steps are used up, or someone has lost patience, the next look at a value unwinds it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node as JsonNode, NodeIdentity, Object};
use serde_json::Value;

use super::matching::NameWeight;
use super::number::Text;
use super::stack;
use crate::json::{Member, Node, canonical};

/// So many lookups in an object compare its names one by one; further ones use an index, where there are more members than that.
const LOOKUPS_SCANNED_MAX: usize = 16;

/// How many steps an error counts: the validator keeps all that it meets until it is done, so they cost memory.
const ERROR_STEPS: usize = 100;

/// How much work a validation may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// How many steps it may take.
    pub steps: usize,
    /// How much names count.
    pub names: NameWeight,
}

thread_local! {
    static STEPS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    static NAMES: Cell<NameWeight> = const { Cell::new(NameWeight::LIGHT) };
    static INTERRUPT: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// How many steps are taken between looks whether to stop, as a power of two.
const INTERRUPT_STEPS_LOG2: u32 = 12;

/// What unwinds a validation that has to end.
struct Stop;

/// From now on, validations on this thread end without a result while this is set.
pub fn interrupt_by(flag: Arc<AtomicBool>) {
    INTERRUPT.set(Some(flag));
}

/// Runs a validation within a budget; nothing where that did not suffice, or it was interrupted.
pub(super) fn within<T>(budget: Budget, run: impl FnOnce() -> T) -> Option<T> {
    STEPS_LEFT.set(budget.steps);
    NAMES.set(budget.names);
    stack::begin();
    // The validator itself holds nothing that could be left half-changed.
    match std::panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(cause) if cause.is::<Stop>() => None,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

/// Counts steps of work; does not return when there are none left.
pub(super) fn spend(steps: usize) {
    let before = STEPS_LEFT.get();
    let left = before.saturating_sub(steps);
    STEPS_LEFT.set(left);
    let is_interrupted = || INTERRUPT.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)));
    if left == 0 || (left >> INTERRUPT_STEPS_LOG2 != before >> INTERRUPT_STEPS_LOG2 && is_interrupted()) {
        // No panic: nothing is wrong, and nobody has to hear of it.
        std::panic::resume_unwind(Box::new(Stop));
    }
}

/// Counts a look into an array or object.
fn spend_descent() {
    spend(if stack::is_used_up() { usize::MAX } else { 1 });
}

/// Counts a look at a text, so many sixteenths of a step for each of its bytes.
pub(super) fn spend_short(bytes: usize, sixteenths: usize) {
    spend(1 + bytes * sixteenths / 16);
}

/// The representation of [`Node`] for the validator.
pub(super) struct Payload;

impl Json for Payload {
    type Node<'a> = &'a Node<'a>;
    type PreparedKey = String;
    type StringBuffer = Node<'static>;

    // A lookup is a scan here, so one pass over the members replaces several.
    const KEYS_PER_LOOKUP: usize = 16;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Node<'static>, string: &str, run: impl for<'n> FnOnce(&'n Node<'n>) -> T) -> T {
        spend_short(string.len(), 1);
        *buffer = Node::String(Cow::Owned(string.to_owned()));
        run(buffer)
    }
}

impl<'a> JsonNode<'a, Payload> for &'a Node<'a> {
    type Object = Members<'a>;
    type Array = &'a [Node<'a>];
    type Number = Text<'a>;

    fn as_object(&self) -> Option<Members<'a>> {
        let Node::Object(members) = self else { return None };
        spend_descent();
        Some(Members { all: members, lookups: Cell::new(0), index: OnceCell::new() })
    }

    fn as_array(&self) -> Option<&'a [Node<'a>]> {
        let Node::Array(items) = self else { return None };
        spend_descent();
        Some(items)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let Node::String(string) = self else { return None };
        spend_short(string.len(), 1);
        Some(Cow::Borrowed(string))
    }

    fn as_number(&self) -> Option<Text<'a>> {
        let Node::Number(number) = self else { return None };
        spend(1);
        Some(Text(number))
    }

    fn as_boolean(&self) -> Option<bool> {
        spend(1);
        let Node::Boolean(boolean) = self else { return None };
        Some(*boolean)
    }

    fn is_null(&self) -> bool {
        spend(1);
        matches!(self, Node::Null)
    }

    fn is_number(&self) -> bool {
        spend(1);
        matches!(self, Node::Number(_))
    }

    fn is_string(&self) -> bool {
        spend(1);
        matches!(self, Node::String(_))
    }

    fn json_type(&self) -> JsonType {
        spend(1);
        match self {
            Node::Null => JsonType::Null,
            Node::Boolean(_) => JsonType::Boolean,
            Node::Number(_) => JsonType::Number,
            Node::String(_) => JsonType::String,
            Node::Array(_) => JsonType::Array,
            Node::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        spend(1);
        equal(self, expected)
    }

    /// Never the value: only errors and annotations ask for it, and nothing of an event shall leak into those.
    fn to_value(&self) -> Cow<'a, Value> {
        spend(ERROR_STEPS);
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Node<'_>>(self).addr()))
    }
}

fn equal(node: &Node<'_>, expected: &Value) -> bool {
    match (node, expected) {
        (Node::Null, Value::Null) => true,
        (Node::Boolean(boolean), Value::Bool(expected)) => boolean == expected,
        (Node::Number(number), Value::Number(expected)) => {
            *number == expected.to_string() || canonical(node) == canonical(&Node::Number(&expected.to_string()))
        }
        (Node::String(string), Value::String(expected)) => string == expected,
        (Node::Array(items), Value::Array(expected)) => {
            items.len() == expected.len() && items.iter().zip(expected).all(|(item, expected)| item.equals_value(expected))
        }
        (Node::Object(members), Value::Object(expected)) => {
            members.len() == expected.len()
                && members
                    .iter()
                    .all(|member| expected.get(member.name.as_ref()).is_some_and(|expected| (&member.value).equals_value(expected)))
        }
        _ => false,
    }
}

/// An object's members, and an index of them once it pays.
pub(super) struct Members<'a> {
    all: &'a [Member<'a>],
    lookups: Cell<usize>,
    index: OnceCell<HashMap<&'a str, &'a Node<'a>>>,
}

impl<'a> Object<'a, Payload> for Members<'a> {
    type Node = &'a Node<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.all.len()
    }

    fn get(&self, key: &String) -> Option<&'a Node<'a>> {
        if self.all.len() <= LOOKUPS_SCANNED_MAX || self.lookups.get() < LOOKUPS_SCANNED_MAX {
            self.lookups.set(self.lookups.get() + 1);
            spend(1 + self.all.len() / LOOKUPS_SCANNED_MAX);
            return self.all.iter().find(|member| member.name == key.as_str()).map(|member| &member.value);
        }
        let index = self.index.get_or_init(|| {
            spend(self.all.len());
            self.all.iter().map(|member| (member.name.as_ref(), &member.value)).collect()
        });
        spend(1);
        index.get(key.as_str()).copied()
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(self.all.iter())
    }
}

/// The members in the order of the text.
pub(super) struct MembersIter<'a>(slice::Iter<'a, Member<'a>>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, &'a Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.0.next()?;
        NAMES.get().spend(member.name.len());
        Some((member.name.as_ref(), &member.value))
    }
}

impl<'a> Array<'a, Payload> for &'a [Node<'a>] {
    type Node = &'a Node<'a>;
    type ElementsIter = ElementsIter<'a>;

    fn len(&self) -> usize {
        <[Node<'a>]>::len(self)
    }

    fn elements(&self) -> ElementsIter<'a> {
        ElementsIter(self.iter())
    }

    /// By canonical text: exact, and with a keyed hash, so that no payload can be made of colliding values.
    fn is_unique(&self) -> bool {
        let mut texts = HashSet::new();
        self.iter().all(|item| {
            let text = canonical(item);
            spend(1 + text.len() / 8);
            texts.insert(text)
        })
    }
}

/// The items.
pub(super) struct ElementsIter<'a>(slice::Iter<'a, Node<'a>>);

impl<'a> Iterator for ElementsIter<'a> {
    type Item = &'a Node<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        spend(1);
        self.0.next()
    }
}
