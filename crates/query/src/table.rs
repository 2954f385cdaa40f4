//! A log as a table for DataFusion: one column for each key, of the type that holds all its values.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, StringBuilder, new_null_array,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use event::{Timestamp, format_uuid, logical_name};
use parquet::arrow::arrow_reader::RowSelection;
use store::columns::{Kind, RECEIVED, REST, REST_AT, SEQUENCE, TIMESTAMP, key_columns, time_type};
use store::index::{BLOCK_ROWS, BlockSet};
use store::segment::Segment;
use store::{Rows, Snapshot, StoreError};

use crate::QueryError;
use crate::evaluate::matches;
use crate::filter::{Comparison, Filter, Scalar, Test};
use crate::known::{Known, columns_of};
use crate::log_scan::{LogScan, Queue};
use crate::prune::blocks;
use crate::scan::{Bounds, ranges_of};

/// Rows of the buffer that are handed over at a time.
const BUFFER_BATCH_ROWS: usize = 8192;

/// How many streams of a log are read side by side.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4))
}

/// One log, frozen, with a filter of ours applied to it.
#[derive(Clone)]
pub(crate) struct LogTable {
    snapshot: Arc<Snapshot>,
    schema: SchemaRef,
    filter: Arc<Filter>,
    bounds: Bounds,
}

impl fmt::Debug for LogTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LogTable")
            .field("log", &self.snapshot.log)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl LogTable {
    pub(crate) fn new(snapshot: Arc<Snapshot>, known: &Known, filter: Filter, bounds: Bounds) -> Self {
        Self { schema: logical_schema(known), snapshot, filter: Arc::new(filter), bounds }
    }
}

fn logical_schema(known: &Known) -> SchemaRef {
    let mut fields = vec![Field::new(TIMESTAMP, time_type(), true), Field::new(RECEIVED, time_type(), true)];
    for (name, kinds) in &known.columns {
        if !matches!(name.as_str(), TIMESTAMP | RECEIVED | SEQUENCE | REST) {
            fields.push(Field::new(name, logical_type(kinds), true));
        }
    }
    for name in event::shared::ORDER {
        if !fields.iter().any(|field| field.name() == name) && !matches!(name, "exception" | "sequence") {
            let numeric = matches!(name, "status" | "duration_ms");
            fields.push(Field::new(name, if numeric { DataType::Float64 } else { DataType::Utf8 }, true));
        }
    }
    fields.push(Field::new(SEQUENCE, DataType::UInt64, true));
    fields.push(Field::new(REST, DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

fn logical_type(kinds: &BTreeSet<Kind>) -> DataType {
    let only = |allowed: &[Kind]| kinds.iter().all(|kind| allowed.contains(kind));
    if only(&[Kind::Int]) {
        DataType::Int64
    } else if only(&[Kind::Int, Kind::Float]) {
        DataType::Float64
    } else if only(&[Kind::Bool]) {
        DataType::Boolean
    } else {
        DataType::Utf8
    }
}

#[async_trait::async_trait]
impl TableProvider for LogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        // What we take is only used to skip blocks; DataFusion looks at the rows itself.
        Ok(filters
            .iter()
            .map(|filter| {
                if pruning(filter).is_some() {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let prune = Filter::and(filters.iter().filter_map(pruning).chain([(*self.filter).clone()]));
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projected = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projected)?);
        let units = self.units().collect();
        Ok(Arc::new(LogScan::new(self.clone(), schema, prune, units, threads())))
    }
}

impl LogTable {
    fn units(&self) -> impl Iterator<Item = Unit> {
        let segments = self.snapshot.segments.iter().flat_map(|segment| {
            let opened = segment.open().ok();
            let groups: Vec<usize> = opened.map_or_else(Vec::new, |opened| opened.row_groups().collect());
            groups.into_iter().enumerate().map(|(group, rows)| Unit::Group(Arc::clone(segment), group, rows))
        });
        segments.chain(self.snapshot.rows.iter().cloned().map(Unit::Rows))
    }
}

/// What is read in one go.
#[derive(Clone, Debug)]
pub(crate) enum Unit {
    Group(Arc<Segment>, usize, usize),
    Rows(Arc<Rows>),
}

impl Unit {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Group(_, _, rows) => *rows,
            Self::Rows(rows) => rows.batch.num_rows(),
        }
    }

    /// The earliest and the latest event of the whole of which it is a part.
    pub(crate) fn times(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::Group(segment, ..) => (segment.info().first, segment.info().last),
            Self::Rows(rows) => (rows.first, rows.last),
        }
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, QueryError>> + Send>;

/// Reads what a queue gives, batch by batch.
pub(crate) struct Reader {
    table: LogTable,
    schema: SchemaRef,
    prune: Filter,
    queue: Queue,
    current: Batches,
}

impl Iterator for Reader {
    type Item = datafusion::error::Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Err(error) = self.table.bounds.check() {
                return Some(Err(DataFusionError::External(Box::new(error))));
            }
            match self.current.next() {
                Some(Ok(batch)) => match self.shape(&batch) {
                    Ok(shaped) if shaped.num_rows() == 0 => {}
                    shaped => return Some(shaped.map_err(|error| DataFusionError::External(Box::new(error)))),
                },
                Some(Err(error)) => return Some(Err(DataFusionError::External(Box::new(error)))),
                None => {
                    let unit = self.queue.next()?;
                    self.current = self.open(&unit);
                }
            }
        }
    }
}

