//! Which column of a CSV is which member, by its header.

use std::collections::BTreeSet;

use super::{Format, ImportError, ImportOptions, Run};

type Member = (&'static str, &'static [&'static str]);
pub(super) type Members = &'static [Member];

/// Members of a call, each with the names that exports give them (lower case, other characters than letters and digits
/// left out). A column belongs to the first member that claims it.
pub(super) const CALL: Members = &[
    ("call_id", &["callid", "id", "uuid", "uniqueid", "calluuid", "callsid", "sid", "linkedid", "recordid"]),
    (
        "from",
        &[
            "from",
            "caller",
            "callerid",
            "callernumber",
            "callingnumber",
            "callerphone",
            "callerphonenumber",
            "src",
            "source",
            "ani",
            "fromnumber",
            "customerphonenumber",
            "customernumber",
            "calleridnum",
            "calleridnumber",
            "cli",
        ],
    ),
    (
        "to",
        &[
            "to",
            "called",
            "callednumber",
            "trackingnumber",
            "trackingphonenumber",
            "dialednumber",
            "dialled",
            "dnis",
            "did",
            "dst",
            "tonumber",
            "number",
            "virtualnumber",
            "numbercalled",
        ],
    ),
    (
        "started_at",
        &[
            "start",
            "startedat",
            "starttime",
            "started",
            "startdate",
            "date",
            "datetime",
            "calldate",
            "calltime",
            "createdat",
            "timestamp",
            "time",
            "startstamp",
            "callstart",
            "calldatetime",
        ],
    ),
    ("answered_at", &["answeredat", "answer", "answered", "answertime", "answerstamp", "pickuptime", "connectedat"]),
    ("ended_at", &["endedat", "end", "endtime", "ended", "enddate", "endstamp", "hanguptime", "callend", "finishedat"]),
    (
        "duration",
        &[
            "duration",
            "durationseconds",
            "durationsec",
            "totalduration",
            "totalseconds",
            "callduration",
            "length",
            "calllength",
            "seconds",
            "calldurationseconds",
        ],
    ),
    (
        "talk_seconds",
        &[
            "talkseconds",
            "talk",
            "talktime",
            "billsec",
            "billedseconds",
            "billableseconds",
            "conversationduration",
            "talkduration",
            "talktimeseconds",
        ],
    ),
    ("direction", &["direction", "calldirection", "type", "calltype"]),
    ("outcome", &["outcome", "disposition", "status", "result", "callstatus", "callresult"]),
    ("agent", &["agent", "agentname", "operator", "employee", "user", "answeredby", "extensionname"]),
    ("recording_url", &["recordingurl", "recording", "recordinglink", "recordingfile", "audio"]),
    ("extension", &["extension", "ext", "dialledextension", "dialedextension"]),
    ("cause", &["cause", "hangupcause", "reason", "endreason", "terminationreason"]),
    ("destination", &["destination", "forwardedto", "forwardto", "destinationnumber", "target", "queue", "dstnumber"]),
    ("hangup_by", &["hangupby", "hungupby", "endedby", "terminatedby"]),
];

/// Members of a day's advertising cost.
pub(super) const AD_COST: Members = &[
    ("date", &["date", "day", "reportdate"]),
    ("source", &["source", "utmsource", "platform", "network", "adnetwork"]),
    ("medium", &["medium", "utmmedium"]),
    ("campaign", &["campaign", "campaignname", "utmcampaign"]),
    ("term", &["term", "keyword", "utmterm"]),
    ("content", &["content", "ad", "adname", "utmcontent"]),
    ("cost", &["cost", "spend", "spent", "amountspent", "adcost", "totalcost", "amount"]),
    ("currency", &["currency", "currencycode"]),
    ("clicks", &["clicks", "linkclicks"]),
    ("impressions", &["impressions", "impr", "views"]),
];

/// Looks whether the members of `--map` and `--set` are there, and stand there once: those of calls and of costs where the header has to tell
/// which they are.
pub(super) fn check(options: &ImportOptions) -> Result<(), ImportError> {
    let tables: &[Members] = match options.format {
        Format::CallsCsv => &[CALL],
        Format::AdCostsCsv => &[AD_COST],
        _ => &[CALL, AD_COST],
    };
    let unknown = |member: &str| !tables.iter().any(|table| place_of(table, member).is_some());
    if let Some((member, flag)) = members(options).find(|(member, _)| unknown(member)) {
        return Err(no_member(flag, member, tables));
    }
    let mapped = options.columns.iter();
    once("--map", mapped.clone().map(|(column, _)| plain(column)))?;
    once("--map", mapped.map(|(_, member)| member.clone()))?;
    once("--set", options.values.iter().map(|(member, _)| member.clone()))
}

/// Members that flags name, and the flags.
fn members(options: &ImportOptions) -> impl Iterator<Item = (&str, String)> {
    let mapped = options.columns.iter().map(|(column, member)| (&**member, format!("--map {column}={member}")));
    mapped.chain(options.values.iter().map(|(member, value)| (&**member, format!("--set {member}={value}"))))
}

fn once(flag: &'static str, names: impl Iterator<Item = String>) -> Result<(), ImportError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(ImportError::Twice { flag, name });
        }
    }
    Ok(())
}

