//! Elasticsearch's SQL: its names for things, on the SQL that logs are asked with anyway.
//!
//! A statement is read, its tables and columns are given the names that they have here, and it is answered like any
//! other. Its pages are cut from answers in one order, so that a cursor is a place and nothing has to be kept for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::TableReference;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, DataType, Expr, FunctionArguments, GroupByExpr, Ident, LimitClause, ObjectName, ObjectNamePart,
    OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TimezoneInfo, Value as Literal,
    visit_expressions_mut, visit_relations_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use serde_json::{Value, json};
use store::Snapshot;
use store::columns::{Kind, RECEIVED, REST, SEQUENCE, TIMESTAMP};

use super::{ElasticError, key_of};
use crate::cell::write_json;
use crate::filter::{Filter, is_text_key, wildcard, wildcard_matches};
use crate::known::Known;
use crate::scan::Bounds;
use crate::sql::Sql;
use crate::table::LogTable;

/// Longest statement, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A statement to be answered.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The statement.
    pub query: String,
    /// What stands for its question marks, in order.
    pub params: Vec<Value>,
    /// Rows of the pages before.
    pub offset: usize,
    /// Rows of a page.
    pub fetch: usize,
    /// Events accepted later are not seen: those of the first page.
    pub bound: Option<u64>,
    /// Which events.
    pub filter: Filter,
}

/// A page of an answer.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Names and Elasticsearch's types.
    pub columns: Vec<(String, &'static str)>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Whether there are more.
    pub more: bool,
    /// Events accepted later were not seen.
    pub bound: u64,
}

impl Table {
    fn of(names: &[(&str, &'static str)], rows: Vec<Vec<Value>>) -> Self {
        Self {
            columns: names.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            rows,
            ..Self::default()
        }
    }
}

/// The logs that a statement may ask.
pub trait Logs: Send + Sync {
    /// Their names.
    fn names(&self) -> Vec<String>;
    /// The events of one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self, name: &str) -> Result<Snapshot, ElasticError>;
}

fn unverified(reason: impl Into<String>) -> ElasticError {
    ElasticError { status: 400, kind: "verification_exception", reason: reason.into() }
}

impl Sql {
    /// Answers a statement.
    ///
    /// # Errors
    /// 400 when it cannot be read or planned, others as [`Sql::ask`].
    pub async fn ask_as_elastic(&self, asked: &Asked, logs: &dyn Logs, bounds: Bounds) -> Result<Table, ElasticError> {
        if asked.query.len() > TEXT_BYTES_MAX {
            return Err(ElasticError::parsing(format!(
                "the statement is {} bytes long, the limit is {TEXT_BYTES_MAX}",
                asked.query.len()
            )));
        }
        if let Some(table) = shown(&asked.query, logs)? {
            return Ok(table);
        }
        let mut statement = parsed(&asked.query)?;
        substitute(&mut statement, &asked.params)?;
        let session = self.session();
        let (known, bound) = register(&session, &mut statement, (asked, logs), bounds)?;
        let rewritten = Rewriting { known: &known, qualifiers: qualifiers(&statement), aliases: aliases(&statement) }
            .apply(statement, asked)?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let planned = session.sql_with_options(&rewritten, options).await;
        let frame = planned.map_err(|error| ElasticError::from(crate::sql::sql_error(&error)))?;
        let limited = frame.limit(asked.offset, Some(asked.fetch + 1));
        let frame = limited.map_err(|error| ElasticError::from(crate::sql::sql_error(&error)))?;
        let answer = self.collect(frame, bounds).await?;
        let columns = answer.columns.iter().map(|(name, kind)| (name.clone(), type_of(name, kind))).collect();
        let mut rows = rows_of(&answer.batches);
        let more = rows.len() > asked.fetch;
        rows.truncate(asked.fetch);
        Ok(Table { columns, rows, more, bound })
    }
}

fn type_of(name: &str, kind: &str) -> &'static str {
    match kind {
        "integer" => "long",
        "float" => "double",
        "boolean" => "boolean",
        "timestamp" => "datetime",
        "null" => "null",
        _ if is_text_key(name) => "text",
        _ => "keyword",
    }
}

fn rows_of(batches: &[RecordBatch]) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    let mut json = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| {
                json.clear();
                write_json(column, row, &mut json);
                serde_json::from_slice(&json).unwrap_or_default()
            });
            rows.push(cells.collect());
        }
    }
    rows
}

