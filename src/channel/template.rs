//! Templates over an event. Whoever may write one for a tenant must not be able to keep a sender busy or to fill its memory, so a template
//! names parts of the event, repeats and chooses; it computes nothing. Then no value is larger than the event, its steps are counted as it
//! runs, and what it prints is cut off.

use std::io;

use minijinja::machinery::WhitespaceConfig;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value, escape_formatter, filters, machinery, tests};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// How many steps a template may take: some thousand repetitions.
const STEPS_MAX: u64 = 100_000;

/// How much it may print.
pub(super) const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// What an event is to a template.
pub const EVENT_FIELDS: [&str; 13] = [
    "tenant_id",
    "client_id",
    "source",
    "event_id",
    "event_type",
    "schema_version",
    "subject",
    "occurred_at",
    "received_at",
    "payload",
    "attributes",
    "webhook_id",
    "attempt",
];

/// How long it may be.
const SOURCE_BYTES_MAX: usize = 64 << 10;

/// All but what needs no escape in any part of a URL.
const IN_URLS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Filters that make nothing much larger than what they are given.
const FILTERS: [&str; 8] = ["default", "first", "last", "length", "lower", "tojson", "trim", "upper"];

/// How what an expression gives is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Text,
    /// As JSON, so that a value can never end the text around it.
    Json,
    /// Percent-encoded.
    Url,
}

/// Why a template is none, or could not be filled in. Never with a value of the event's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no template.
    #[error("is no template: line {0}: {1}")]
    Syntax(usize, String),
    /// It does what templates may not.
    #[error("line {0}: {1} may not be used; a template names parts of the event, chooses by `if`, repeats by `for`, and filters by {list}", list = FILTERS.join(", "))]
    Refused(usize, &'static str),
    /// It names what no event has.
    #[error("names {0:?}, which no event has; an event has {list}", list = EVENT_FIELDS.join(", "))]
    Unknown(String),
    /// It is longer than templates may be.
    #[error("is longer than {} KiB", SOURCE_BYTES_MAX >> 10)]
    TooLong,
    /// It names what the event does not have.
    #[error("line {0} names what the event does not have; `{{% if %}}` or the filter `default` help where that may be")]
    Undefined(usize),
    /// It prints `null` where text is needed.
    #[error("line {0} prints null; `{{% if %}}` helps where that may be")]
    Null(usize),
    /// It ran for too long.
    #[error("takes more than {STEPS_MAX} steps")]
    Steps,
    /// It printed too much.
    #[error("prints more than {} KiB", OUTPUT_BYTES_MAX >> 10)]
    Output,
    /// It failed otherwise.
    #[error("line {0} cannot be filled in: {1}")]
    Other(usize, String),
}

/// What templates are over: the names of [`EVENT_FIELDS`].
#[derive(Debug)]
pub struct Event(Value);

impl Event {
    /// From an object with the fields of [`EVENT_FIELDS`].
    pub fn new(fields: &serde_json::Value) -> Self {
        Self(Value::from_serialize(fields))
    }
}

/// A template, compiled.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
}

const NAME: &str = "settings";

impl Template {
    pub(super) fn new(source: &str, kind: Kind) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        let syntax = |error: &minijinja::Error| TemplateError::Syntax(error.line().unwrap_or(1), sentence_of(error));
        let tree = machinery::parse(source, NAME, SyntaxConfig, WhitespaceConfig::default()).map_err(|error| syntax(&error))?;
        check_statement(&tree)?;
        let mut environment = environment(kind);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| syntax(&error))?;
        let unknown = environment.get_template(NAME).map_err(|error| syntax(&error))?.undeclared_variables(false);
        let unknown = unknown.into_iter().filter(|name| name != "loop" && !EVENT_FIELDS.contains(&name.as_str())).min();
        unknown.map_or(Ok(Self { environment }), |name| Err(TemplateError::Unknown(name)))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// What it wanted and may not have, or what the event lacks.
    pub fn render(&self, event: &Event) -> Result<String, TemplateError> {
        let mut output = Bounded(Vec::new());
        let rendered =
            self.environment.get_template(NAME).and_then(|template| template.render_captured_to(&event.0, &mut output).map(|_| ()));
        rendered.map_err(|error| {
            let line = error.line().unwrap_or(1);
            match error.kind() {
                ErrorKind::UndefinedError => TemplateError::Undefined(line),
                ErrorKind::OutOfFuel => TemplateError::Steps,
                ErrorKind::WriteFailure => TemplateError::Output,
                ErrorKind::BadSerialization => TemplateError::Null(line),
                kind => TemplateError::Other(line, kind.to_string()),
            }
        })?;
        String::from_utf8(output.0).map_err(|_| TemplateError::Other(1, "it is no text".to_owned()))
    }
}

