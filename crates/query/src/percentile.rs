//! Percentiles: those of one column in one question share one histogram for each group.
//!
//! What the question asks of `approx_percentile_cont` and `approx_median` becomes a histogram that is aggregated, and
//! the percentiles that are read off it.

pub(crate) mod histogram;

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, LargeBinaryArray, LargeBinaryBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, ScalarValue, exec_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, Aggregate, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, Expr, ExprSchemable as _,
    GroupsAccumulator, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    cast, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use histogram::Histogram;

/// Puts histograms in the place of percentiles.
#[derive(Debug)]
pub(crate) struct SharedHistograms {
    histogram: Arc<AggregateUDF>,
    percentile: Arc<ScalarUDF>,
}

impl Default for SharedHistograms {
    fn default() -> Self {
        let histogram = HistogramOf(Signature::exact(vec![DataType::Float64], Volatility::Immutable));
        let read = Signature::exact(vec![DataType::LargeBinary, DataType::Float64], Volatility::Immutable);
        Self {
            histogram: Arc::new(AggregateUDF::from(histogram)),
            percentile: Arc::new(ScalarUDF::from(PercentileOf(read))),
        }
    }
}

impl OptimizerRule for SharedHistograms {
    fn name(&self) -> &'static str {
        "shared_histograms"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(|one| asked(one).is_some()) => {
                Ok(Transformed::yes(self.shared(&aggregate)?))
            }
            plan => Ok(Transformed::no(plan)),
        }
    }
}

impl SharedHistograms {
    fn shared(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let mut aggregates: Vec<Expr> = Vec::new();
        let mut place = |wanted: Expr| {
            aggregates.iter().position(|one| *one == wanted).unwrap_or_else(|| {
                aggregates.push(wanted);
                aggregates.len() - 1
            })
        };
        let mut shown: Vec<(usize, Option<f64>)> = Vec::new();
        for expression in &aggregate.aggr_expr {
            let Some((function, share)) = asked(expression) else {
                shown.push((place(expression.clone()), None));
                continue;
            };
            let mut numbers = function.params.args[0].clone();
            if numbers.get_type(aggregate.input.schema())? != DataType::Float64 {
                numbers = cast(numbers, DataType::Float64);
            }
            let filter = function.params.filter.clone();
            let histogram =
                AggregateFunction::new_udf(Arc::clone(&self.histogram), vec![numbers], false, filter, Vec::new(), None);
            shown.push((place(Expr::AggregateFunction(histogram)), Some(share)));
        }
        let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let inner = Aggregate::try_new(Arc::clone(&aggregate.input), aggregate.group_expr.clone(), aggregates)?;
        let column = |at: usize| Expr::Column(Column::from(inner.schema.qualified_field(at)));
        let mut columns: Vec<Expr> = (0..groups).map(column).collect();
        for (index, (at, share)) in shown.into_iter().enumerate() {
            let field = aggregate.schema.field(groups + index);
            let value = column(groups + at);
            columns.push(match share {
                None => value,
                Some(share) => {
                    let number = self.percentile.call(vec![value, lit(share)]);
                    let same = *field.data_type() == DataType::Float64;
                    let number = if same { number } else { cast(number, field.data_type().clone()) };
                    number.alias(field.name())
                }
            });
        }
        Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(inner)))?))
    }
}

/// The share that a percentile asks for, if it is one that a histogram answers.
fn asked(expression: &Expr) -> Option<(&AggregateFunction, f64)> {
    let expression = if let Expr::Alias(alias) = expression { &*alias.expr } else { expression };
    let Expr::AggregateFunction(function) = expression else { return None };
    let share = match (function.func.name(), &function.params.args[..]) {
        ("approx_median", [_]) => 0.5,
        ("approx_percentile_cont", [_, Expr::Literal(ScalarValue::Float64(Some(share)), _)]) => *share,
        _ => return None,
    };
    let descending = function.params.order_by.first().is_some_and(|sort| !sort.asc);
    let share = if descending { 1.0 - share } else { share };
    ((0.0..=1.0).contains(&share) && !function.params.distinct).then_some((function, share))
}

