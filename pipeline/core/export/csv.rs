//! Conversions as the CSV file that Google Ads imports (<https://support.google.com/google-ads/answer/7014069>): the zone in a row of
//! parameters, then names, then a conversion a row with the one click id that it has.

use serde_json::{Map, Value};

use super::ads::seconds;
use super::ga4::granted;
use super::google_ads::{CLICKS, conversion};
use super::{Facts, Terms};

/// The file's first two lines.
pub const CSV_HEAD: &str = "Parameters:TimeZone=+0000\n\
    Google Click ID,GBRAID,WBRAID,Conversion Name,Conversion Time,Conversion Value,Conversion Currency,Order ID,Ad User Data,Ad Personalization\n";

/// The line of one moment, by the same rules as the API's.
///
/// # Errors
/// Why there is none.
pub fn csv_row(event: &Map<String, Value>, terms: &Terms<'_>) -> Result<String, String> {
    let ads = terms.export.google_ads.as_ref().ok_or("the export is not one to Google Ads")?;
    let name = ads.conversion_name.as_deref().ok_or("give google_ads.conversion_name: a file has the action's name")?;
    let conversion = conversion(&Facts::new(event), terms)?;
    let (day, time) = seconds(conversion.at);
    let clicks = CLICKS.iter().map(|kind| if conversion.click.0 == *kind { conversion.click.1 } else { "" });
    let (value, currency) = conversion.worth.unzip();
    let rest = [
        name.to_owned(),
        format!("{day} {time}"),
        value.map(|value| value.to_string()).unwrap_or_default(),
        currency.unwrap_or_default(),
        conversion.order.to_owned(),
        granted(conversion.ad_user_data).to_owned(),
        conversion.ad_personalization.map(granted).unwrap_or_default().to_owned(),
    ];
    let fields: Vec<String> = clicks.map(str::to_owned).chain(rest).map(|field| quoted(&field)).collect();
    Ok(format!("{}\n", fields.join(",")))
}

/// RFC 4180; and no field begins a formula, for the file is opened in spreadsheets.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '@']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
