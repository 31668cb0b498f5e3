// Whether anything may be stored or sent, and what the visitor agreed to.
import { quiet, said } from './tag';
import type { Data, Settings } from './types';

/** What the page told by `callweave('consent', …)`. */
let told = '';
/** Google Consent Mode: `analytics_storage` and the like. */
const mode: Record<string, string> = {};
const privacy = navigator as Navigator & { globalPrivacyControl?: boolean };

function honours(attribute: string, setting?: boolean): boolean | undefined {
    return said(attribute) ? said(attribute) === 'honour' : setting;
}

/** A word on this very site goes before what the browser says everywhere. */
export function allowed(settings: Settings): boolean {
    if (told) return told === 'granted';
    const { honour_gpc = true, honour_dnt, consent_required } = settings;
    if (privacy.globalPrivacyControl && honours('gpc', honour_gpc)) return false;
    if (privacy.doNotTrack === '1' && honours('dnt', honour_dnt)) return false;
    return (said('consent') !== 'required' && !consent_required) || mode.analytics_storage === 'granted';
}

/** For `page_view.consent`; nothing where nothing was said. */
export function consent(): Data | undefined {
    const all: Data = { ...mode };
    if (told) all.callweave = told;
    if (privacy.globalPrivacyControl) all.gpc = true;
    if (privacy.doNotTrack === '1') all.dnt = true;
    return Object.keys(all).length ? all : undefined;
}

export function tell(state: unknown): void {
    told = state === 'granted' ? 'granted' : 'denied';
}

/**
 * A command of Consent Mode. Where a default is for certain regions only, its `denied` counts everywhere: the script
 * does not know where it is.
 */
function take(command: { [at: number]: unknown } | undefined): boolean {
    if (!command || command[0] !== 'consent') return false;
    const update = command[1] === 'update';
    const given = (command[2] || {}) as Record<string, unknown>;
    for (const name of Object.keys(given)) {
        const value = given[name];
        if (typeof value !== 'string') continue;
        if (update || value === 'denied' || !(mode[name] || given.region)) mode[name] = value;
    }
    return true;
}

/** Reads the commands that are there, and listens for more. */
export function listen(changed: () => void): void {
    const page = window as unknown as { dataLayer?: unknown[] };
    const layer = (page.dataLayer = page.dataLayer || []);
    layer.forEach((command) => quiet(() => take(command as never)));
    const push = layer.push;
    layer.push = function (...commands: unknown[]) {
        const answer = push.apply(this, commands);
        quiet(() => commands.filter((command) => take(command as never)).length && changed());
        return answer;
    };
}
