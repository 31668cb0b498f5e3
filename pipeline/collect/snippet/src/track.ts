// What a visitor does: pages, clicks on numbers, forms, and staying.
import { consent } from './consent';
import { look } from './page';
import * as numbers from './numbers';
import { flush, push } from './queue';
import { read } from './store';
import { quiet, said } from './tag';
import type { Data } from './types';
import { lasts, ofCampaign } from './visit';

const URL_MAX = 8192;
const TITLE_MAX = 1024;
const NAME_MAX = 256;
/** How long a single-page application may take to set the title of its new page, in milliseconds. */
const SETTLE = 60;

let going = false;
let page = '';
let address = '';
let settling: ReturnType<typeof setTimeout> | undefined;
let beating: ReturnType<typeof setTimeout> | undefined;
let beat = 0;
let user = '';
let experiment = [said('experiment'), said('variant')];

/** Whether the collector is still to say which numbers to show, and since when. */
export const want = { now: false, since: 0 };

export function identify(id: unknown): void {
    user = String(id || '');
}

export function experience(id: unknown, variant: unknown): void {
    experiment = [String(id || ''), String(variant || '')];
}

function clip(text: string, length: number): string | undefined {
    return text.slice(0, length) || undefined;
}

/** What makes one page: not the tags of a campaign, and of the fragment only what a router uses. */
function pageNow(): string {
    const { pathname, search, hash } = location;
    const parts = [pathname, /^#[/!]/.test(hash) && hash];
    new URLSearchParams(search).forEach((value, name) => ofCampaign(name) || parts.push(name, value));
    return parts.join();
}

/** Google Analytics' client id: the last two parts of its cookie. */
function client(): string | undefined {
    return clip((read('_ga') || '').split('.').slice(-2).join('.'), NAME_MAX);
}

/** Its session there, of the first of its streams: `_ga_STREAM=GS1.1.SESSION.…`, or `GS2.1.sSESSION$…`. */
function clientSession(): string | undefined {
    return quiet(() => /_ga_\w+=GS.{4}s?(\d+)/.exec(document.cookie)![1]);
}

function ask(): void {
    want.now = true;
    want.since = Date.now();
    const limit = numberTimeout();
    setTimeout(() => want.now && Date.now() - want.since >= limit && numbers.unanswered(), limit);
}

export function numberTimeout(): number {
    return +said('timeout') || numbers.settings().number_timeout_ms || 800;
}

function view(referrer: string): void {
    page = pageNow();
    address = location.href;
    numbers.useKnown();
    ask();
    push(
        'page_view',
        {
            url: clip(address, URL_MAX),
            referrer: clip(referrer, URL_MAX),
            title: clip(document.title, TITLE_MAX),
            language: navigator.language,
            numbers: numbers.onPage(),
            experiment_id: clip(experiment[0], NAME_MAX),
            experiment_variant: clip(experiment[1], NAME_MAX),
            client_id: client(),
            client_session_id: clientSession(),
            user_id: clip(user, NAME_MAX),
            consent: consent(),
        },
        true,
    );
}

/** Another page of the application, if it is another. */
function moved(): void {
    settling = clearTimeout(settling) as undefined;
    if (going && pageNow() !== page) view(address);
}

function settle(): void {
    if (!settling) settling = setTimeout(() => quiet(moved), SETTLE);
}

export function event(name: unknown, given: Data = {}): void {
    if (!going || !name) return;
    if (!lasts()) view(document.referrer);
    const { value, currency, properties, number } = given;
    push('web_event', { name: String(name), url: clip(location.href, URL_MAX), number, value, currency, properties });
}

/** A visitor who comes back after the session's end begins another, which needs a page. */
function alive(): void {
    if (!lasts()) return view(document.referrer);
    if (numbers.anyOver()) ask();
    push('heartbeat', {}, true);
}

export function heart(): void {
    clearTimeout(beating);
    if (!going || document.hidden) return;
    const pause = (numbers.settings().heartbeat_seconds || 30) * 1000;
    const left = beat + pause - Date.now();
    beating = setTimeout(() => quiet(heart), left > 0 ? left : pause);
    if (left > 0) return;
    beat = Date.now();
    alive();
}

function click(happened: Event): void {
    for (const target of happened.composedPath()) {
        const href = /^a(rea)?$/.test((target as Element).localName) && (target as Element).getAttribute('href');
        if (!href || !/^\s*tel:/i.test(href)) continue;
        const { number, extension } = numbers.ofLink(href);
        return event('click_to_call', { number, properties: extension && { extension } });
    }
}

/** Which form, and where it goes: nothing of what was written in it. */
function submit(happened: Event): void {
    const form = happened.target as HTMLFormElement;
    const of = (name: string) => form.getAttribute(name) || undefined; // `form.id` may be a field of that name
    const host = quiet(() => new URL(of('action') || '', location.href).host);
    event('form_submit', { properties: { id: of('id'), name: of('name'), host } });
}

function leave(): void {
    if (settling) moved();
    if (going) flush();
}

function hear(target: EventTarget, type: string, run: (happened: Event) => void): void {
    target.addEventListener(type, (happened) => quiet(() => run(happened)), true);
}

/** Listens: once, whether or not anything may be told yet. */
export function listen(): void {
    for (const name of ['pushState', 'replaceState'] as const) {
        const own = history[name];
        history[name] = function (...given: Parameters<History['pushState']>) {
            own.apply(this, given);
            settle();
        };
    }
    hear(window, 'popstate', settle);
    hear(window, 'hashchange', settle);
    hear(window, 'pageshow', (happened) => {
        if ((happened as PageTransitionEvent).persisted && going) view(document.referrer);
    });
    hear(window, 'pagehide', leave);
    hear(document, 'visibilitychange', () => {
        if (document.hidden) leave();
        heart();
    });
    hear(document, 'click', (happened) => going && click(happened));
    hear(document, 'submit', (happened) => going && submit(happened));
    hear(document, 'DOMContentLoaded', look);
    hear(window, 'load', look);
}

export function go(): void {
    going = true;
    beat = Date.now();
    view(document.referrer);
    heart();
}

export function stop(): void {
    going = false;
    clearTimeout(beating);
}