fn parsed(text: &str) -> Result<Statement, ElasticError> {
    let parser =
        Parser::new(&GenericDialect {}).with_recursion_limit(64).try_with_sql(text.trim().trim_end_matches(';'));
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements =
        statements.map_err(|error| ElasticError::parsing(error.to_string().replace("sql parser error: ", "")))?;
    match (statements.pop(), statements.pop()) {
        (Some(statement @ Statement::Query(_)), None) => Ok(statement),
        (Some(_), None) => {
            Err(ElasticError::parsing("only questions are answered: SELECT, SHOW TABLES, SHOW COLUMNS, DESCRIBE"))
        }
        (None, _) => Err(ElasticError::parsing("the statement is empty")),
        _ => Err(ElasticError::parsing("several statements do not go together: send one")),
    }
}

/// `SHOW …` and `DESCRIBE …`.
fn shown(text: &str, logs: &dyn Logs) -> Result<Option<Table>, ElasticError> {
    let words: Vec<&str> =
        text.split_whitespace().map(|word| word.trim_end_matches(';')).filter(|word| !word.is_empty()).collect();
    let upper: Vec<String> = words.iter().take(4).map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let last = words.last().copied().unwrap_or_default();
    let name = last.trim_matches(['"', '\'', '`']);
    Ok(Some(match upper[..] {
        ["SHOW", "TABLES", ..] => {
            let pieces = if words.len() > 2 { wildcard(&name.replace('%', "*")) } else { wildcard("*") };
            let rows = logs.names().into_iter().filter(|log| wildcard_matches(&pieces, log));
            let rows = rows.map(|log| vec![json!("everlog"), json!(log), json!("TABLE"), json!("INDEX")]).collect();
            Table::of(&[("catalog", "keyword"), ("name", "keyword"), ("type", "keyword"), ("kind", "keyword")], rows)
        }
        ["SHOW", "COLUMNS", "FROM" | "IN", ..] | ["DESCRIBE" | "DESC", ..] if words.len() >= 2 => {
            let mut known = Known::default();
            for log in matching(name, logs)? {
                add(&mut known, &Known::of(&logs.open(&log)?));
            }
            let row = |(name, kind): (String, &'static str)| {
                let sql = match kind {
                    "long" => "BIGINT",
                    "double" => "DOUBLE",
                    "boolean" => "BOOLEAN",
                    "datetime" => "TIMESTAMP",
                    _ => "VARCHAR",
                };
                vec![json!(name), json!(sql), json!(kind)]
            };
            let rows = columns(&known).into_iter().map(row).collect();
            Table::of(&[("column", "keyword"), ("type", "keyword"), ("mapping", "keyword")], rows)
        }
        ["SHOW", "FUNCTIONS", ..] => {
            let aggregates = ["AVG", "COUNT", "MAX", "MIN", "SUM", "STDDEV_POP", "VAR_POP"]
                .map(|name| vec![json!(name), json!("AGGREGATE")]);
            let scalars = ["ABS", "CAST", "COALESCE", "CONCAT", "DATE_TRUNC", "LOWER", "NOW", "ROUND", "UPPER"]
                .map(|name| vec![json!(name), json!("SCALAR")]);
            Table::of(&[("name", "keyword"), ("type", "keyword")], aggregates.into_iter().chain(scalars).collect())
        }
        ["SHOW", "CATALOGS"] => {
            Table::of(&[("name", "keyword"), ("type", "keyword")], vec![vec![json!("everlog"), json!("local")]])
        }
        _ => return Ok(None),
    }))
}

