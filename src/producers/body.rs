//! Bodies, put together by hand: what is wrong with one is meant, and the payload is sent exactly as it is.

/// The fields of a body. Names and values are JSON where they are called text, plain otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) tenant_id: Option<String>,
    pub(super) event_id: String,
    pub(super) source: String,
    pub(super) event_type: Option<String>,
    pub(super) schema_version: Option<i64>,
    pub(super) client_id: Option<String>,
    pub(super) payload_text: String,
    /// Further fields, behind the payload: a name and a JSON text.
    pub(super) others: Vec<(&'static str, String)>,
}

impl Fields {
    pub(super) fn write(&self) -> String {
        let mut fields = Vec::new();
        let mut field = |name: &str, text: String| fields.push(format!("{}:{text}", quote(name)));
        if let Some(tenant_id) = &self.tenant_id {
            field("tenant_id", quote(tenant_id));
        }
        field("event_id", quote(&self.event_id));
        field("source", quote(&self.source));
        if let Some(event_type) = &self.event_type {
            field("event_type", quote(event_type));
        }
        if let Some(version) = self.schema_version {
            field("schema_version", version.to_string());
        }
        if let Some(client_id) = &self.client_id {
            field("client_id", quote(client_id));
        }
        field("payload", self.payload_text.clone());
        for (name, text) in &self.others {
            field(name, text.clone());
        }
        format!("{{{}}}", fields.join(","))
    }
}

/// A text as a JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