fn place_of(members: Members, member: &str) -> Option<usize> {
    members.iter().position(|(name, _)| *name == member)
}

fn no_member(flag: String, member: &str, tables: &[Members]) -> ImportError {
    let known = |table: &&[Member]| table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let known = tables.iter().map(known).collect::<Vec<_>>().join("; and of costs ");
    ImportError::Member { flag, member: member.to_owned(), known }
}

/// Column of each member, in the order of the table that it was made with.
pub(super) struct Columns {
    members: Members,
    places: Vec<Option<usize>>,
    /// What holds where a line tells nothing.
    values: Vec<Option<String>>,
}

impl Columns {
    /// Finds the members' columns; `--map` comes before the usual names.
    pub(super) fn find(members: Members, header: &[String], run: &Run<'_>) -> Result<Columns, ImportError> {
        let unknown = |member: &str| place_of(members, member).is_none();
        if let Some((member, flag)) = self::members(run.options).find(|(member, _)| unknown(member)) {
            return Err(no_member(flag, member, &[members]));
        }
        let mut places = vec![None; members.len()];
        let plain: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let mut taken = vec![false; header.len()];
        for (column, member) in &run.options.columns {
            let Some(place) = place_of(members, member) else { continue };
            let at = header.iter().position(|name| name.trim() == column);
            let at = at.or_else(|| plain.iter().position(|name| *name == self::plain(column)));
            let Some(at) = at else {
                let (file, column, header) = (run.file.clone(), column.clone(), header.join(", "));
                return Err(ImportError::MappedColumn { file, column, header });
            };
            places[place] = Some(at);
            taken[at] = true;
        }
        for (place, (_, names)) in places.iter_mut().zip(members).filter(|(place, _)| place.is_none()) {
            *place = names.iter().find_map(|name| (0..plain.len()).find(|&at| !taken[at] && plain[at] == *name));
            if let Some(at) = *place {
                taken[at] = true;
            }
        }
        let told = |(name, _): &Member| run.options.values.iter().find(|(member, _)| member == name);
        let values = members.iter().map(|member| told(member).map(|(_, value)| value.clone())).collect();
        Ok(Columns { members, places, values })
    }

    /// Whether a column or a flag tells the member.
    pub(super) fn has(&self, member: &str) -> bool {
        place_of(self.members, member).is_some_and(|at| self.places[at].is_some() || self.values[at].is_some())
    }

    /// A member's value in a record, else what holds for all; empty ones are absent.
    pub(super) fn get<'r>(&'r self, record: &'r [String], member: &str) -> Option<&'r str> {
        let at = place_of(self.members, member)?;
        let own = self.places[at].and_then(|place| record.get(place)).map(|value| value.trim());
        own.filter(|value| !value.is_empty()).or(self.values[at].as_deref())
    }
}

/// Letters and digits only, in lower case: `Caller ID`, `caller_id` and `callerId` are one name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
