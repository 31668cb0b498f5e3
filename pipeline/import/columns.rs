//! Which column of a CSV is which member, by its header.

use super::{ImportError, Run};

/// Members of a call, each with the names that exports give them (lower case, other characters than letters and digits
/// left out). A column belongs to the first member that claims it.
pub(super) const CALL: &[(&str, &[&str])] = &[
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
pub(super) const AD_COST: &[(&str, &[&str])] = &[
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

/// Column of each member, in the order of the table that it was made with.
pub(super) struct Columns {
    members: &'static [(&'static str, &'static [&'static str])],
    places: Vec<Option<usize>>,
}

impl Columns {
    /// Finds the members' columns; `--map` comes before the usual names.
    pub(super) fn find(
        members: &'static [(&'static str, &'static [&'static str])],
        header: &[String],
        run: &Run<'_>,
    ) -> Result<Columns, ImportError> {
        let mut places = vec![None; members.len()];
        let plain: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let mut taken = vec![false; header.len()];
        for (column, member) in &run.options.columns {
            let Some(place) = members.iter().position(|(name, _)| name == member) else {
                let known = members.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                return Err(ImportError::Member { column: column.clone(), member: member.clone(), known });
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
        let at = self.members.iter().position(|(name, _)| *name == member)?;
        self.places[at]
    }
}

/// Letters and digits only, in lower case: `Caller ID`, `caller_id` and `callerId` are one name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
