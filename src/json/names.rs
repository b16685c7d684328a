//! Whether an object has a name already: in time that an object with very many of them cannot abuse.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::Member;

/// Above so many members an object's names are looked up by hash instead of one by one.
const NAMES_COMPARED_MAX: usize = 16;

/// The names that an object has so far.
#[derive(Default)]
pub(super) struct Names {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Names {
    /// Whether the object has the name already; notes it.
    pub(super) fn has(&mut self, name: &str, members: &[Member<'_>]) -> bool {
        let is_among = |members: &[Member<'_>]| members.iter().any(|member| member.name == name);
        if members.len() < NAMES_COMPARED_MAX {
            return is_among(members);
        }
        if self.hashes.is_empty() {
            let hashes = members.iter().map(|member| self.state.hash_one(member.name.as_ref()));
            self.hashes.extend(hashes);
        }
        !self.hashes.insert(self.state.hash_one(name)) && is_among(members)
    }
}
