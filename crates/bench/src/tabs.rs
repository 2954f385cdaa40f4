//! The made-up events as rows with tabs, for those who load columns.

/// The keys of the events, in the order of the columns.
pub const COLUMNS: [&str; 17] = [
    "id",
    "timestamp",
    "stream",
    "level",
    "event",
    "logger",
    "user",
    "ip",
    "request_id",
    "method",
    "path",
    "status",
    "duration_ms",
    "user_agent",
    "message",
    "object_type",
    "object_id",
];

/// Appends an event that the generator made as one row, `\N` where it has no value.
///
/// It knows that these events are flat, have their keys in this order, and have nothing that is escaped.
pub fn push_row(line: &str, out: &mut Vec<u8>) {
    let mut rest = line.trim_end().trim_start_matches('{');
    for (place, column) in COLUMNS.iter().enumerate() {
        if place > 0 {
            out.push(b'\t');
        }
        let after_key = rest.strip_prefix('"').and_then(|rest| rest.strip_prefix(column));
        let Some(value) = after_key.and_then(|rest| rest.strip_prefix("\":")) else {
            out.extend_from_slice(b"\\N");
            continue;
        };
        let (value, after) = match value.strip_prefix('"') {
            Some(text) => text.split_once('"').unwrap_or((text, "")),
            None => value.split_at(value.find([',', '}']).unwrap_or(value.len())),
        };
        out.extend_from_slice(value.as_bytes());
        rest = after.trim_start_matches([',', '}']);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, push_row};
    use crate::Generator;

    #[test]
    fn a_row_has_what_the_event_has() {
        let mut day = Generator::new(7, 200);
        let mut line = Vec::new();
        while day.next_line(&mut line) {
            let text = std::str::from_utf8(&line).unwrap();
            let event: serde_json::Value = serde_json::from_str(text).unwrap();
            let mut row = Vec::new();
            push_row(text, &mut row);
            let row = String::from_utf8(row).unwrap();
            let expected: Vec<String> = COLUMNS
                .iter()
                .map(|column| match &event[*column] {
                    serde_json::Value::Null => "\\N".to_owned(),
                    serde_json::Value::String(text) => text.clone(),
                    number => number.to_string(),
                })
                .collect();
            // A number may be written with fewer digits.
            let found: Vec<&str> = row.trim_end().split('\t').collect();
            assert_eq!(found.len(), COLUMNS.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(found == expected || found.parse::<f64>() == expected.parse::<f64>(), "{found} {expected}");
            }
            line.clear();
        }
    }
}
