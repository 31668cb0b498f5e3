//! `callweave import`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use chrono_tz::Tz;
use clap::Args;

use crate::app::Failure;
use crate::config::{self, Flags};
use crate::files::outputs::{self, Late};
use crate::import::{Format, ImportError, ImportOptions, Progress, import};
use crate::telemetry::say;

#[derive(Debug, Args)]
pub struct Import {
    /// combined (access logs of Apache and nginx), csv (calls or ad costs, by header), calls-csv, ad-costs-csv, events,
    /// asterisk (Master.csv), asterisk-cel, freeswitch (mod_json_cdr), 3cx
    #[arg(long, value_name = "FORMAT")]
    format: String,
    /// Plain, gzip or zstd; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The account that the events belong to [default: default]
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Where the pages of an access log are whose lines do not begin with the virtual host: https://www.example.com [default:
    /// http://localhost]
    #[arg(long, value_name = "URL")]
    site: Option<String>,
    /// Keeps visitor ids of access logs from being guessed
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,
    /// Country of numbers without a country code (ISO 3166-1 alpha-2)
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// IANA time zone of times without one [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Currency of costs without one (ISO 4217)
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// What a column means: COLUMN=MEMBER (may be repeated)
    #[arg(long = "map", value_name = "COLUMN=MEMBER")]
    columns: Vec<String>,
    /// What holds for lines of a CSV that do not tell it: MEMBER=VALUE, such as source=google (may be repeated)
    #[arg(long = "set", value_name = "MEMBER=VALUE")]
    values: Vec<String>,
    /// Columns of call records (asterisk, asterisk-cel, 3cx) that are not the usual ones, with commas between
    #[arg(long = "columns", value_name = "COLUMNS")]
    record_columns: Option<String>,
    /// Events go here instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Lines that cannot be used go here
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

const ACCOUNT_DEFAULT: &str = "default";
const SITE_DEFAULT: &str = "http://localhost";

impl Import {
    /// Flags that were given and tell nothing of files of this format.
    fn unused(&self, format: Format) -> impl Iterator<Item = &'static str> {
        use Format::{AdCostsCsv, Asterisk, AsteriskCel, CallsCsv, Combined, Csv, Events, FreeSwitch, ThreeCx};
        let is_log = format == Combined;
        let is_csv = matches!(format, Csv | CallsCsv | AdCostsCsv);
        let has_columns = matches!(format, Asterisk | AsteriskCel | ThreeCx);
        [
            ("--account", self.account.is_some() && format == Events),
            ("--site", self.site.is_some() && !is_log),
            ("--salt", self.salt.is_some() && !is_log),
            ("--country", self.country.is_some() && !(matches!(format, Csv | CallsCsv | FreeSwitch) || has_columns)),
            ("--timezone", self.timezone.is_some() && !(matches!(format, Csv | CallsCsv) || has_columns)),
            ("--currency", self.currency.is_some() && !matches!(format, Csv | AdCostsCsv)),
            ("--map", !self.columns.is_empty() && !is_csv),
            ("--set", !self.values.is_empty() && !is_csv),
            ("--columns", self.record_columns.is_some() && !has_columns),
        ]
        .into_iter()
        .filter_map(|(flag, is_unused)| is_unused.then_some(flag))
    }

    /// Whose numbers call records have is told by the account's settings in the configuration.
    pub fn run(self, flags: &Flags) -> Result<(), Failure> {
        let usage = |text: String| Failure::Usage(text);
        let format: Format = self.format.parse().map_err(|error: ImportError| usage(error.to_string()))?;
        for flag in self.unused(format) {
            say!("callweave: {flag} says nothing of --format {}, and is left alone", self.format);
        }
        let account = self.account.as_deref().unwrap_or(ACCOUNT_DEFAULT);
        let mut options = ImportOptions::new(format, self.files, account);
        options.site = self.site;
        if format == Format::Combined && options.site.is_none() {
            say!(
                "callweave: an access log does not name its site, unless its lines begin with the virtual host; other pages \
                 are under {SITE_DEFAULT}: give --site, so that links within the site do not count as referrals"
            );
            options.site = Some(SITE_DEFAULT.to_owned());
        }
        options.salt = self.salt.unwrap_or_default();
        options.country = self.country;
        if let Some(zone) = self.timezone {
            let wrong = |_| usage(format!("--timezone {zone}: is not an IANA time zone such as Europe/Berlin"));
            options.timezone = zone.parse::<Tz>().map_err(wrong)?;
        }
        options.currency = self.currency;
        options.record_columns = self.record_columns;
        if matches!(format, Format::Asterisk | Format::AsteriskCel | Format::FreeSwitch | Format::ThreeCx) {
            let config = config::load(flags, &config::environment()).map_err(|it| usage(it.to_string()))?;
            options.settings = config.accounts.get(account).and_then(|account| account.settings.clone());
            if options.settings.is_none() {
                say!(
                    "callweave: account {account} has no settings in the configuration: whether a number is one of its own cannot \
                     be told, and every call counts by its direction alone"
                );
                if options.country.is_none() {
                    say!(
                        "callweave: numbers without a country's code are read as international ones without their plus: give \
                         --country if they are of one"
                    );
                }
            }
        }
        options.rejects = self.rejects;
        let split = |pair: String, flag: &str| match pair.split_once('=').map(|(name, of)| (name.trim(), of.trim())) {
            Some((name, of)) if !name.is_empty() && !of.is_empty() => Ok((name.to_owned(), of.to_owned())),
            _ => Err(usage(format!("{flag}; {pair:?} is not that"))),
        };
        for pair in self.columns {
            options.columns.push(split(pair, "--map: write COLUMN=MEMBER")?);
        }
        for pair in self.values {
            options.values.push(split(pair, "--set: write MEMBER=VALUE")?);
        }
        let mut written = vec![("--output", self.output.as_deref())];
        written.extend(options.rejects.as_deref().map(|path| ("--rejects", Some(path))));
        outputs::apart(options.files.iter().map(PathBuf::as_path), &written)
            .map_err(|clash| usage(clash.to_string()))?;
        let mut out: Box<dyn Write> = match &self.output {
            Some(path) => Box::new(Late::new(path)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let counts = import(&options, &mut out, &Progress::on_stderr());
        let counts = match counts.and_then(|counts| out.flush().map(|()| counts).map_err(ImportError::Write)) {
            Ok(counts) => counts,
            // Whoever reads has had enough.
            Err(ImportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) if error.is_usage() => return Err(usage(error.to_string())),
            Err(error) => return Err(Failure::failed(error)),
        };
        say!("{counts}");
        if counts.nothing_was_read() {
            return Err(Failure::said(format!("no line could be read as --format {}: is it another?", self.format)));
        }
        Ok(())
    }
}
