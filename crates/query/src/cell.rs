//! Tables as answers: columns with types, rows of JSON values.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use event::{Timestamp, Value, format_uuid};

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Names and types of the columns, in order.
    pub columns: Vec<(String, &'static str)>,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// How many groups there are in all, whatever the limit; only of a question that groups, and if it was asked.
    pub total: Option<u64>,
    /// Columns that the question names and no event has (only when it is not strict).
    pub ignored: Vec<String>,
}

impl Answer {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    pub(crate) fn new(schema: &arrow::datatypes::Schema, batches: Vec<RecordBatch>) -> Self {
        let columns =
            schema.fields().iter().map(|field| (field.name().clone(), type_name(field.data_type()))).collect();
        Self { columns, batches, ..Self::default() }
    }

    /// Appends the rows as JSON objects, `separator` between them.
    pub fn write_rows(&self, separator: &[u8], out: &mut Vec<u8>) {
        let names: Vec<Vec<u8>> = self
            .columns
            .iter()
            .map(|(name, _)| {
                let mut json = Vec::new();
                Value::Str(name).write_json(&mut json);
                json.push(b':');
                json
            })
            .collect();
        let mut first = true;
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                if !std::mem::replace(&mut first, false) {
                    out.extend_from_slice(separator);
                }
                out.push(b'{');
                for (index, name) in names.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                    write_json(batch.column(index), row, out);
                }
                out.push(b'}');
            }
        }
    }
}

fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => "integer",
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => "float",
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => "timestamp",
        DataType::Null => "null",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Dictionary(_, value) => type_name(value),
        _ => "other",
    }
}

/// Appends one cell as JSON.
pub fn write_json(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    let micros;
    let text;
    let value = match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::UInt64 => {
            out.extend_from_slice(column.as_primitive::<UInt64Type>().value(row).to_string().as_bytes());
            return;
        }
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Utf8 => Value::Str(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Value::Str(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Value::Str(column.as_string_view().value(row)),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
            micros = Timestamp::from_micros(column.as_primitive::<TimestampMicrosecondType>().value(row)).to_string();
            Value::Str(&micros)
        }
        DataType::FixedSizeBinary(16) => {
            text = column
                .as_fixed_size_binary()
                .value(row)
                .try_into()
                .map_or_else(|_| String::new(), |bytes| format_uuid(&bytes));
            Value::Str(&text)
        }
        DataType::Null => Value::Null,
        _ => {
            let options = FormatOptions::default();
            text = ArrayFormatter::try_new(column, &options)
                .map_or_else(|_| String::new(), |formatter| formatter.value(row).to_string());
            Value::Str(&text)
        }
    };
    value.write_json(out);
}

/// JSON has no NaN and no infinity.
fn float(number: f64) -> Value<'static> {
    if number.is_finite() { Value::Float(number) } else { Value::Null }
}
