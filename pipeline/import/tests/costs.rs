//! CSV of what advertising cost.

use super::*;

#[test]
fn a_cost_is_in_the_currency_that_stands_there() {
    for (cost, column, given, expected) in [
        ("USD 12", "", None, "USD"),
        ("€5", "", None, "EUR"),
        ("5 EUR", "", Some("USD"), "EUR"),
        ("$12", "", Some("CAD"), "CAD"),
        ("12", "", Some("EUR"), "EUR"),
        ("12", "CHF", Some("EUR"), "CHF"),
        ("$12", "", None, "has no currency"),
        ("$12", "", Some("EUR"), "which of them is meant"),
        ("£7", "EUR", None, "which of them is meant"),
        ("USD 12", "EUR", None, "which of them is meant"),
    ] {
        let mut desk = Desk::new(Format::AdCostsCsv);
        desk.options.currency = given.map(str::to_owned);
        let csv = format!("date,source,cost,currency\n2026-11-01,google,{cost},{column}\n");
        let (counts, costs) = desk.file("costs.csv", csv.as_bytes()).run().expect("imports");
        let is_refused = expected.len() > 3;
        assert_eq!(
            (counts.ad_costs == 0, counts.unreadable == 1),
            (is_refused, is_refused),
            "{cost} {column} {given:?}"
        );
        assert!(is_refused || costs[0]["data"]["currency"] == expected, "{cost} {column} {given:?}: {costs:?}");
    }
}

/// As Google Ads writes it: titles above the header, no column for the source, sums at the end.
#[test]
fn an_export_of_an_advertising_system_needs_no_editing() {
    let csv = "Campaign report\n\"November 1, 2026 - November 2, 2026\"\nDay,Campaign,Currency code,Clicks,Impr.,Cost\n\
               2026-11-01,Boats,EUR,7,\"1,024\",12.50\n2026-11-02,Boats,EUR,1,96,2.00\nTotal: Campaigns, --,EUR,8,\"1,120\",14.50\n";
    let mut desk = Desk::new(Format::Csv);
    let title = desk.file("ads.csv", csv.as_bytes()).run().expect_err("no source").to_string();
    assert!(title.contains("for source; it has Day, Campaign, Currency code"), "{title}");
    desk.options.values = vec![("source".to_owned(), "google".to_owned())];
    let (counts, costs) = desk.run().expect("imports");
    assert_eq!((counts.lines, counts.ad_costs, counts.unreadable), (3, 2, 1));
    let cost = json!({"date": "2026-11-01", "source": "google", "medium": "cpc", "campaign": "Boats", "cost": 12.5, "currency": "EUR",
        "clicks": 7, "impressions": 1024});
    assert_eq!(costs[0]["data"], cost);
    assert!(desk.rejects().starts_with("Total"));
    desk.options.values[0].1 = "bing".to_owned();
    let (_, others) = desk.run().expect("imports");
    assert_ne!(others[0]["id"], costs[0]["id"], "these are other costs");
    for (columns, values, words) in [
        (vec![("Cost", "cost"), ("cost", "clicks")], vec![], "--map cost stands twice"),
        (vec![("Cost", "cost"), ("Clicks", "cost")], vec![], "--map cost stands twice"),
        (vec![], vec![("source", "a"), ("source", "b")], "--set source stands twice"),
        (vec![], vec![("sauce", "a")], "--set sauce=a: there is no member sauce"),
    ] {
        let owned = |pairs: Vec<(&str, &str)>| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        (desk.options.columns, desk.options.values) = (owned(columns), owned(values));
        let error = desk.run().expect_err(words);
        assert!(error.is_usage() && error.to_string().contains(words), "{error}");
    }
}

/// Titles end with an empty line more often than not, and lines with CR LF wherever Windows wrote them.
#[test]
fn the_header_is_found_below_empty_lines() {
    let rows = "Date,Source,Cost\n2026-11-01,google,5\n\n2026-11-02,google,7\n";
    for above in [
        "",
        "\n",
        "Campaign report\n",
        "Campaign report\n\n",
        "\n\nCampaign report\n\n\n",
        "\"Report of\nNovember\"\n\n",
    ] {
        for text in [format!("{above}{rows}"), format!("{above}{rows}").replace('\n', "\r\n")] {
            let mut desk = Desk::new(Format::Csv);
            desk.options.currency = Some("EUR".to_owned());
            let (counts, costs) =
                desk.file("ads.csv", text.as_bytes()).run().unwrap_or_else(|it| panic!("{text:?}: {it}"));
            assert_eq!((counts.lines, counts.ad_costs, costs.len()), (2, 2, 2), "{text:?}");
        }
    }
    // What has no header is told, also where nothing stands below it.
    for text in ["Campaign report\n\nDate,Source,Campaign\n", "Campaign report\r\n\r\nDate,Source,Campaign\r\n"] {
        let error =
            Desk::new(Format::AdCostsCsv).file("ads.csv", text.as_bytes()).run().expect_err("no cost").to_string();
        assert!(error.contains("no column for cost; it has Date, Source, Campaign."), "{error}");
    }
}