/// The logs that a table stands for.
fn matching(name: &str, logs: &dyn Logs) -> Result<Vec<String>, ElasticError> {
    let mut found = Vec::new();
    for name in name.split(',') {
        let pieces = wildcard(name.trim().trim_matches('"'));
        found.extend(logs.names().into_iter().filter(|log| wildcard_matches(&pieces, log)));
    }
    if found.is_empty() {
        return Err(unverified(format!("Found 1 problem\nline 1:15: Unknown index [{name}]")));
    }
    Ok(found)
}

fn add(known: &mut Known, other: &Known) {
    for (name, kinds) in &other.columns {
        known.columns.entry(name.clone()).or_default().extend(kinds);
    }
    known.overflow |= other.overflow;
}

/// The columns of a table as Elasticsearch has them, with their types.
fn columns(known: &Known) -> Vec<(String, &'static str)> {
    let only = |kinds: &BTreeSet<Kind>, allowed: &[Kind]| kinds.iter().all(|kind| allowed.contains(kind));
    let own = [TIMESTAMP, RECEIVED, SEQUENCE, REST, event::ADDED, "id", "@timestamp"];
    let keys = known.columns.iter().filter(|(name, _)| !own.contains(&name.as_str())).map(|(name, kinds)| {
        let kind = match kinds {
            kinds if only(kinds, &[Kind::Int]) => "long",
            kinds if only(kinds, &[Kind::Int, Kind::Float]) => "double",
            kinds if only(kinds, &[Kind::Bool]) => "boolean",
            _ if is_text_key(name) => "text",
            _ => "keyword",
        };
        (name.clone(), kind)
    });
    std::iter::once(("@timestamp".to_owned(), "datetime")).chain(keys).collect()
}

/// Puts values in the place of question marks.
fn substitute(statement: &mut Statement, params: &[Value]) -> Result<(), ElasticError> {
    let mut left = params.iter();
    let mut absent = false;
    let _ = visit_expressions_mut(statement, |expression: &mut Expr| {
        if let Expr::Value(value) = expression
            && matches!(&value.value, Literal::Placeholder(_))
        {
            let given = left.next().map(|given| given.get("value").unwrap_or(given));
            absent |= given.is_none();
            value.value = match given {
                Some(Value::Bool(truth)) => Literal::Boolean(*truth),
                Some(Value::Number(number)) => Literal::Number(number.to_string(), false),
                Some(Value::String(text)) => Literal::SingleQuotedString(text.clone()),
                _ => Literal::Null,
            };
        }
        ControlFlow::<()>::Continue(())
    });
    if absent { Err(ElasticError::parsing("there are fewer [params] than question marks")) } else { Ok(()) }
}

