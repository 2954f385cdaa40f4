//! Chosen columns of a document.

use serde_json::Value;

/// The value under a dotted name: a literal dotted key, or the way down nested objects.
pub(crate) fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    if let Some(found) = object.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(at, _)| find(object.get(&name[..at])?, &name[at + 1..]))
}

/// A document of only these columns, under their dotted names; null for what is missing.
pub(crate) fn only(document: &Value, names: &[String]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        event::Value::Str(name).write_json(&mut out);
        out.push(b':');
        out.extend_from_slice(find(document, name).unwrap_or(&Value::Null).to_string().as_bytes());
    }
    out.push(b'}');
    out
}

/// The document without these columns.
pub(crate) fn except(document: &mut Value, names: &[String]) {
    for name in names {
        remove(document, name);
    }
}

fn remove(value: &mut Value, name: &str) -> bool {
    let Some(object) = value.as_object_mut() else { return false };
    if object.shift_remove(name).is_some() {
        return true;
    }
    let splits: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
    splits.into_iter().any(|at| object.get_mut(&name[..at]).is_some_and(|inner| remove(inner, &name[at + 1..])))
}
