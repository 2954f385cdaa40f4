//! What an aggregation is, as `typed_keys` writes it before its name: clients choose by it how they read the answer.

use super::aggs::{Kind, Measure, Shape};
use super::buckets::{Node, State};

/// The type of an aggregation in Elasticsearch. Without a value to tell by, terms are texts.
pub(crate) fn type_of(node: &Node<'_>) -> &'static str {
    match (&node.plan.kind, &node.state) {
        (Kind::Terms(_), State::Terms(terms, _)) => match terms.seen {
            seen if seen.as_texts() => "sterms",
            seen if seen.floats => "dterms",
            seen if seen.ints || seen.bools || seen.times => "lterms",
            _ => "sterms",
        },
        (Kind::Terms(_), _) => "sterms",
        (Kind::Histogram(_), _) => "histogram",
        (Kind::Dates(_), _) => "date_histogram",
        (Kind::Ranges(plan), _) if plan.dates => "date_range",
        (Kind::Ranges(_), _) => "range",
        (Kind::Filters(plan), _) if plan.shape == Shape::Single => "filter",
        (Kind::Filters(_), _) => "filters",
        (Kind::Missing(_), _) => "missing",
        (Kind::Global, _) => "global",
        (Kind::Composite(_), _) => "composite",
        (Kind::Top(_), _) => "top_hits",
        (Kind::Metric(metric), _) => match metric.measure {
            Measure::Min => "min",
            Measure::Max => "max",
            Measure::Average => "avg",
            Measure::Sum => "sum",
            Measure::Count => "value_count",
            Measure::Stats => "stats",
            Measure::Extended { .. } => "extended_stats",
            Measure::Cardinality => "cardinality",
            Measure::Percentiles { .. } => "tdigest_percentiles",
            Measure::Ranks { .. } => "tdigest_percentile_ranks",
        },
    }
}
