//! Questions of the URL grammar that group: `_by` and `_c=column|function`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::functions_aggregate::expr_fn::{approx_percentile_cont, avg, count, count_distinct, max, min, sum};
use datafusion::logical_expr::{Expr, ExprSchemable as _, SortExpr, cast, col, ident, lit};
use datafusion::prelude::DataFrame;
use store::Snapshot;

use crate::QueryError;
use crate::cell::Answer;
use crate::filter::{Comparison, Test};
use crate::known::Known;
use crate::scan::Bounds;
use crate::sql::Sql;
use crate::table::LogTable;
use crate::url::{Aggregate, Columns, Function, Having, Question};

/// Answers a question that has `by`.
///
/// # Errors
/// When a column is not known, or the question needs more than allowed.
pub async fn group(sql: &Sql, snapshot: Snapshot, question: &Question, bounds: Bounds) -> Result<Answer, QueryError> {
    let known = Known::of(&snapshot);
    let ignored = unknown(question, &known);
    let by: Vec<&String> = question.by.iter().flatten().filter(|name| !ignored.contains(*name)).collect();
    let aggregates: Vec<&Aggregate> = aggregates(question, &ignored);
    if let Some(first) = ignored.first().filter(|_| question.strict || (by.is_empty() && aggregates.is_empty())) {
        return Err(known.unknown(first));
    }
    let table = LogTable::new(Arc::new(snapshot), &known, question.filter.clone(), bounds);
    let session = sql.session();
    let frame = session.read_table(Arc::new(table)).map_err(|error| plan_error(&error))?;
    let schema = frame.schema().clone();
    let typed = |aggregate: &Aggregate| ident(&aggregate.column).get_type(&schema).unwrap_or(DataType::Utf8);
    let expressions: Vec<Expr> =
        aggregates.iter().map(|aggregate| expression(aggregate, &typed(aggregate)).alias(&aggregate.name)).collect();
    let groups: Vec<Expr> = by.iter().map(|name| ident(name.as_str())).collect();
    let mut groups = frame.aggregate(groups, expressions).map_err(|error| plan_error(&error))?;
    for having in question.having.iter().filter(|having| !ignored.contains(&having.aggregate.column)) {
        groups = groups.filter(condition(having)).map_err(|error| plan_error(&error))?;
    }
    let mut total = None;
    if question.total {
        let counted;
        (groups, counted) = sql.counted(&session, groups, bounds).await?;
        total = Some(counted);
    }
    let page = finish(groups, question, &by).map_err(|error| plan_error(&error))?;
    Ok(Answer { total, ignored, ..sql.collect(page, bounds).await? })
}

/// The columns that the question groups by or computes something of, and that no event has.
fn unknown(question: &Question, known: &Known) -> Vec<String> {
    let computed = question.aggregates.iter().chain(question.having.iter().map(|having| &having.aggregate));
    let names = question.by.iter().flatten().chain(computed.map(|aggregate| &aggregate.column));
    let mut unknown: Vec<String> = Vec::new();
    for name in names {
        if name != "*" && !known.has(name) && !unknown.contains(name) {
            unknown.push(name.clone());
        }
    }
    unknown
}

fn plan_error(error: &datafusion::error::DataFusionError) -> QueryError {
    QueryError::Sql { message: error.strip_backtrace() }
}

/// The aggregates that are shown and those that a condition asks for.
fn aggregates<'a>(question: &'a Question, ignored: &[String]) -> Vec<&'a Aggregate> {
    let mut wanted: Vec<&Aggregate> = Vec::new();
    for aggregate in question.aggregates.iter().chain(question.having.iter().map(|having| &having.aggregate)) {
        if !ignored.contains(&aggregate.column) && !wanted.iter().any(|one| one.name == aggregate.name) {
            wanted.push(aggregate);
        }
    }
    wanted
}

fn expression(aggregate: &Aggregate, data_type: &DataType) -> Expr {
    let column = || ident(&aggregate.column);
    // A number in a text counts as a number; any other text as missing.
    let number = || {
        if data_type.is_numeric() { column() } else { datafusion::logical_expr::try_cast(column(), DataType::Float64) }
    };
    let first_or_last = |ascending: bool| {
        let order = vec![col("timestamp").sort(ascending, false), col("_sequence").sort(ascending, false)];
        datafusion::functions_aggregate::expr_fn::first_value(column(), order)
    };
    match aggregate.function {
        Function::Count if aggregate.column == "*" => count(lit(1)),
        Function::Count => count(column()),
        Function::Minimum => min(column()),
        Function::Maximum => max(column()),
        Function::Average => avg(cast(number(), DataType::Float64)),
        Function::Sum => sum(number()),
        Function::First => first_or_last(true),
        Function::Last => first_or_last(false),
        Function::Distinct => count_distinct(column()),
        Function::Percentile(percent) => {
            let sorted = cast(number(), DataType::Float64).sort(true, false);
            approx_percentile_cont(sorted, lit(f64::from(percent) / 100.0), None)
        }
    }
}

fn finish(frame: DataFrame, question: &Question, by: &[&String]) -> datafusion::error::Result<DataFrame> {
    let has = |frame: &DataFrame, name: &str| frame.schema().has_column_with_unqualified_name(name);
    let mut frame = frame;
    let sort: Vec<SortExpr> = question
        .sort
        .iter()
        .filter(|by| has(&frame, &by.column))
        .map(|by| ident(&by.column).sort(!by.descending, false))
        .collect();
    if !sort.is_empty() {
        frame = frame.sort(sort)?;
    } else if !by.is_empty() {
        // Without a wish: by the groups, so that the answer is the same each time.
        frame = frame.sort(by.iter().map(|name| ident(name.as_str()).sort(true, false)).collect())?;
    }
    let dropped: &[String] = if let Columns::Except(names) = &question.columns { names } else { &[] };
    let names =
        by.iter().map(|name| name.as_str()).chain(question.aggregates.iter().map(|aggregate| aggregate.name.as_str()));
    let shown: Vec<Expr> = names
        .filter(|name| !dropped.iter().any(|one| one == name))
        .filter(|name| has(&frame, name))
        .map(ident)
        .collect();
    frame.limit(question.offset, Some(question.limit))?.select(shown)
}

fn condition(having: &Having) -> Expr {
    let column = || ident(&having.aggregate.name);
    let value = |scalar: &crate::filter::Scalar| scalar.as_number().map_or_else(|| lit(scalar.text.clone()), lit);
    let passed = match &having.test {
        Test::Equal(scalars) => column().in_list(scalars.iter().map(value).collect(), false),
        Test::Compare(comparison, scalar) => match comparison {
            Comparison::Less => column().lt(value(scalar)),
            Comparison::LessOrEqual => column().lt_eq(value(scalar)),
            Comparison::Greater => column().gt(value(scalar)),
            Comparison::GreaterOrEqual => column().gt_eq(value(scalar)),
        },
        Test::Present | Test::Contains { .. } | Test::Wildcard(_) | Test::Regex(_) | Test::Words(_) => {
            column().is_not_null()
        }
    };
    if having.negated { datafusion::logical_expr::not(passed) } else { passed }
}
