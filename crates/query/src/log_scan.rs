//! The plan that reads a log: its partitions take row groups from one queue, so that none waits for another.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use event::Timestamp;
use parking_lot::Mutex;
use store::columns::TIMESTAMP;

use crate::filter::Filter;
use crate::table::{LogTable, Reader, Unit};

/// Reads some columns of a log.
#[derive(Debug)]
pub(crate) struct LogScan {
    pub(crate) table: LogTable,
    pub(crate) schema: SchemaRef,
    /// Only rules out blocks.
    pub(crate) prune: Filter,
    pub(crate) units: Arc<[Unit]>,
    runs: Mutex<Runs>,
    properties: Arc<PlanProperties>,
}

/// A plan may be run again; all partitions of one run share a queue.
#[derive(Debug, Default)]
struct Runs {
    started: Vec<usize>,
    queues: Vec<Arc<AtomicUsize>>,
}

impl LogScan {
    pub(crate) fn new(
        table: LogTable,
        schema: SchemaRef,
        prune: Filter,
        units: Arc<[Unit]>,
        partitions: usize,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        let runs = Mutex::new(Runs { started: vec![0; partitions], queues: Vec::new() });
        Self { table, schema, prune, units, runs, properties }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }

    fn again(&self, schema: SchemaRef) -> Self {
        Self::new(self.table.clone(), schema, self.prune.clone(), Arc::clone(&self.units), self.partitions())
    }

    /// The same with these columns of texts as dictionaries, which saves whoever only tells texts apart to look at each.
    pub(crate) fn coded(&self, columns: &[usize]) -> Self {
        let fields = self.schema.fields().iter().enumerate().map(|(index, field)| {
            if columns.contains(&index) && *field.data_type() == DataType::Utf8 {
                Arc::new(Field::new(field.name(), coded_type(), true))
            } else {
                Arc::clone(field)
            }
        });
        self.again(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn queue(&self, partition: usize) -> Arc<AtomicUsize> {
        let mut runs = self.runs.lock();
        let run = runs.started[partition];
        runs.started[partition] += 1;
        if runs.queues.len() <= run {
            runs.queues.push(Arc::default());
        }
        Arc::clone(&runs.queues[run])
    }
}

/// The type of a column of texts of which each is there once.
pub(crate) fn coded_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Takes what is next to be read of a log.
#[derive(Debug)]
pub(crate) struct Queue {
    units: Arc<[Unit]>,
    next: Arc<AtomicUsize>,
}

impl Iterator for Queue {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        self.units.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

impl DisplayAs for LogScan {
    fn fmt_as(&self, _style: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|field| {
                let codes = if matches!(field.data_type(), DataType::Dictionary(..)) { " as codes" } else { "" };
                format!("{}{codes}", field.name())
            })
            .collect();
        write!(formatter, "LogScan: columns=[{}], partitions={}", columns.join(", "), self.partitions())
    }
}

impl ExecutionPlan for LogScan {
    fn name(&self) -> &'static str {
        "LogScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a log is read from nothing else") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.again(Arc::clone(&self.schema))))
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let queue = Queue { units: Arc::clone(&self.units), next: self.queue(partition) };
        let reader = Reader::new(self.table.clone(), Arc::clone(&self.schema), self.prune.clone(), queue);
        let batches = futures::stream::iter(reader);
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = self.units.iter().map(Unit::rows).sum();
        statistics.num_rows = match (arguments.partition(), &self.prune) {
            // Nothing is left out: then this is how many there are, and counting needs no reading.
            (None, Filter::All) => Precision::Exact(rows),
            (None, _) => Precision::Inexact(rows),
            (Some(_), _) => Precision::Inexact(rows / self.partitions()),
        };
        if let (Precision::Exact(_), Ok(at)) = (&statistics.num_rows, self.schema.index_of(TIMESTAMP))
            && let Some(first) = self.units.iter().map(|unit| unit.times().0).min()
            && let Some(last) = self.units.iter().map(|unit| unit.times().1).max()
        {
            let exact = |time: Timestamp| {
                Precision::Exact(ScalarValue::TimestampMicrosecond(Some(time.as_micros()), Some("UTC".into())))
            };
            let column = &mut statistics.column_statistics[at];
            (column.min_value, column.max_value, column.null_count) = (exact(first), exact(last), Precision::Exact(0));
        }
        Ok(Arc::new(statistics))
    }
}
