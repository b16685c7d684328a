//! Alerts and the dashboard, held against the real daemon by a real Prometheus, where Debian's package of that name is installed.

mod alerts;
mod dashboard;
mod prometheus;
mod rare;
mod rules;

/// A file in `deployments/`.
fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deployments").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of our metrics in an expression, without what a histogram or a rule adds to them.
fn metrics_of(expression: &str) -> Vec<String> {
    let words = expression.split(|character: char| !(character.is_ascii_alphanumeric() || "_:".contains(character)));
    let names = words.filter(|word| word.starts_with("event_processor_") || word.starts_with("process_"));
    names.map(str::to_owned).collect()
}
