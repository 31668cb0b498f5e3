// Who is here: the visitor and the session.
import { erase, read, write } from './store';
import { quiet, random, said } from './tag';

const VISITOR = 'cw_v';
const VISITOR_SECONDS = 34190000; // 13 months
const SESSION = 'cw_s';
const SESSION_SECONDS = 1800;
const LANDING = 'cw_l';
const LANDING_SECONDS = 86400;
/** Characters of the landing page's address and referrer: they go with every request to the cookie's hosts. */
const LANDING_URL = 1000;
const LANDING_REFERRER = 300;
const UTM = /^utm_(source|medium|campaign|term|content)$/;
/** In the order in which they decide where several stand in one URL. */
const CLICK_IDS = 'gclid gbraid wbraid dclid msclkid fbclid ttclid twclid li_fat_id yclid sccid rdt_cid epik'.split(' ');

/** A page that asked for numbers by itself names its visitor. None until the collector has named one, for it may know this browser by a cookie that outlived ours. */
export function visitor(): string | undefined {
    return said('visitor') || read(VISITOR);
}

export function knowVisitor(id = visitor() || random()): void {
    write(VISITOR, id, VISITOR_SECONDS);
}

/** Parameters that tell of a campaign: they make no other page. */
export function ofCampaign(name: string): boolean {
    name = name.toLowerCase();
    return UTM.test(name) || CLICK_IDS.includes(name);
}

/** FNV-1a of the text, but from 0; nothing of nothing. */
function hash(text: string): string {
    let sum = 0;
    for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193);
    return text && (sum >>> 0).toString(36);
}

/** The page's campaign as two hashes: of all `utm_*` together, and of the click id. */
function campaign(): string[] {
    const utm: string[] = [];
    const clicks: string[] = [];
    new URLSearchParams(location.search).forEach((value, name) => {
        name = name.toLowerCase();
        if (!value) return;
        if (UTM.test(name)) utm.push(name + value);
        const rank = CLICK_IDS.indexOf(name);
        if (rank >= 0) clicks[rank] = clicks[rank] || name + value;
    });
    return [hash(utm.sort().join()), hash(clicks.filter(Boolean)[0] || '')];
}

/** The session's id, time of the last activity, and campaign; empty if there is none that still lasts. */
function parts(): string[] {
    const found = (read(SESSION) || '').split('.');
    const idle = Date.now() - parseInt(found[1], 36);
    // Not so for a clock that was set back either.
    return Math.abs(idle) < SESSION_SECONDS * 1000 ? found : [];
}

/** The session's id, if it lasts. */
export function lasts(): string | undefined {
    return parts()[0];
}

interface Landing {
    session: string;
    url: string;
    referrer: string;
}

/** The session's id, after a sign of life. A page view may begin another by its campaign, as the join has it. */
export function session(pageView?: boolean): string {
    let [id, , utm, click] = parts();
    const now = pageView ? campaign() : [];
    if (!id || (now[0] && now[0] !== utm) || (now[1] && now[1] !== click)) {
        id = random();
        [utm, click] = now;
        // A cookie, since the other hosts of its domain have a storage of their own.
        const first: Landing = {
            session: id,
            url: location.href.slice(0, LANDING_URL),
            referrer: document.referrer.slice(0, LANDING_REFERRER),
        };
        write(LANDING, encodeURIComponent(JSON.stringify(first)), LANDING_SECONDS);
    }
    write(SESSION, [id, Date.now().toString(36), utm, click].join('.'), SESSION_SECONDS);
    return id;
}

/** The session's first page, by which its numbers are chosen; another page may have begun it. */
export function landing(id: string): Landing | undefined {
    const found = quiet(() => JSON.parse(decodeURIComponent(read(LANDING)!)) as Landing);
    return found && found.session === id ? found : undefined;
}

export function forget(): void {
    erase(LANDING);
    erase(VISITOR);
    erase(SESSION);
}
