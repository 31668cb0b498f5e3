//! What is done in a CRM: steps that find a thing or make it, and then change it. HubSpot's are built in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shape::{self, MomentName, Url};
use super::voice::optional;
use crate::event::object;
use crate::limits::{CRM_NAMES_MAX, CRM_OWNERS_MAX, CRM_STEPS_MAX, WEBHOOK_TEMPLATE_BYTES_MAX};

/// A CRM with a JSON interface. Secret: `access_token`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("url"))]
pub struct Crm {
    /// Before each step's path, such as `https://api.hubapi.com`.
    #[schemars(with = "Url")]
    pub url: String,
    /// `hubspot` for the built-in steps, in place of `steps`.
    pub preset: Option<Preset>,
    /// Done in this order.
    #[serde(deserialize_with = "object::list")]
    #[schemars(length(max = CRM_STEPS_MAX))]
    pub steps: Vec<CrmStep>,
    /// The CRM's number of each agent, by the name in the calls' rows: `{{owner}}`.
    #[schemars(extend("maxProperties" = CRM_OWNERS_MAX))]
    pub owners: BTreeMap<String, String>,
    /// Names of your own for templates, such as the `pipeline` and `stage` of HubSpot's deals.
    #[schemars(extend("maxProperties" = CRM_NAMES_MAX))]
    pub names: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    Hubspot,
}

/// One step: finds, makes where nothing was found, then changes what there is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("name"))]
pub struct CrmStep {
    /// What the steps behind it call the id that it gives: `{{contact}}`.
    #[schemars(regex(pattern = shape::STEP_NAME))]
    pub name: String,
    /// For which moments it is done; absent: for all of the export's.
    #[schemars(with = "Vec<MomentName>")]
    pub moments: Vec<String>,
    /// Names that must have a value, or the step is passed over: of the row, of steps before, `owner`.
    pub needs: Vec<String>,
    #[serde(deserialize_with = "optional")]
    pub find: Option<CrmAsk>,
    #[serde(deserialize_with = "optional")]
    pub create: Option<CrmAsk>,
    /// For each that was found or made, which is `{{id}}`.
    #[serde(deserialize_with = "optional")]
    pub update: Option<CrmAsk>,
}

/// One request. Path and body are templates as a webhook's body is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("path"))]
pub struct CrmAsk {
    /// `GET`, `POST`, `PUT` or `PATCH`. `POST` if absent.
    #[schemars(regex(pattern = shape::METHOD))]
    pub method: Option<String>,
    #[schemars(length(max = WEBHOOK_TEMPLATE_BYTES_MAX), regex(pattern = shape::ASK_PATH))]
    pub path: String,
    /// JSON.
    #[schemars(length(max = WEBHOOK_TEMPLATE_BYTES_MAX))]
    pub body: Option<String>,
    /// Where in the answer the id stands (RFC 6901); a part `*` is each of a list: `/results/*/id`. `/id` if absent.
    #[schemars(regex(pattern = shape::POINTER))]
    pub id: Option<String>,
}

static HUBSPOT: LazyLock<Vec<CrmStep>> =
    LazyLock::new(|| serde_json::from_str(include_str!("hubspot.json")).unwrap_or_default());

impl Crm {
    /// The steps: its own, or those built in.
    pub fn steps(&self) -> &[CrmStep] {
        match self.preset {
            Some(Preset::Hubspot) => &HUBSPOT,
            None => &self.steps,
        }
    }

    /// All that some step is done for.
    pub fn moments(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.steps().iter().flat_map(|step| &step.moments).collect();
        all.into_iter().cloned().collect()
    }
}
