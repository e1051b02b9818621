//! The JSON Schema of ledgers, for editors.

use crate::format::File;

/// The JSON Schema of a ledger file, made from the types that read it.
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(File);
    schema.insert("title".to_owned(), "Busbar ledger".into());
    schema.to_value()
}
