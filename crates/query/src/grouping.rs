//! The first half of a GROUP BY over a log: every value of a group's columns becomes a code, and only codes are
//! compared. Texts that stand in a dictionary of the file are looked at once for each dictionary, not for each row.
//!
//! What comes out is what DataFusion's own partial aggregation hands over to the final one.

mod keys;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, aggregate_expressions};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties};
use futures::StreamExt as _;

use crate::log_scan::LogScan;
use keys::{Keys, Spans};

/// At so many groups it is asked whether grouping pays.
const GROUPS_TRIED: usize = 1 << 17;

/// Most groups before they are handed over to the final aggregation, which may spill.
const GROUPS_MAX: usize = 1 << 20;

/// As many when nearly every row is a group of its own.
const GROUPS_OF_SINGLES: usize = 1 << 13;

/// Puts [`GroupByCodes`] in the place of DataFusion's partial aggregation where it can.
#[derive(Debug)]
pub(crate) struct GroupOnCodes;

impl PhysicalOptimizerRule for GroupOnCodes {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<AggregateExec>().map(GroupByCodes::of).transpose()? {
            Some(Some(grouping)) => Ok(Transformed::yes(Arc::new(grouping) as Arc<dyn ExecutionPlan>)),
            _ => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "group_on_codes"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What one column of the groups is.
#[derive(Clone, Debug)]
struct Key {
    expression: Arc<dyn PhysicalExpr>,
    spans: Option<Spans>,
    data_type: DataType,
}

impl Key {
    fn of(expression: &Arc<dyn PhysicalExpr>, input: &SchemaRef) -> Result<Option<Self>> {
        let data_type = expression.data_type(input)?;
        if !keys::is_supported(&data_type) {
            return Ok(None);
        }
        if let Some((times, spans)) = time_spans(expression, input) {
            return Ok(Some(Self { expression: times, spans: Some(spans), data_type }));
        }
        Ok(Some(Self { expression: Arc::clone(expression), spans: None, data_type }))
    }
}

/// `date_bin`, and `date_trunc` in UTC, of microseconds: spans of time of equal length.
fn time_spans(expression: &Arc<dyn PhysicalExpr>, input: &SchemaRef) -> Option<(Arc<dyn PhysicalExpr>, Spans)> {
    let function = expression.downcast_ref::<ScalarFunctionExpr>()?;
    let [first, times, rest @ ..] = function.args() else { return None };
    let first = first.downcast_ref::<Literal>()?.value();
    match function.name() {
        "date_bin" => {
            let ScalarValue::IntervalMonthDayNano(Some(length)) = first else { return None };
            let origin = match rest.first() {
                None => 0,
                Some(origin) => match origin.downcast_ref::<Literal>()?.value() {
                    ScalarValue::TimestampNanosecond(Some(origin), _) => *origin,
                    _ => return None,
                },
            };
            let nanos = i64::from(length.days).checked_mul(86_400_000_000_000)?.checked_add(length.nanoseconds)?;
            // The way over nanoseconds is left out.
            let cast = times.downcast_ref::<CastExpr>()?;
            let micros = matches!(cast.expr().data_type(input).ok()?, DataType::Timestamp(TimeUnit::Microsecond, _));
            let fits = micros && matches!(cast.cast_type(), DataType::Timestamp(TimeUnit::Nanosecond, _));
            let whole = length.months == 0 && nanos > 0 && nanos % 1000 == 0 && origin % 1000 == 0;
            let spans = Spans { length: nanos / 1000, origin: origin / 1000, unit: 1000 };
            (fits && whole).then(|| (Arc::clone(cast.expr()), spans))
        }
        "date_trunc" => {
            let DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) = times.data_type(input).ok()? else {
                return None;
            };
            // Weeks begin on Monday; the first was on the fifth day.
            let (seconds, first_day) = match first.try_as_str()??.to_lowercase().as_str() {
                "second" => (1, 0),
                "minute" => (60, 0),
                "hour" => (3600, 0),
                "day" => (86_400, 0),
                "week" => (7 * 86_400, 4),
                _ => return None,
            };
            let spans = Spans { length: seconds * 1_000_000, origin: first_day * 86_400_000_000, unit: 1 };
            (&*zone == "UTC").then(|| (Arc::clone(times), spans))
        }
        _ => None,
    }
}

/// Aggregates what one partition reads, group by group.
#[derive(Debug)]
struct GroupByCodes {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Key>,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    properties: Arc<PlanProperties>,
    schema: SchemaRef,
}

impl GroupByCodes {
    /// The same as a partial aggregation; `None` when that is better left as it is.
    fn of(plan: &AggregateExec) -> Result<Option<Self>> {
        let groups = plan.group_expr();
        let aggregates = plan.aggr_expr();
        let simple = *plan.mode() == AggregateMode::Partial
            && groups.is_single()
            && !groups.is_empty()
            && plan.limit_options().is_none()
            && *plan.input_order_mode() == InputOrderMode::Linear;
        if !simple || !aggregates.iter().all(|one| one.groups_accumulator_supported()) {
            return Ok(None);
        }
        let schema = plan.input().schema();
        let keys = groups.expr().iter().map(|(expression, _)| Key::of(expression, &schema));
        let Some(keys) = keys.collect::<Result<Option<Vec<Key>>>>()? else { return Ok(None) };
        let mut used: Vec<usize> = Vec::new();
        let arguments = aggregate_expressions(aggregates, plan.mode(), 0)?;
        let filters = plan.filter_expr().iter().flatten();
        for expression in arguments.iter().flatten().chain(filters) {
            used.extend(collect_columns(expression).iter().map(Column::index));
        }
        let mut bare: Vec<usize> = Vec::new();
        for key in &keys {
            match key.expression.downcast_ref::<Column>() {
                Some(column) if key.data_type == DataType::Utf8 => bare.push(column.index()),
                _ => used.extend(collect_columns(&key.expression).iter().map(Column::index)),
            }
        }
        bare.retain(|index| !used.contains(index));
        let input = coded(plan.input(), &bare)?.unwrap_or_else(|| Arc::clone(plan.input()));
        Ok(Some(Self {
            input,
            keys,
            aggregates: aggregates.to_vec(),
            filters: plan.filter_expr().to_vec(),
            properties: Arc::clone(plan.properties()),
            schema: plan.schema(),
        }))
    }
}

/// The plan with these columns, which nobody looks into, as dictionaries; `None` when it reads no log.
fn coded(plan: &Arc<dyn ExecutionPlan>, columns: &[usize]) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if columns.is_empty() {
        return Ok(None);
    }
    if let Some(scan) = plan.downcast_ref::<LogScan>() {
        return Ok(Some(Arc::new(scan.coded(columns))));
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(None) };
    let (mut wanted, mut used) = (Vec::new(), Vec::new());
    for (index, shown) in projection.expr().iter().enumerate() {
        match shown.expr.downcast_ref::<Column>() {
            Some(column) if columns.contains(&index) => wanted.push(column.index()),
            _ => used.extend(collect_columns(&shown.expr).iter().map(Column::index)),
        }
    }
    wanted.retain(|index| !used.contains(index));
    let Some(input) = coded(projection.input(), &wanted)? else { return Ok(None) };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Some(Arc::clone(plan).replace_children(vec![input], options)?))
}

