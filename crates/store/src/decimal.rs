//! Doubles that are short decimal numbers, like a duration in milliseconds with three places, are whole numbers in a
//! segment: `DECIMAL(18, places)` in Parquet, two thirds of the bytes of a double. Whoever reads a segment here gets
//! the very same doubles back; other readers of Parquet see decimal numbers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal64Array, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Decimal64Type, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::columns::{Kind, key_columns};

/// Digits of a `DECIMAL` that Parquet keeps in 64 bits.
const PRECISION: u8 = 18;

/// Most places behind the point.
const PLACES_MAX: i8 = 6;

/// Up to here a number with so many places is a whole number that a double holds exactly.
const LARGEST: f64 = 9e9;

const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

fn power(places: i8) -> f64 {
    usize::try_from(places).ok().and_then(|places| POWERS.get(places)).copied().unwrap_or(1.0)
}

/// The whole number that stands for a double; only meant for those that have no more places.
#[expect(clippy::cast_possible_truncation, reason = "values beyond LARGEST are never written as decimals")]
fn whole(value: f64, places: i8) -> i64 {
    (value * power(places)).round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "no more than 2^53")]
fn double(whole: i64, places: i8) -> f64 {
    whole as f64 / power(places)
}

/// Whether the double comes back bit by bit. More places never spoil it.
fn is_exact(value: f64, places: i8) -> bool {
    value.abs() <= LARGEST && double(whole(value, places), places).to_bits() == value.to_bits()
}

/// How many places the columns of doubles need; `None` for one whose values are no short decimals.
#[derive(Debug, Default)]
pub(crate) struct Decimals(HashMap<String, Option<i8>>);

impl Decimals {
    /// Takes the values of a batch into account.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for (index, path, kind) in key_columns(&batch.schema()) {
            if kind == Kind::Float {
                self.raise(path, |places| needed(batch.column(index).as_primitive(), places));
            }
        }
    }

    /// Takes the columns of a segment into account, as they are in its file.
    pub(crate) fn add_file(&mut self, file: &Schema) {
        for (index, path, kind) in key_columns(&as_doubles(file)) {
            if kind == Kind::Float {
                let found = places_of(file.field(index).data_type());
                self.raise(path, |places| Some(places.max(found?)));
            }
        }
    }

    fn raise(&mut self, path: &str, raised: impl FnOnce(i8) -> Option<i8>) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Some(0));
        }
        if let Some(slot) = self.0.get_mut(path) {
            *slot = slot.and_then(raised);
        }
    }

    /// The schema of the file for columns of this schema.
    pub(crate) fn file_schema(&self, schema: &Schema) -> SchemaRef {
        let mut fields: Vec<Arc<Field>> = schema.fields().to_vec();
        for (index, path, kind) in key_columns(schema) {
            if kind == Kind::Float
                && let Some(Some(places)) = self.0.get(path)
            {
                let decimal = DataType::Decimal64(PRECISION, *places);
                fields[index] = Arc::new(fields[index].as_ref().clone().with_data_type(decimal));
            }
        }
        Arc::new(Schema::new(fields))
    }
}

fn needed(values: &Float64Array, at_least: i8) -> Option<i8> {
    let mut places = at_least;
    for value in values.iter().flatten() {
        while !is_exact(value, places) {
            places += 1;
            if places > PLACES_MAX {
                return None;
            }
        }
    }
    Some(places)
}

fn places_of(data_type: &DataType) -> Option<i8> {
    if let DataType::Decimal64(_, places) = data_type { Some(*places) } else { None }
}

/// The schema as everything outside the file sees it.
pub(crate) fn as_doubles(file: &Schema) -> Schema {
    let field = |field: &Arc<Field>| match places_of(field.data_type()) {
        Some(_) => Arc::new(field.as_ref().clone().with_data_type(DataType::Float64)),
        None => Arc::clone(field),
    };
    Schema::new(file.fields().iter().map(field).collect::<Vec<_>>())
}

/// The batch as the file has it.
///
/// # Errors
/// When the columns do not fit the schema.
pub(crate) fn to_file(batch: &RecordBatch, file: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |(array, field): (&ArrayRef, &Arc<Field>)| -> Result<ArrayRef, ArrowError> {
        let Some(places) = places_of(field.data_type()) else { return Ok(Arc::clone(array)) };
        let decimals: Decimal64Array = array.as_primitive::<Float64Type>().unary(|value| whole(value, places));
        Ok(Arc::new(decimals.with_precision_and_scale(PRECISION, places)?))
    };
    let columns = batch.columns().iter().zip(file.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(file), columns)
}

/// A batch from the file with doubles again.
///
/// # Errors
/// When the columns do not fit the schema.
pub(crate) fn from_file(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |array: &ArrayRef| -> ArrayRef {
        match places_of(array.data_type()) {
            Some(places) => {
                let doubles: Float64Array = array.as_primitive::<Decimal64Type>().unary(|whole| double(whole, places));
                Arc::new(doubles)
            }
            None => Arc::clone(array),
        }
    };
    if !batch.columns().iter().any(|array| places_of(array.data_type()).is_some()) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().map(column).collect();
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::columns::schema_of;

    fn batch(values: Vec<Option<f64>>) -> RecordBatch {
        let full = schema_of(std::iter::once(("duration_ms", Kind::Float)));
        let schema = Arc::new(full.project(&[4]).unwrap());
        RecordBatch::try_new(schema, vec![Arc::new(Float64Array::from(values))]).unwrap()
    }

    fn bits(batch: &RecordBatch) -> Vec<Option<u64>> {
        batch.column(0).as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)).collect()
    }

    proptest! {
        #[test]
        fn doubles_come_back_bit_by_bit(values in proptest::collection::vec(proptest::option::of(prop_oneof![
            3 => (-9_000_000_000_i64..9_000_000_000, 0..7_i8).prop_map(|(whole, places)| double(whole, places)),
            1 => any::<f64>(),
            1 => Just(-0.0), 1 => Just(9e9), 1 => Just(-9e9), 1 => Just(0.1 + 0.2),
        ]), 0..40)) {
            let batch = batch(values.clone());
            let mut places = Decimals::default();
            places.add(&batch);
            let file = places.file_schema(&batch.schema());
            let decimal = places_of(file.field(0).data_type());
            let written = to_file(&batch, &file).unwrap();
            // What another segment brings may ask for more places.
            let mut more = Decimals::default();
            more.add_file(&file);
            more.raise("duration_ms", |_| Some(PLACES_MAX));
            prop_assert_eq!(decimal.is_some(), values.iter().flatten().all(|value| is_exact(*value, PLACES_MAX)));
            let read = from_file(written, &batch.schema()).unwrap();
            prop_assert_eq!(bits(&read), bits(&batch));
            if decimal.is_some() {
                let finer = more.file_schema(&batch.schema());
                let read = from_file(to_file(&read, &finer).unwrap(), &batch.schema()).unwrap();
                prop_assert_eq!(bits(&read), bits(&batch));
            }
        }
    }
}
