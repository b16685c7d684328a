//! Names and prose have the field's words: a reader who knows queues, Postgres and JSON Schema needs no glossary.

use std::path::Path;

use crate::architecture::files;

/// Words for which the field has others, as parts of names.
const WORDS_OF_OUR_OWN: [&str; 22] = [
    "letter",
    "letters",
    "judge",
    "judges",
    "judged",
    "judging",
    "judgement",
    "judgements",
    "suspect",
    "suspects",
    "gate",
    "held",
    "slot",
    "slots",
    "standing",
    "doubt",
    "aside",
    "look",
    "looks",
    "quotes",
    "fate",
    "shown",
];

/// A name of more words is a sentence, as those of tests are.
const NAME_WORDS_MAX: usize = 4;

/// The words of a name in snake or camel case; of `dead_letter` the two are one.
fn words_of(name: &str) -> Vec<String> {
    let spaced: String = name.chars().flat_map(|character| [character.is_uppercase().then_some('_'), Some(character)]).flatten().collect();
    let spaced = spaced.to_lowercase().replace("dead_letter", "deadletter");
    spaced.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A source without its comments and texts.
fn code_of(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(character) = rest.chars().next() {
        let hashes = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
        let is_raw =
            hashes.is_some_and(|hashes| rest[1 + hashes..].starts_with('"')) && !code.ends_with(|last: char| last.is_alphanumeric());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if is_raw {
            let begin = 2 + hashes.unwrap_or_default();
            let end = format!("\"{}", "#".repeat(hashes.unwrap_or_default()));
            begin + rest[begin..].find(&end).expect("an end") + end.len()
        } else if character == '"' {
            1 + length_of_text(&rest[1..])
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(character);
            character.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// Of the rest of a text in quotes, the last one included.
fn length_of_text(rest: &str) -> usize {
    let mut is_escaped = false;
    let end = rest.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    end.expect("an end") + 1
}

/// The names in a source that have a word of our own.
fn names_of_our_own(text: &str) -> Vec<String> {
    let code = code_of(text);
    let names = code.split(|character: char| !character.is_alphanumeric() && character != '_');
    let is_our_own = |name: &&str| {
        let words = words_of(name);
        words.len() <= NAME_WORDS_MAX && words.iter().any(|word| WORDS_OF_OUR_OWN.contains(&word.as_str()))
    };
    // regex_syntax calls it so.
    names.filter(is_our_own).filter(|name| *name != "UnsupportedLookAround").map(str::to_owned).collect()
}

#[test]
fn names_are_the_fields_words() {
    let named = files().into_iter().filter(|path| !path.ends_with("words.rs")).flat_map(|path| {
        let text = std::fs::read_to_string(&path).expect("a source");
        names_of_our_own(&text).into_iter().map(move |name| format!("{}: {name}", path.display()))
    });
    let mut found: Vec<String> = named.collect();
    found.dedup();
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(names_of_our_own("let letter = gate.look(dead_letter_id); // the judge"), ["letter", "gate", "look"]);
    assert_eq!(names_of_our_own(r##"let a = "a letter \" more"; let b = r#"a "gate" here"#; let c = '"'; let slot = 1;"##), ["slot"]);
}

/// What users read, and what a contributor reads first.
#[test]
fn prose_speaks_of_validation_dead_letters_and_poison_messages() {
    let mut found = Vec::new();
    let documents = ["README.md", ".env-template", "deployments/README.md"].map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    for path in files().into_iter().chain(documents).filter(|path| !path.ends_with("words.rs")) {
        let text = std::fs::read_to_string(&path).expect("a text");
        for (number, line) in text.lines().enumerate() {
            let words: Vec<String> = line.split(|character: char| !character.is_alphabetic()).map(str::to_lowercase).collect();
            if words.iter().any(|word| word.starts_with("judg") || word.starts_with("suspect")) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
