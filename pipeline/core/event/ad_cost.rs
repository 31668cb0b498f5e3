//! What a day of advertising cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Text;
use super::schema::{Currency, Limited};
use super::text::some_text;
use crate::limits::{COUNT_MAX, LABEL_BYTES_MAX};
use crate::row::Money;
use crate::time::Date;

/// What one source, campaign and word cost on one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdCost<'a> {
    pub date: Date,
    #[serde(borrow)]
    #[schemars(with = "Limited<1, LABEL_BYTES_MAX>")]
    pub source: Text<'a>,
    #[schemars(with = "Limited<1, LABEL_BYTES_MAX>")]
    pub medium: Text<'a>,
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub campaign: Option<Text<'a>>,
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub term: Option<Text<'a>>,
    #[serde(default, deserialize_with = "some_text", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Limited<0, LABEL_BYTES_MAX>>")]
    pub content: Option<Text<'a>>,
    #[schemars(range(min = 0), extend("pattern" = "^(0|[1-9][0-9]{0,11})(\\.[0-9]{1,6})?$"))]
    pub cost: Money,
    /// ISO 4217.
    #[schemars(with = "Currency")]
    pub currency: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = COUNT_MAX))]
    pub clicks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = COUNT_MAX))]
    pub impressions: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Visits have none there either, so that costs and visits meet.
    #[test]
    fn words_that_are_empty_are_none() {
        let day = r#"{"date": "2026-11-20", "source": "google", "medium": "cpc", "cost": "1", "currency": "EUR""#;
        for (more, expected) in [
            (r#", "campaign": "", "term": "", "content": """#, [None, None, None]),
            ("", [None, None, None]),
            (r#", "campaign": "winter", "term": " ", "content": null"#, [Some("winter"), Some(" "), None]),
        ] {
            let text = format!("{day}{more}}}");
            let told: AdCost<'_> = serde_json::from_str(&text).unwrap();
            let words = [&told.campaign, &told.term, &told.content].map(|word| word.as_deref());
            assert_eq!(words, expected, "{more}");
        }
    }
}
