//! The parameters of the URL grammar.

use engine::url::{Format, LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, PARAMETERS};
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Schema, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Type};

/// All of them, for the doors that read a question from their URL.
pub(crate) struct Grammar;

impl IntoParams for Grammar {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let reserved = PARAMETERS.iter().map(|name| {
            let (about, schema) = described(name);
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(about))
                .schema(Some(schema))
                .build()
        });
        let text = Schema::Object(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build());
        let object = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(text))))
            .build();
        let columns = ParameterBuilder::new()
            .name("filter")
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .style(Some(ParameterStyle::Form))
            .explode(Some(true))
            .description(Some(
                "Any key of the events: `user=alice`, `level!=debug`, `status>=500`, `path~=wp`. Several all hold.",
            ))
            .example(Some(json!({ "user": "alice" })))
            .schema(Some(RefOr::T(Schema::Object(object))))
            .build();
        std::iter::once(columns).chain(reserved).collect()
    }
}

/// What a parameter means, and what its values look like. One that nobody described is a text.
fn described(name: &str) -> (&'static str, RefOr<Schema>) {
    match name {
        "_q" => ("The search language: `level:error timeout`.", text()),
        "_sort" => ("A key to sort by, `-` before it turns the order; repeat for several.", texts()),
        "_limit" => ("Rows at most.", number(LIMIT_MAX, Some(LIMIT_DEFAULT))),
        "_offset" => ("Rows left out at the start; `_cursor` goes further.", number(OFFSET_MAX, Some(0))),
        "_c" => ("A key to show, or `-key` to leave out; with `_by` a computation: `duration_ms|avg`.", texts()),
        "_by" => ("A key to group by; repeat for several.", texts()),
        "_format" => ("How the answer is written.", one_of(Format::names())),
        "_from" => ("Events from this time on: a time, or `-1h`.", text()),
        "_to" => ("Events up to this time.", text()),
        "_strict" => ("`n`: a key that no event has is left out of the question, and not an error.", flag()),
        "_meta" => ("`y`: headers tell how the question was understood.", flag()),
        "_download" => ("A name under which a browser saves the answer.", text()),
        "_cursor" => ("Where the page before ended: from `X-Next-Cursor`.", text()),
        "_total" => ("`n`: do not count all rows, which is quicker.", flag()),
        "_archive" => ("`y`: look through the archive too.", flag()),
        _ => ("", text()),
    }
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).into()
}

fn texts() -> RefOr<Schema> {
    ArrayBuilder::new().items(text()).into()
}

fn one_of(values: impl IntoIterator<Item = &'static str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(values)).into()
}

fn flag() -> RefOr<Schema> {
    one_of(["y", "n"])
}

fn number(max: usize, default: Option<usize>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .minimum(Some(0))
        .maximum(Some(max))
        .default(default.map(Into::into))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_described() {
        for name in PARAMETERS {
            assert!(!described(name).0.is_empty(), "{name}: describe it above");
        }
    }
}
