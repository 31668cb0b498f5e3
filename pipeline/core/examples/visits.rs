//! What it costs to look a page view over, in processor time (Linux), so that a busy machine does not blur it.
//!
//!     cargo run --release -p callweave-core --example visits

use std::hint::black_box;

use callweave_core::event::PageView;
use callweave_core::source::Surveyor;

const TURNS: usize = 1_000_000;
const NEW_AGENTS: usize = 2_000;

const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
];

const KINDS: [(&str, &str, &str); 4] = [
    ("inside the site", "https://www.shop.example/shoes/red?page=2", "https://www.shop.example/shoes"),
    ("from a search engine", "https://www.shop.example/shoes/red", "https://www.google.com/"),
    ("from another site", "https://www.shop.example/shoes/red", "https://blog.reviews.example/the-best-shoes"),
    (
        "from a campaign",
        "https://www.shop.example/shoes?utm_source=google&utm_medium=cpc&utm_campaign=spring&utm_term=shoes&gclid=Cj0KCQ",
        "https://www.google.com/",
    ),
];

/// Nanoseconds this process has spent on a processor; see proc(5), `schedstat`.
fn processor_ns() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// Resident kilobytes; see proc(5), `status`.
fn resident_kb() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    Ok(text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned())
}

fn view<'a>(url: &'a str, referrer: &'a str, user_agent: &'a str) -> PageView<'a> {
    PageView {
        url: url.into(),
        referrer: Some(referrer.into()),
        user_agent: Some(user_agent.into()),
        ip: Some("198.51.100.7".into()),
        language: Some("en-US,en;q=0.9".into()),
        ..PageView::default()
    }
}

fn main() -> std::io::Result<()> {
    let mut surveyor = Surveyor::default();
    let (_, url, referrer) = KINDS[0];
    let resident = resident_kb()?;
    let started = processor_ns()?;
    surveyor.visit(&view(url, referrer, AGENTS[0]));
    println!(
        "first user agent: {} ms; resident {resident} before, {} after",
        (processor_ns()? - started) / 1_000_000,
        resident_kb()?
    );
    let new: Vec<String> = (0..NEW_AGENTS).map(|n| format!("{} Extra/{n}", AGENTS[n % AGENTS.len()])).collect();
    let started = processor_ns()?;
    for user_agent in &new {
        black_box(surveyor.visit(&view(url, referrer, user_agent)));
    }
    println!("a new user agent: {} ns; resident {}", (processor_ns()? - started) / NEW_AGENTS as u64, resident_kb()?);
    for (name, url, referrer) in KINDS {
        let views = AGENTS.map(|user_agent| view(url, referrer, user_agent));
        let started = processor_ns()?;
        for n in 0..TURNS {
            black_box(surveyor.visit(black_box(&views[n % views.len()])));
        }
        println!("{name}: {} ns", (processor_ns()? - started) / TURNS as u64);
    }
    Ok(())
}
