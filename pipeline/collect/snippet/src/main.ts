// callweave.js: shows tracking numbers on a page, and tells the collector of the visit. docs/snippet.md says how to use it.
import { allowed, listen as listenConsent, tell } from './consent';
import * as numbers from './numbers';
import { hook } from './page';
import * as queue from './queue';
import { collector, quiet, site } from './tag';
import * as track from './track';
import type { Data } from './types';
import { forget, knowVisitor } from './visit';

interface Api {
    (...command: unknown[]): void;
    /** What the page asked for before the script had come. */
    q?: ArrayLike<unknown>[];
    on?: boolean;
}

let begun = false;
let going = false;

/** Starts where that is allowed now, and undoes everything where it no longer is. */
function consider(): void {
    const may = allowed(numbers.settings());
    if (!begun || may === going) return;
    going = may;
    if (may) {
        numbers.recall();
        if (!allowed(numbers.settings())) return void (going = false);
        queue.open({
            allowed: () => going,
            numbers: () => numbers.request(track.want.now),
            answered(answer, asked) {
                knowVisitor(answer.visitor_id);
                const whole = !!asked && !!asked.want;
                const late = Date.now() - track.want.since > track.numberTimeout();
                if (whole) track.want.now = false;
                if (asked) numbers.take(answer, whole, late);
                consider();
                track.heart(); // its pace may be another
            },
        });
        track.go();
    } else {
        track.stop();
        numbers.drop();
        queue.forget();
        forget();
    }
}

const commands: Record<string, (...given: never[]) => void> = {
    event: track.event,
    callback: (properties: Data) => track.event('callback_request', { number: numbers.first(), properties }),
    consent(state: unknown) {
        tell(state);
        consider();
    },
    user: track.identify,
    experiment: track.experience,
    number: numbers.subscribe,
};

function run(command: ArrayLike<unknown>): void {
    quiet(() => {
        const [name, ...given] = Array.from(command);
        commands[name as string](...(given as never[]));
    });
}

function start(): void {
    const page = window as unknown as { callweave?: Api };
    const before: Partial<Api> = page.callweave || {};
    if (!site || !collector || before.on) return;
    const api: Api = (...command) => run(command);
    api.on = true;
    page.callweave = api;
    hook();
    track.listen();
    listenConsent(consider);
    const begin = () => {
        // What decides whether anything may be told, and of whom, goes first.
        const later = (before.q || []).filter((command) => !/^(consent|user|experiment)$/.test(command[0] as string) || run(command));
        begun = true;
        consider();
        later.forEach(run);
    };
    const shown = document as Document & { prerendering?: boolean };
    // A page that is made ready before anybody asked for it is no visit yet.
    if (shown.prerendering) document.addEventListener('prerenderingchange', () => quiet(begin));
    else begin();
}

quiet(start);