/// Makes the tables of a statement known to a session; all keys of all of them, and the last sequence number that counts.
fn register(
    session: &SessionContext,
    statement: &mut Statement,
    (asked, logs): (&Asked, &dyn Logs),
    bounds: Bounds,
) -> Result<(Known, u64), ElasticError> {
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    let within = with_names(statement);
    let _ = visit_relations_mut(statement, |name: &mut ObjectName| {
        // A catalog before the name is ours.
        let last = name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.clone());
        if let Some(last) = last.filter(|last| !within.contains(last)) {
            // A name is what it is, whatever the case of its letters.
            name.0 = vec![ObjectNamePart::Identifier(Ident::with_quote('"', last.clone()))];
            tables.insert(last.clone(), last);
        }
        ControlFlow::<()>::Continue(())
    });
    let (mut known, mut bound) = (Known::default(), asked.bound.unwrap_or(u64::MAX));
    let failed = |error| ElasticError::from(crate::sql::sql_error(&error));
    for name in tables.keys() {
        let mut whole: Option<DataFrame> = None;
        for log in matching(name, logs)? {
            let snapshot = logs.open(&log)?;
            bound = bound.min(asked.bound.unwrap_or(snapshot.last_sequence));
            let own = Known::of(&snapshot);
            add(&mut known, &own);
            let filter = super::search::for_log(&asked.filter, &log).into_owned();
            let later = asked.bound.is_some_and(|bound| snapshot.last_sequence > bound);
            let mut frame = session
                .read_table(Arc::new(LogTable::new(Arc::new(snapshot), &own, filter, bounds)))
                .map_err(failed)?;
            if later {
                frame = frame.filter(col(SEQUENCE).lt_eq(lit(bound))).map_err(failed)?;
            }
            whole = Some(match whole {
                None => frame,
                Some(before) => before.union_by_name(frame).map_err(failed)?,
            });
        }
        if let Some(whole) = whole {
            session.register_table(TableReference::bare(name.as_str()), whole.into_view()).map_err(failed)?;
        }
    }
    Ok((known, if bound == u64::MAX { 0 } else { bound }))
}

/// The names that `WITH` gives.
fn with_names(statement: &Statement) -> HashSet<String> {
    let Statement::Query(query) = statement else { return HashSet::new() };
    query.with.iter().flat_map(|with| &with.cte_tables).map(|table| table.alias.name.value.clone()).collect()
}

fn select_of(statement: &Statement) -> Option<&Select> {
    match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Select(select) => Some(select),
            _ => None,
        },
        _ => None,
    }
}

/// The names before a dot that are those of tables.
fn qualifiers(statement: &Statement) -> HashSet<String> {
    let mut names = HashSet::new();
    let tables = select_of(statement).into_iter().flat_map(|select| &select.from);
    for table in
        tables.flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)))
    {
        match table {
            TableFactor::Table { name, alias, .. } => {
                names.extend(name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.clone()));
                names.extend(alias.iter().map(|alias| alias.name.value.clone()));
            }
            TableFactor::Derived { alias, .. } => names.extend(alias.iter().map(|alias| alias.name.value.clone())),
            _ => {}
        }
    }
    names
}

/// The names that the statement gives to columns.
fn aliases(statement: &Statement) -> HashSet<String> {
    let items = select_of(statement).into_iter().flat_map(|select| &select.projection);
    items
        .filter_map(
            |item| if let SelectItem::ExprWithAlias { alias, .. } = item { Some(alias.value.clone()) } else { None },
        )
        .collect()
}

struct Rewriting<'a> {
    known: &'a Known,
    qualifiers: HashSet<String>,
    aliases: HashSet<String>,
}