/// The aggregate function that makes a histogram.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HistogramOf(Signature);

impl AggregateUDFImpl for HistogramOf {
    fn name(&self) -> &'static str {
        "histogram"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::LargeBinary)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[histogram]", arguments.name), DataType::LargeBinary, true))])
    }

    fn accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneHistogram::default()))
    }

    fn groups_accumulator_supported(&self, _arguments: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _arguments: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Histograms::default()))
    }
}

/// The histogram of a question without groups.
#[derive(Debug, Default)]
struct OneHistogram(Histogram);

impl Accumulator for OneHistogram {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for number in numbers(values)?.iter().flatten() {
            self.0.add(number);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for written in written(states)?.iter().flatten() {
            self.0.merge(written);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut out = Vec::new();
        self.0.write(&mut out);
        Ok(ScalarValue::LargeBinary(Some(out)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.bytes()
    }
}

/// One histogram for each group.
#[derive(Debug, Default)]
struct Histograms {
    groups: Vec<Histogram>,
    bytes: usize,
}

impl GroupsAccumulator for Histograms {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(groups, Histogram::default);
        let numbers = numbers(values)?;
        if filter.is_none() && numbers.null_count() == 0 {
            for (group, number) in group_indices.iter().zip(numbers.values()) {
                self.bytes += self.groups[*group].add(*number);
            }
            return Ok(());
        }
        for (row, group) in group_indices.iter().enumerate() {
            let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if passes && numbers.is_valid(row) {
                self.bytes += self.groups[*group].add(numbers.value(row));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.groups.resize_with(groups, Histogram::default);
        for (written, group) in written(states)?.iter().zip(group_indices) {
            self.bytes += written.map_or(0, |written| self.groups[*group].merge(written));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let taken = emit.take_needed(&mut self.groups);
        self.bytes = self.groups.iter().map(Histogram::bytes).sum();
        Ok(Arc::new(write(&taken)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Self::default();
        let rows: Vec<usize> = (0..numbers(values)?.len()).collect();
        each.update_batch(values, &rows, filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes + self.groups.capacity() * size_of::<Histogram>()
    }
}

fn write(histograms: &[Histogram]) -> LargeBinaryArray {
    let mut built = LargeBinaryBuilder::with_capacity(histograms.len(), 0);
    let mut out = Vec::new();
    for histogram in histograms {
        out.clear();
        histogram.write(&mut out);
        built.append_value(&out);
    }
    built.finish()
}

fn numbers(values: &[ArrayRef]) -> Result<&Float64Array> {
    let found = values.first().and_then(|array| array.as_primitive_opt::<Float64Type>());
    found.ok_or_else(|| exec_datafusion_err!("a histogram takes doubles"))
}

fn written(values: &[ArrayRef]) -> Result<&LargeBinaryArray> {
    let found = values.first().and_then(|array| array.as_binary_opt::<i64>());
    found.ok_or_else(|| exec_datafusion_err!("histograms are merged with histograms"))
}

/// The function that reads a percentile off a histogram.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileOf(Signature);

impl ScalarUDFImpl for PercentileOf {
    fn name(&self) -> &'static str {
        "percentile_of"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [histograms, ColumnarValue::Scalar(ScalarValue::Float64(Some(share)))] = &arguments.args[..] else {
            return Err(exec_datafusion_err!("a percentile is read off a histogram at one share"));
        };
        let array = histograms.to_array(arguments.number_rows)?;
        let percentiles: Float64Array = written(&[array])?
            .iter()
            .map(|written| {
                let mut histogram = Histogram::default();
                histogram.merge(written?);
                histogram.percentile(*share)
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(percentiles)))
    }
}
