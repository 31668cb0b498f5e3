// Events on their way to the collector: none is lost while the tab lives.
import { knowVisitor, landing, session, visitor } from './visit';
import { collector, quiet, random, site } from './tag';
import type { Answer, Data, Event } from './types';

const KEPT = 'cw_q';
/** Events that wait at most; the oldest give way. */
const WAITING = 50;
/** Bytes of an event, and of those in one request: the collector takes 64 KiB, and so do beacons. */
const EVENT_BYTES = 30000;
const BATCH_BYTES = 45000;
/** How long an event waits for others, in milliseconds. */
const GATHER = 200;
/** Browsers send at most 64 KiB beyond the life of a page. */
const KEEPALIVE = 60000;
const TIMEOUT = 15000;
const RETRY_MIN = 1000;
const RETRY_MAX = 60000;

/** An event and the session that it belongs to. */
interface Item {
    session: string;
    event: Event;
    bytes: number;
}

export interface Hooks {
    allowed(): boolean;
    /** The `numbers` of a request of the present session. */
    numbers(): Data;
    answered(answer: Answer, asked: Data | undefined): void;
}

let items: Item[] = [];
let sending: Item[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;
let due = Infinity;
let failures = 0;
/** Whether the collector answered the last request. Where it did not, nothing is taken for sent that was not confirmed. */
let up = false;
let present: string;
let hooks: Hooks;

function keep(): void {
    quiet(() => (items.length ? sessionStorage.setItem(KEPT, JSON.stringify(items)) : sessionStorage.removeItem(KEPT)));
}

function done(batch: Item[]): void {
    items = items.filter((item) => !batch.includes(item));
    keep();
}

function wait(milliseconds: number): void {
    const at = Date.now() + milliseconds;
    if (at >= due) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(() => quiet(send), milliseconds);
}

/** The next events to send: of one session, and of the present one before others. */
function batch(except: Item[]): Item[] {
    const rest = items.filter((item) => !except.includes(item));
    const last = rest.length && rest[rest.length - 1].session;
    let room = BATCH_BYTES;
    return rest.filter((item) => item.session === last && (room -= item.bytes) > 0);
}

function body(batch: Item[], numbers?: Data): string {
    return JSON.stringify({
        site,
        visitor_id: visitor(),
        session_id: batch[0].session,
        sent_at: new Date().toISOString(),
        events: batch.map((item) => item.event),
        landing: numbers && landing(batch[0].session),
        numbers,
    });
}

/** A string makes the request a simple one: no preflight. */
function post(text: string, signal?: AbortSignal): Promise<Response> {
    const keepalive = text.length < KEEPALIVE;
    return fetch(collector + 'v1/web', { method: 'POST', body: text, credentials: 'include', keepalive, signal });
}

/** One request at a time: the first answer names the visitor for those that follow. */
function send(): void {
    due = Infinity;
    if (sending.length || !hooks.allowed()) return;
    const now = batch([]);
    if (!now.length) return;
    sending = now;
    const asked = now[0].session === present ? hooks.numbers() : undefined;
    const abort = new AbortController();
    const limit = setTimeout(() => abort.abort(), TIMEOUT);
    let status = 0;
    post(body(now, asked), abort.signal)
        .then((response) => {
            status = response.status;
            return response.ok ? response.json() : Promise.reject();
        })
        .then((answer) => {
            failures = 0;
            up = true;
            done(now);
            quiet(() => hooks.allowed() && hooks.answered(answer as Answer, asked));
        })
        .catch(() => {
            up = false;
            // What the collector refuses, or answers in another tongue, it would again.
            if (status && status < 500 && status !== 429 && status !== 408) return done(now);
            failures++;
            if (hooks.allowed()) knowVisitor();
        })
        .then(() => {
            clearTimeout(limit);
            sending = [];
            if (!items.length) return;
            const backoff = Math.min(RETRY_MIN * 2 ** (failures - 1), RETRY_MAX);
            due = Infinity;
            wait(failures ? backoff * (0.5 + Math.random()) : 0);
        });
}

/** The page may be gone in a moment. */
export function flush(): void {
    if (!hooks.allowed()) return;
    const tried = sending.slice();
    for (let now; (now = batch(tried)).length; tried.push(...now)) {
        knowVisitor();
        // No numbers: there is no page left to show them.
        const text = body(now);
        if (!quiet(() => navigator.sendBeacon(collector + 'v1/web', text))) quiet(() => post(text).catch(() => 0));
        // Else the next page of this tab sends them again, and the log counts them once.
        else if (up) done(now);
    }
}

/** `soon`: it does not wait for others. */
export function push(type: string, data: Data, soon?: boolean): void {
    present = session(type === 'page_view');
    if (type === 'heartbeat' && items.some((item) => item.event.type === type)) return;
    const event = { id: random(), type, time: new Date().toISOString(), data };
    const text = JSON.stringify(event); // fails here, and not on every try, where a page gives what is no data
    const bytes = new Blob([text]).size;
    if (bytes > EVENT_BYTES) return;
    items.push({ session: present, event: JSON.parse(text), bytes });
    items = items.slice(-WAITING);
    quiet(keep);
    if (!failures || due === Infinity) wait(soon ? 0 : GATHER);
}

/** Takes up what an earlier page of this tab could not send. */
export function open(given: Hooks): void {
    hooks = given;
    items = quiet(() => JSON.parse(sessionStorage.getItem(KEPT)!) as Item[]) || [];
}

export function forget(): void {
    items = [];
    keep();
}
