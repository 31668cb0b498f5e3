// Which numbers are shown: those of the last answer at once, those of the next when it comes.
import { type Rule, called, rule, standing } from './match';
import { show } from './page';
import { asked, quiet, site } from './tag';
import type { Answer, Data, Settings, Shown } from './types';

const CACHE = 'cw_n';
/** How old an answer may be to be shown before the collector says so again. */
const FRESH = 30 * 86400000;

interface Cache {
    site: string;
    at: number;
    numbers: Shown[];
    settings: Settings;
}

let known: Cache = { site, at: 0, numbers: [], settings: {} };
let shown: Shown[] = [];
type Reader = (numbers: Shown[]) => void;
const readers = new Set<Reader>();
/** Whether it is settled which numbers are shown, be it none. */
let settled = false;

export function settings(): Settings {
    return known.settings;
}

/** Reads what was kept. Only where that is allowed. */
export function recall(): void {
    const found = quiet(() => JSON.parse(localStorage.getItem(CACHE)!) as Cache);
    if (found && found.site === site && Date.now() - found.at < FRESH) known = found;
}

function keep(): void {
    quiet(() => localStorage.setItem(CACHE, JSON.stringify(known)));
}

/** Each number of the page with what takes its place. */
function rules(): Rule[] {
    const found = shown.filter((to) => to.replaces).map((to) => rule(to.replaces!, to));
    const any = shown.filter((to) => !to.replaces)[0];
    for (const from of asked) if (any && !found.some((each) => each.from === from)) found.push(rule(from, any));
    return found;
}

function read(reader: Reader): void {
    quiet(() => reader(shown.map((number) => ({ ...number }))));
}

function settle(): void {
    settled = true;
    readers.forEach(read);
}

function use(numbers: Shown[]): void {
    const key = (list: Shown[]) => list.map((each) => [each.number, each.extension, each.replaces]).join(';');
    if (key(numbers) === key(shown)) return;
    shown = numbers;
    show(rules());
    settle();
}

/** Shows what was known last. */
export function useKnown(): void {
    if (known.numbers.length) use(known.numbers);
}

/**
 * Takes an answer in. `whole`: it was asked which numbers to show, and else only told of those held. `late`: the page's
 * own numbers stood there too long to be changed under the visitor's eyes; the next page view shows the new ones.
 */
export function take(answer: Answer, whole: boolean, late: boolean): void {
    known.settings = answer.settings || known.settings;
    const told = answer.numbers || [];
    const anew = (old: Shown) => told.filter((number) => number.replaces == old.replaces)[0] || old; // null is absent
    known.numbers = whole ? told : known.numbers.map(anew);
    if (whole) known.at = Date.now();
    keep();
    if (!late || shown.length) use(known.numbers);
    if (!settled) settle();
}

function over(number: Shown): boolean {
    return Date.parse(number.expires_at!) < Date.now(); // never so without an end
}

/** Whether a number that is shown may be another visitor's by now. */
export function anyOver(): boolean {
    return shown.some(over);
}

/** The collector did not answer in time: numbers that may be another's by now are not shown any longer. */
export function unanswered(): void {
    use(shown.filter((number) => !over(number)));
    if (!settled) settle();
}

/** Shows the page's own numbers, and forgets all. */
export function drop(): void {
    use([]);
    known = { site, at: 0, numbers: [], settings: known.settings };
    quiet(() => localStorage.removeItem(CACHE));
}

export function subscribe(reader: Reader): void {
    readers.add(reader);
    if (settled) read(reader);
}

/** What the collector is asked, and which leases it is told are still in use. */
export function request(want: boolean): Data {
    return { replace: asked, held: known.numbers.filter((number) => number.lease_id), want };
}

/** The tracking numbers on the page; while it is still being read, those that will be. */
export function onPage(): string[] | undefined {
    const loading = document.readyState === 'loading';
    const all = shown.map((number) => number.number);
    const found = all.filter((number, at) => all.indexOf(number) === at && (loading || standing.has(number)));
    return found.length ? found : undefined;
}

/** The number of a `tel:` link, and the extension that belongs to it. */
export function ofLink(href: string): { number?: string; extension?: string } {
    const number = called(href, asked.map((from) => rule(from, { number: from })));
    const own = shown.filter((each) => each.number === number)[0];
    return { number, extension: own && own.extension };
}

/** The first number shown: of a callback, which belongs to no link. */
export function first(): string | undefined {
    return (shown[0] || {}).number;
}