impl DisplayAs for GroupByCodes {
    fn fmt_as(&self, _style: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|key| match key.spans {
                None => key.expression.to_string(),
                Some(spans) => format!("{} in spans of {} µs", key.expression, spans.length),
            })
            .collect();
        let aggregates: Vec<&str> = self.aggregates.iter().map(|one| one.name()).collect();
        write!(formatter, "GroupByCodes: by=[{}], partial=[{}]", keys.join(", "), aggregates.join(", "))
    }
}

impl ExecutionPlan for GroupByCodes {
    fn name(&self) -> &'static str {
        "GroupByCodes"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self.keys.iter().map(|key| &key.expression);
        let arguments = aggregate_expressions(&self.aggregates, &AggregateMode::Partial, 0)?;
        for expression in keys.chain(arguments.iter().flatten()).chain(self.filters.iter().flatten()) {
            if visit(expression)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("groups are made of one input");
        };
        Ok(Arc::new(Self {
            input,
            keys: self.keys.clone(),
            aggregates: self.aggregates.clone(),
            filters: self.filters.clone(),
            properties: Arc::clone(&self.properties),
            schema: Arc::clone(&self.schema),
        }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let consumer = MemoryConsumer::new(format!("groups of partition {partition}"));
        let groups = Groups {
            keys: self.keys.clone(),
            arguments: aggregate_expressions(&self.aggregates, &AggregateMode::Partial, 0)?,
            filters: self.filters.clone(),
            schema: Arc::clone(&self.schema),
            values: Keys::new(self.keys.iter().map(|key| key.data_type.clone()).collect()),
            accumulators: self.aggregates.iter().map(|one| one.create_groups_accumulator()).collect::<Result<_>>()?,
            of_rows: Vec::new(),
            rows: 0,
            most: GROUPS_TRIED,
            memory: consumer.register(context.memory_pool()),
        };
        let work = Work {
            input: Some(input),
            groups,
            out: VecDeque::new(),
            batch_rows: context.session_config().batch_size(),
        };
        let batches = futures::stream::try_unfold(work, Work::next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

/// One partition at work.
struct Work {
    /// `None` when it has ended.
    input: Option<SendableRecordBatchStream>,
    groups: Groups,
    out: VecDeque<RecordBatch>,
    batch_rows: usize,
}

impl Work {
    /// The next batch of partial states, and what is left to do.
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            if let Some(batch) = self.out.pop_front() {
                return Ok(Some((batch, self)));
            }
            let Some(input) = &mut self.input else { return Ok(None) };
            match input.next().await.transpose()? {
                Some(batch) => {
                    self.groups.add(&batch)?;
                    if !self.groups.fit() {
                        self.hand_over()?;
                    }
                }
                None => {
                    self.input = None;
                    self.hand_over()?;
                }
            }
        }
    }

    fn hand_over(&mut self) -> Result<()> {
        let batch = self.groups.take()?;
        let starts = (0..batch.num_rows()).step_by(self.batch_rows.max(1));
        self.out.extend(starts.map(|at| batch.slice(at, self.batch_rows.min(batch.num_rows() - at))));
        Ok(())
    }
}

/// The groups of one partition with what is known of each.
struct Groups {
    keys: Vec<Key>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    schema: SchemaRef,
    values: Keys,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The group of each row of the batch.
    of_rows: Vec<usize>,
    rows: usize,
    /// With more groups than this they are handed over.
    most: usize,
    memory: MemoryReservation,
}

impl Groups {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let evaluate = |expression: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expression.evaluate(batch)?.into_array(batch.num_rows())
        };
        let arrays = self.keys.iter().map(|key| evaluate(&key.expression)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<keys::Column<'_>> = arrays
            .iter()
            .zip(&self.keys)
            .map(|(array, key)| match key.spans {
                None => keys::Column::Values(array),
                Some(spans) => keys::Column::Spans(array, spans),
            })
            .collect();
        self.values.add(&columns, &mut self.of_rows)?;
        self.rows += batch.num_rows();
        let groups = self.values.len();
        for ((accumulator, arguments), filter) in self.accumulators.iter_mut().zip(&self.arguments).zip(&self.filters) {
            let arguments = arguments.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(evaluate).transpose()?;
            let filter: Option<&BooleanArray> = filter.as_ref().map(|filter| filter.as_boolean());
            accumulator.update_batch(&arguments, &self.of_rows, filter, groups)?;
        }
        Ok(())
    }

    /// Whether there is room for more. When there is none, what there is goes on to the final aggregation.
    fn fit(&mut self) -> bool {
        let states: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        let groups = self.values.len();
        if self.memory.try_resize(self.values.size() + states).is_err() {
            return false;
        }
        if groups < self.most {
            return true;
        }
        let singles = groups * 10 > self.rows * 8;
        if !singles && self.most == GROUPS_TRIED {
            self.most = GROUPS_MAX;
            return true;
        }
        if singles {
            self.most = GROUPS_OF_SINGLES;
        }
        false
    }

    fn take(&mut self) -> Result<RecordBatch> {
        if self.values.len() == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let mut columns = self.values.take()?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        self.rows = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        // Until it has been handed over, this is what there is.
        self.memory.resize(batch.get_array_memory_size());
        Ok(batch)
    }
}
