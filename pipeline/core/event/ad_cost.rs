//! What a day of advertising cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Currency, Limited};
use super::text::some_text;
use super::{Text, whole};
use crate::limits::{COUNT_MAX, LABEL_BYTES_MAX};
use crate::money;
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
    #[schemars(range(min = 0), extend("pattern" = money::pattern("")))]
    pub cost: Money,
    /// ISO 4217.
    #[schemars(with = "Currency")]
    pub currency: Text<'a>,
    #[serde(default, deserialize_with = "whole::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = COUNT_MAX))]
    pub clicks: Option<u64>,
    #[serde(default, deserialize_with = "whole::optional", skip_serializing_if = "Option::is_none")]
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

    /// A column with gaps is one of floats to who writes these.
    #[test]
    fn counts_may_be_written_as_floats() {
        let day = r#"{"date": "2026-11-20", "source": "google", "medium": "cpc", "cost": "1", "currency": "EUR""#;
        for (more, expected) in [
            (r#", "clicks": 25.0, "impressions": 2.5e1"#, Some((Some(25), Some(25)))),
            (r#", "clicks": null"#, Some((None, None))),
            ("", Some((None, None))),
            (r#", "clicks": 25.5"#, None),
            (r#", "impressions": -1.0"#, None),
        ] {
            let text = format!("{day}{more}}}");
            let told = sonic_rs::from_str::<AdCost<'_>>(&text).ok();
            assert_eq!(told.map(|told| (told.clicks, told.impressions)), expected, "{more}");
        }
    }
}