/// What the parser says; it knows the template alone, and no event.
fn sentence_of(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

fn environment(kind: Kind) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_auto_escape_callback(move |_| if kind == Kind::Json { AutoEscape::Json } else { AutoEscape::None });
    environment.set_formatter(move |output, state, value| format(kind, output, state, value));
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("tojson", filters::tojson);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment
}

fn format(kind: Kind, output: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match kind {
        Kind::Json => escape_formatter(output, state, value),
        _ if value.is_none() => Err(ErrorKind::BadSerialization.into()),
        Kind::Text => escape_formatter(output, state, value),
        Kind::Url => {
            let text = value.to_string();
            let written = utf8_percent_encode(&text, IN_URLS).try_for_each(|piece| output.write_str(piece));
            written.map_err(|_| ErrorKind::WriteFailure.into())
        }
    }
}

/// What is printed, up to the limit.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_statements(statements: &[Stmt<'_>]) -> Result<(), TemplateError> {
    statements.iter().try_for_each(check_statement)
}

fn check_statement(statement: &Stmt<'_>) -> Result<(), TemplateError> {
    let refused = |line: u16, what| Err(TemplateError::Refused(line.into(), what));
    match statement {
        Stmt::Template(template) => check_statements(&template.children),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::EmitExpr(emitted) => check(&emitted.expr),
        Stmt::IfCond(condition) => {
            check(&condition.expr)?;
            check_statements(&condition.true_body)?;
            check_statements(&condition.false_body)
        }
        Stmt::ForLoop(repetition) => {
            if repetition.recursive {
                return refused(repetition.span().start_line, "`recursive`");
            }
            check(&repetition.iter)?;
            repetition.filter_expr.iter().try_for_each(check)?;
            check_statements(&repetition.body)?;
            check_statements(&repetition.else_body)
        }
        Stmt::WithBlock(other) => refused(other.span().start_line, "`with`"),
        Stmt::Set(other) => refused(other.span().start_line, "`set`"),
        Stmt::SetBlock(other) => refused(other.span().start_line, "`set`"),
        Stmt::AutoEscape(other) => refused(other.span().start_line, "`autoescape`"),
        Stmt::FilterBlock(other) => refused(other.span().start_line, "`filter`"),
        Stmt::Do(other) => refused(other.span().start_line, "`do`"),
    }
}

/// Whether an expression only names, compares and filters. Joined, repeated and literal lists could be made large without a bound.
fn check(expression: &Expr<'_>) -> Result<(), TemplateError> {
    let refused = |what| Err(TemplateError::Refused(expression.span().start_line.into(), what));
    match expression {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::GetAttr(part) => check(&part.expr),
        Expr::GetItem(part) => check(&part.expr).and_then(|()| check(&part.subscript_expr)),
        Expr::UnaryOp(operation) => check(&operation.expr),
        Expr::Compare(comparison) => {
            check(&comparison.expr)?;
            comparison.ops.iter().try_for_each(|operand| check(&operand.expr))
        }
        Expr::BinOp(operation) if is_arithmetic(operation.op) => refused("arithmetic and `~`"),
        Expr::BinOp(operation) => check(&operation.left).and_then(|()| check(&operation.right)),
        Expr::IfExpr(choice) => {
            check(&choice.test_expr)?;
            check(&choice.true_expr)?;
            choice.false_expr.iter().try_for_each(check)
        }
        Expr::Test(test) if !["defined", "undefined", "none"].contains(&test.name) => refused("a test but `defined` and `none`"),
        Expr::Test(test) => {
            check(&test.expr)?;
            check_arguments(&test.args, false).or_else(|()| refused("a test's argument"))
        }
        Expr::Filter(filter) if !FILTERS.contains(&filter.name) => refused("this filter"),
        Expr::Filter(filter) => {
            filter.expr.iter().try_for_each(check)?;
            check_arguments(&filter.args, filter.name == "default").or_else(|()| refused("this filter's argument"))
        }
        Expr::Slice(_) => refused("a slice"),
        Expr::Call(_) => refused("a function"),
        Expr::List(_) | Expr::Map(_) => refused("a list or a table of its own"),
    }
}

fn is_arithmetic(operator: BinOpKind) -> bool {
    use BinOpKind::{Add, Concat, Div, FloorDiv, Mul, Pow, Rem, Sub};
    matches!(operator, Add | Sub | Mul | Div | FloorDiv | Rem | Pow | Concat)
}

fn check_arguments(arguments: &[CallArg<'_>], may_be_there: bool) -> Result<(), ()> {
    let is_fine = |argument: &CallArg<'_>| matches!(argument, CallArg::Pos(value) if check(value).is_ok());
    if arguments.is_empty() || may_be_there && arguments.iter().all(is_fine) { Ok(()) } else { Err(()) }
}
