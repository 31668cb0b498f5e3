/** A number to show, as the collector answers it. */
export interface Shown {
    /** The number on the page that it takes the place of; none: whichever the tag names. */
    replaces?: string | null;
    number: string;
    extension?: string;
    national?: string;
    international?: string;
    pool?: string;
    lease_id?: string;
    expires_at?: string;
}

/** What the site's settings say to the browser. */
export interface Settings {
    heartbeat_seconds?: number;
    number_timeout_ms?: number;
    consent_required?: boolean;
    honour_dnt?: boolean;
    honour_gpc?: boolean;
}

/** What the collector answers. */
export interface Answer {
    visitor_id?: string;
    numbers?: Shown[];
    settings?: Settings;
}

export type Data = Record<string, unknown>;

/** An event as it is sent. Its id stays the same on every try, so that the log counts it once. */
export interface Event {
    id: string;
    type: string;
    time: string;
    data: Data;
}