impl Rewriting<'_> {
    fn apply(&self, mut statement: Statement, asked: &Asked) -> Result<String, ElasticError> {
        if let Statement::Query(query) = &mut statement {
            if let SetExpr::Select(select) = query.body.as_mut() {
                self.project(select);
            }
            order(query, asked)?;
        }
        let _ = visit_expressions_mut(&mut statement, |expression: &mut Expr| {
            self.expression(expression);
            ControlFlow::<()>::Continue(())
        });
        Ok(statement.to_string())
    }

    /// Gives every column the name that Elasticsearch gives it, and `*` the columns that it has there.
    fn project(&self, select: &mut Select) {
        let plain = matches!(select.from.as_slice(), [one] if one.joins.is_empty() && matches!(one.relation, TableFactor::Table { .. }));
        let mut items = Vec::new();
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    let name = self.column_name(&expression).unwrap_or_else(|| expression.to_string());
                    items.push(SelectItem::ExprWithAlias { expr: expression, alias: Ident::with_quote('"', name) });
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) if plain => {
                    items.extend(columns(self.known).into_iter().map(|(name, _)| {
                        let key = Ident::with_quote('"', key_of(&name));
                        SelectItem::ExprWithAlias { expr: Expr::Identifier(key), alias: Ident::with_quote('"', name) }
                    }));
                }
                other => items.push(other),
            }
        }
        select.projection = items;
    }

    /// The name of a column as it was written, without its table.
    fn column_name(&self, expression: &Expr) -> Option<String> {
        match expression {
            Expr::Identifier(ident) => Some(ident.value.clone()),
            Expr::CompoundIdentifier(parts) => {
                let own = parts.len() > 1 && self.qualifiers.contains(&parts[0].value);
                let parts = parts.iter().skip(usize::from(own)).map(|part| part.value.as_str());
                Some(parts.collect::<Vec<_>>().join("."))
            }
            // A name like `user` is a function of SQL too.
            Expr::Function(function) if matches!(function.args, FunctionArguments::None) => {
                Some(function.name.to_string()).filter(|name| self.known.has(name))
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let mut name = self.column_name(root)?;
                for part in access_chain {
                    let AccessExpr::Dot(Expr::Identifier(ident)) = part else { return None };
                    name = if self.qualifiers.contains(&name) { String::new() } else { name + "." };
                    name.push_str(&ident.value);
                }
                Some(name)
            }
            _ => None,
        }
    }

    fn expression(&self, expression: &mut Expr) {
        if let Expr::Cast { data_type, .. } = expression
            && matches!(data_type, DataType::Datetime(_))
        {
            *data_type = DataType::Timestamp(None, TimezoneInfo::None);
        }
        let Some(name) = self.column_name(expression) else { return };
        let key = self.key(&name);
        *expression = Expr::Identifier(Ident::with_quote('"', key));
    }

    /// The key that a name means: as written, or but for the case of its letters.
    fn key(&self, name: &str) -> String {
        let key = key_of(name);
        if self.aliases.contains(name) && !self.known.has(key) {
            return name.to_owned();
        }
        if self.known.has(key) {
            return key.to_owned();
        }
        let same = self.known.names().find(|known| known.eq_ignore_ascii_case(key));
        same.map_or_else(|| key.to_owned(), str::to_owned)
    }
}

/// Puts the rows in one order, so that pages fit together; not where there can be but one page.
fn order(query: &mut Query, asked: &Asked) -> Result<(), ElasticError> {
    let limit = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit: Some(Expr::Value(value)), .. }) => {
            value.value.to_string().parse::<usize>().ok()
        }
        _ => None,
    };
    if limit.is_some_and(|limit| limit <= asked.fetch) {
        return Ok(());
    }
    let mut grouped = true;
    let mut width = 0;
    if let SetExpr::Select(select) = query.body.as_ref() {
        width = select.projection.len();
        let groups = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
        let aggregates = select.projection.iter().any(|item| item.to_string().contains('('));
        grouped = groups || aggregates || select.distinct.is_some() || select.having.is_some();
        if select.from.len() != 1
            || select
                .from
                .iter()
                .any(|table| !table.joins.is_empty() || !matches!(table.relation, TableFactor::Table { .. }))
        {
            grouped = true;
        }
    }
    if grouped && width == 0 {
        return Ok(());
    }
    let more = if grouped {
        (1..=width).map(|at| at.to_string()).collect::<Vec<_>>().join(", ")
    } else {
        format!("\"{SEQUENCE}\"")
    };
    let Statement::Query(helper) = parsed(&format!("SELECT 1 ORDER BY {more}"))? else { return Ok(()) };
    let Some(OrderBy { kind: OrderByKind::Expressions(mut added), .. }) = helper.order_by else { return Ok(()) };
    match &mut query.order_by {
        Some(OrderBy { kind: OrderByKind::Expressions(by), .. }) => by.append(&mut added),
        Some(_) => {}
        none => *none = Some(OrderBy { kind: OrderByKind::Expressions(added), interpolate: None }),
    }
    Ok(())
}
