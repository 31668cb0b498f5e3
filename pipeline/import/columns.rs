//! Which column of a CSV is which member, by its header.

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

/// Looks whether the members of `--map` are there: those of calls and of costs where the header has to tell which they are.
pub(super) fn check(options: &ImportOptions) -> Result<(), ImportError> {
    let tables: &[Members] = match options.format {
        Format::CallsCsv => &[CALL],
        Format::AdCostsCsv => &[AD_COST],
        _ => &[CALL, AD_COST],
    };
    let unknown = |(_, member): &&(String, String)| !tables.iter().any(|table| place_of(table, member).is_some());
    match options.columns.iter().find(unknown) {
        Some((column, member)) => Err(no_member(column, member, tables)),
        None => Ok(()),
    }
}

fn place_of(members: Members, member: &str) -> Option<usize> {
    members.iter().position(|(name, _)| *name == member)
}

fn no_member(column: &str, member: &str, tables: &[Members]) -> ImportError {
    let known = |table: &&[Member]| table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let known = tables.iter().map(known).collect::<Vec<_>>().join("; and of costs ");
    ImportError::Member { column: column.to_owned(), member: member.to_owned(), known }
}

/// Column of each member, in the order of the table that it was made with.
pub(super) struct Columns {
    members: Members,
    places: Vec<Option<usize>>,
}

impl Columns {
    /// Finds the members' columns; `--map` comes before the usual names.
    pub(super) fn find(members: Members, header: &[String], run: &Run<'_>) -> Result<Columns, ImportError> {
        let mut places = vec![None; members.len()];
        let plain: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let mut taken = vec![false; header.len()];
        for (column, member) in &run.options.columns {
            let Some(place) = place_of(members, member) else {
                return Err(no_member(column, member, &[members]));
            };
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
        Ok(Columns { members, places })
    }

    pub(super) fn has(&self, member: &str) -> bool {
        self.place(member).is_some()
    }

    /// Where a member's value stands in a record, and the value; empty ones are absent.
    pub(super) fn get<'r>(&self, record: &'r [String], member: &str) -> Option<&'r str> {
        let value = record.get(self.place(member)?)?.trim();
        (!value.is_empty()).then_some(value)
    }

    fn place(&self, member: &str) -> Option<usize> {
        self.places[place_of(self.members, member)?]
    }
}

/// Letters and digits only, in lower case: `Caller ID`, `caller_id` and `callerId` are one name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
