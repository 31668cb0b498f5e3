//! Microsoft Advertising, offline conversions.
//!
//! Rules, from <https://learn.microsoft.com/en-us/advertising/campaign-management-service/offlineconversion> and
//! `…/applyofflineconversions`: the click id of `msclkid`; the goal's name; a time in UTC; of one click and time only the first counts, so
//! the same again does no harm. Two hours after the goal was made it takes conversions. An answer of status 200 has `PartialErrors`.

use serde_json::{Value, json};

use super::ads::{bearer, json as read, seconds, token};
use super::{Facts, Reply, Step, Terms, base, is_success, post_json, unwelcome};
use crate::settings::{Hidden, MicrosoftAds};
use crate::time::MICROS_PER_DAY;

const HOST: &str = "https://campaign.api.bingads.microsoft.com";
const TOKENS: &str = "https://login.microsoftonline.com/common/oauth2/v2.0/token";
const SCOPE: &str = "https://ads.microsoft.com/msads.manage offline_access";
/// The longest conversion window of a goal.
const CLICK_LASTS: i64 = 90 * MICROS_PER_DAY;

pub(super) fn next(ads: &MicrosoftAds, facts: &Facts<'_>, terms: &Terms<'_>, replies: &[Reply]) -> Step {
    if let [reply] = replies {
        return judge(reply);
    }
    if facts.is_test() {
        return Step::Skip("nothing is sent to Microsoft for a test: it has no click to count it for".to_owned());
    }
    let conversion = match conversion(ads, facts, terms) {
        Ok(conversion) => conversion,
        Err(why) => return Step::Skip(why),
    };
    let Some(held) = terms.token else { return token(terms, base(&ads.token_url, TOKENS), Some(SCOPE)) };
    let headers = vec![
        bearer(held),
        ("developertoken", Hidden::new(terms.secret("developer_token"))),
        ("customerid", Hidden::new(&*ads.customer_id)),
        ("customeraccountid", Hidden::new(&*ads.account_id)),
    ];
    let url = format!("{}/CampaignManagement/v13/OfflineConversions/Apply", base(&ads.url, HOST));
    post_json(url, headers, &json!({"OfflineConversions": [conversion]}))
}

fn conversion(ads: &MicrosoftAds, facts: &Facts<'_>, terms: &Terms<'_>) -> Result<Value, String> {
    let (_, click) = facts.click(&["msclkid"]).ok_or_else(|| facts.no_click("msclkid"))?;
    let at = facts.at().ok_or("it has no time")?;
    if facts.time("session_started_at").is_some_and(|clicked| terms.now.since(clicked) > CLICK_LASTS) {
        return Err("its click is older than the 90 days that Microsoft looks back".to_owned());
    }
    if let Some(why) = facts.consent(terms).against_ads() {
        return Err(why);
    }
    let (day, time) = seconds(at);
    let mut conversion = json!({
        "MicrosoftClickId": click,
        "ConversionName": ads.conversion_name,
        "ConversionTime": format!("{day}T{time}Z"),
    });
    if let Some((value, currency)) = facts.worth(terms) {
        conversion["ConversionValue"] = json!(value);
        conversion["ConversionCurrencyCode"] = json!(currency);
    }
    Ok(conversion)
}

fn judge(reply: &Reply) -> Step {
    let body = read(reply);
    let list = |name: &str| body.get(name).and_then(Value::as_array).and_then(|all| all.first()).cloned();
    let told = |error: &Value| {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{}: {}", text("ErrorCode"), text("Message"))
    };
    if !is_success(reply) {
        return unwelcome(reply, list("Errors").or_else(|| list("OperationErrors")).as_ref().map(told));
    }
    match list("PartialErrors") {
        Some(error) if !error.is_null() => Step::Refused(told(&error)),
        _ => Step::Done,
    }
}