impl Reader {
    pub(crate) fn new(table: LogTable, schema: SchemaRef, prune: Filter, queue: Queue) -> Self {
        Self { table, schema, prune, queue, current: Box::new(std::iter::empty()) }
    }

    /// The batches of one unit. A damaged row group ends early; the damage is noted with its segment.
    fn open(&self, unit: &Unit) -> Batches {
        match unit {
            Unit::Rows(rows) => {
                let batch = rows.batch.clone();
                let starts = (0..batch.num_rows()).step_by(BUFFER_BATCH_ROWS);
                Box::new(starts.map(move |at| Ok(batch.slice(at, BUFFER_BATCH_ROWS.min(batch.num_rows() - at)))))
            }
            Unit::Group(segment, group, _) => match self.open_group(segment, *group) {
                Ok(batches) => batches,
                Err(error) => {
                    segment.note_damage(*group, &error.to_string());
                    Box::new(std::iter::empty())
                }
            },
        }
    }

    fn open_group(&self, segment: &Arc<Segment>, group: usize) -> Result<Batches, QueryError> {
        let opened = segment.open()?;
        let rows = opened.row_groups().nth(group).unwrap_or(0);
        let first = opened.row_groups().take(group).map(|rows| rows.div_ceil(BLOCK_ROWS)).sum::<usize>();
        let count = rows.div_ceil(BLOCK_ROWS);
        let candidates = match opened.index() {
            Some(index) => blocks(&self.prune, index, opened.schema()),
            None => BlockSet::all(first + count),
        };
        let chosen: Vec<usize> = candidates
            .iter()
            .filter(|block| (first..first + count).contains(block))
            .map(|block| block - first)
            .collect();
        if chosen.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let ranges = ranges_of(&chosen, rows);
        let selection = (chosen.len() < count).then(|| RowSelection::from_consecutive_ranges(ranges.into_iter(), rows));
        let (columns, coded) = self.columns(opened.schema(), opened.values(REST_AT) > 0);
        let reader = opened.read_coded(group, &columns, &coded, selection).map_err(StoreError::from)?;
        let segment = Arc::clone(segment);
        Ok(Box::new(reader.map_while(move |batch| match batch {
            Ok(batch) => Some(Ok(batch)),
            Err(error) => {
                segment.note_damage(group, &error.to_string());
                None
            }
        })))
    }

    /// The columns to be read, and those of them that nobody looks into.
    fn columns(&self, schema: &Schema, overflow: bool) -> (Vec<usize>, Vec<usize>) {
        let wanted = |name: &str| self.schema.index_of(name).is_ok();
        let filtered = if *self.table.filter == Filter::All {
            Vec::new()
        } else {
            columns_of(&self.table.filter, schema, overflow)
        };
        let keys: Vec<(usize, Cow<'_, str>)> =
            key_columns(schema).map(|(index, path, _)| (index, logical_name(path))).collect();
        // One column of texts: what else has the name would have to be put between.
        let alone = |name: &str| keys.iter().filter(|(_, other)| other == name).count() == 1;
        let as_codes = |name: &str| self.schema.field_with_name(name).is_ok_and(is_coded);
        let coded = keys.iter().filter(|(index, name)| as_codes(name) && alone(name) && !filtered.contains(index));
        let coded = coded.map(|(index, _)| *index).collect();
        let own = crate::known::OWN.iter().enumerate().filter(|(_, name)| wanted(name)).map(|(index, _)| index);
        let mut columns: Vec<usize> = filtered.iter().copied().chain(own).collect();
        columns.extend(keys.iter().filter(|(_, name)| wanted(name)).map(|(index, _)| index));
        columns.sort_unstable();
        columns.dedup();
        (columns, coded)
    }

    /// The rows that pass our filter, with the columns that were asked for.
    fn shape(&self, batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
        let kept;
        let batch = if *self.table.filter == Filter::All {
            batch
        } else {
            kept = filter_record_batch(batch, &BooleanArray::new(matches(&self.table.filter, batch), None))?;
            &kept
        };
        let columns: Vec<ArrayRef> =
            self.schema.fields().iter().map(|field| column(batch, field)).collect::<Result<_, _>>()?;
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// All values of a key in one column of one type.
fn column(batch: &RecordBatch, field: &Field) -> Result<ArrayRef, QueryError> {
    let schema = batch.schema();
    if is_coded(field) {
        return coded(batch, field);
    }
    let own =
        schema.index_of(field.name()).ok().filter(|at| !schema.field(*at).metadata().contains_key("everlog.path"));
    if let Some(own) = own {
        return Ok(Arc::clone(batch.column(own)));
    }
    let found: Vec<(usize, Kind)> = key_columns(&schema)
        .filter(|(_, path, _)| logical_name(path) == *field.name())
        .map(|(index, _, kind)| (index, kind))
        .collect();
    match &found[..] {
        [] => Ok(new_null_array(field.data_type(), batch.num_rows())),
        [(index, kind)] if *kind != Kind::Uuid => Ok(cast(batch.column(*index), field.data_type())?),
        _ if *field.data_type() == DataType::Utf8 => Ok(texts(batch, &found)),
        _ => {
            let casted: Vec<ArrayRef> = found
                .iter()
                .map(|(index, _)| cast(batch.column(*index), field.data_type()))
                .collect::<Result<_, _>>()?;
            let arrays: Vec<&dyn Array> = casted.iter().map(AsRef::as_ref).collect();
            let chosen: Vec<(usize, usize)> = (0..batch.num_rows())
                .map(|row| (arrays.iter().position(|array| array.is_valid(row)).unwrap_or(0), row))
                .collect();
            Ok(arrow::compute::interleave(&arrays, &chosen)?)
        }
    }
}

fn is_coded(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Dictionary(..))
}

/// The texts of a key as a dictionary array. Where they were read one by one, each is its own entry.
fn coded(batch: &RecordBatch, field: &Field) -> Result<ArrayRef, QueryError> {
    for (index, read) in batch.schema().fields().iter().enumerate() {
        let path = read.metadata().get("everlog.path");
        if is_coded(read) && path.is_some_and(|path| logical_name(path) == *field.name()) {
            return Ok(Arc::clone(batch.column(index)));
        }
    }
    let texts = column(batch, &Field::new(field.name(), DataType::Utf8, true))?;
    let entries = i32::try_from(texts.len()).unwrap_or(i32::MAX);
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new((0..entries).collect(), texts)?))
}

