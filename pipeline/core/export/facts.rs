//! A moment as builders ask it: members of its row, and what rests on several of them.

use serde_json::{Map, Value};

use super::Terms;
use crate::settings::Consented;
use crate::time::Time;

/// A moment.
pub struct Facts<'e> {
    event: &'e Map<String, Value>,
    data: Option<&'e Map<String, Value>>,
}

/// What the visitor consented to. Nothing where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Consent {
    pub analytics: Option<bool>,
    pub ad_user_data: Option<bool>,
    pub ad_personalization: Option<bool>,
}

impl<'e> Facts<'e> {
    pub fn new(event: &'e Map<String, Value>) -> Facts<'e> {
        Facts { event, data: event.get("data").and_then(Value::as_object) }
    }

    pub(super) fn event(&self) -> &'e Map<String, Value> {
        self.event
    }

    fn of_event(&self, name: &str) -> Option<&'e str> {
        self.event.get(name)?.as_str()
    }

    pub(super) fn moment(&self) -> &'e str {
        self.of_event("type").unwrap_or_default()
    }

    /// The moment's own name: the same on every try.
    pub(super) fn id(&self) -> &'e str {
        self.of_event("id").unwrap_or_default()
    }

    /// Made up, to see whether it arrives.
    pub(super) fn is_test(&self) -> bool {
        self.event.get("test").and_then(Value::as_bool).unwrap_or(false)
    }

    fn value(&self, name: &str) -> Option<&'e Value> {
        self.data?.get(name)
    }

    /// A member of the row; nothing where it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&'e str> {
        self.value(name)?.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_f64()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn time(&self, name: &str) -> Option<Time> {
        Time::parse(self.text(name)?).ok()
    }

    /// Of what stands beside the row: `visit`, `deal`, `tag`.
    pub(super) fn beside(&self, of: &str, name: &str) -> Option<&'e Value> {
        self.value(of)?.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn beside_text(&self, of: &str, name: &str) -> Option<&'e str> {
        self.beside(of, name)?.as_str().filter(|text| !text.is_empty())
    }

    /// When the conversion was: a deal's at its moment, a call's at its start.
    pub(super) fn at(&self) -> Option<Time> {
        let of_call = self.time("started_at").filter(|_| self.moment().starts_with("call."));
        of_call.or_else(|| Time::parse(self.of_event("time")?).ok())
    }

    /// What the conversion is known by over all tries, and over all stages of a deal: the call, or the deal.
    pub(super) fn order(&self) -> &'e str {
        let name = if self.moment().starts_with("call.") { "call_id" } else { "deal_id" };
        self.text(name).unwrap_or_else(|| self.id())
    }

    /// The first of these click ids that the visit came with.
    pub(super) fn click(&self, kinds: &[&'static str]) -> Option<(&'static str, &'e str)> {
        let kind = self.text("click_id_type")?;
        let kind = kinds.iter().find(|it| **it == kind)?;
        Some((kind, self.text("click_id")?))
    }

    /// Why there is none of the click ids that a provider knows a visit by.
    pub(super) fn no_click(&self, kinds: &str) -> String {
        match self.text("session_id") {
            Some(_) => format!("the visit came without {kinds}"),
            None if self.text("call_id").is_some() => "no visit of the call is known".to_owned(),
            None => "no call of the deal is known: name its call, or the telephone it came from".to_owned(),
        }
    }

    /// The revenue of a deal, the value of a tag, else what the settings say; with its currency.
    pub(super) fn worth(&self, terms: &Terms<'_>) -> Option<(f64, String)> {
        let told = [("deal", "revenue"), ("tag", "value")].into_iter().find_map(|(of, name)| {
            let value = self.beside(of, name)?;
            let value = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
            let currency = self.beside_text(of, "currency").unwrap_or(terms.currency);
            Some((value, currency.to_owned()))
        });
        let of_settings = || {
            let currency = terms.export.currency.as_deref().unwrap_or(terms.currency);
            Some((terms.export.value?, currency.to_owned()))
        };
        told.or_else(of_settings)
    }

    /// What the page told (Google's Consent Mode, and browsers' signals), else what the settings say. A signal against tracking
    /// (GPC) counts against advertising.
    pub(super) fn consent(&self, terms: &Terms<'_>) -> Consent {
        let told = self.beside("visit", "consent");
        let said = |name: &str| match told?.get(name)?.as_str()? {
            "granted" => Some(true),
            "denied" => Some(false),
            _ => None,
        };
        let signal = told.and_then(|told| told.get("gpc")?.as_bool()).unwrap_or(false);
        let else_ = terms.export.consent.map(|it| it == Consented::Granted);
        let ads = |name: &str| if signal { Some(false) } else { said(name).or(else_) };
        Consent {
            analytics: said("analytics_storage").or(else_),
            ad_user_data: ads("ad_user_data"),
            ad_personalization: ads("ad_personalization"),
        }
    }
}

impl Consent {
    /// Why nothing of this visitor may go to an advertising system; nothing where it may.
    pub fn against_ads(&self) -> Option<String> {
        match self.ad_user_data {
            Some(true) => None,
            Some(false) => Some("the visitor did not consent to ad_user_data".to_owned()),
            None => Some(
                "it is not known whether the visitor consented; the export's `consent` says what holds then".to_owned(),
            ),
        }
    }
}