fn texts(batch: &RecordBatch, columns: &[(usize, Kind)]) -> ArrayRef {
    let mut built = StringBuilder::new();
    let mut json = Vec::new();
    for row in 0..batch.num_rows() {
        let found = columns.iter().find(|(index, _)| batch.column(*index).is_valid(row));
        match found {
            None => built.append_null(),
            Some((index, Kind::Str)) => built.append_value(batch.column(*index).as_string::<i32>().value(row)),
            Some((index, Kind::Uuid)) => match batch.column(*index).as_fixed_size_binary().value(row).try_into() {
                Ok(bytes) => built.append_value(format_uuid(&bytes)),
                Err(_) => built.append_null(),
            },
            Some((index, _)) => {
                json.clear();
                crate::cell::write_json(batch.column(*index), row, &mut json);
                built.append_value(String::from_utf8_lossy(&json));
            }
        }
    }
    Arc::new(built.finish())
}

/// What an SQL condition rules out, in our terms; `None` when nothing.
fn pruning(expression: &Expr) -> Option<Filter> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => match (pruning(left), pruning(right)) {
                (Some(left), Some(right)) => Some(Filter::and([left, right])),
                (one, other) => one.or(other),
            },
            Operator::Or => Some(Filter::or([pruning(left)?, pruning(right)?])),
            _ => {
                let (Expr::Column(column), Expr::Literal(literal, _)) = (&**left, &**right) else { return None };
                comparison(&column.name, *op, literal)
            }
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = &*list.expr else { return None };
            let scalars =
                list.list.iter().map(|item| if let Expr::Literal(literal, _) = item { scalar(literal) } else { None });
            Some(Filter::field(column.name.clone(), Test::Equal(scalars.collect::<Option<_>>()?)))
        }
        _ => None,
    }
}

fn comparison(name: &str, operator: Operator, literal: &ScalarValue) -> Option<Filter> {
    let scalar = scalar(literal)?;
    // SQL compares texts by their characters: a level or a stream is only itself there, a text only equal as a whole.
    let test = match operator {
        Operator::Eq => Test::Equal(vec![scalar]),
        _ if name != TIMESTAMP => return None,
        Operator::Lt => Test::Compare(Comparison::Less, scalar),
        Operator::LtEq => Test::Compare(Comparison::LessOrEqual, scalar),
        Operator::Gt => Test::Compare(Comparison::Greater, scalar),
        Operator::GtEq => Test::Compare(Comparison::GreaterOrEqual, scalar),
        _ => return None,
    };
    Some(Filter::field(name, test))
}

fn scalar(literal: &ScalarValue) -> Option<Scalar> {
    Some(Scalar::new(match literal {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => {
            text.clone()
        }
        ScalarValue::Int64(Some(number)) => number.to_string(),
        ScalarValue::Int32(Some(number)) => number.to_string(),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => event::Timestamp::from_micros(*micros).to_string(),
        _ => return None,
    }))
}
