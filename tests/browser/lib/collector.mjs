// A collector that plays by the browser protocol and keeps what it was sent, and a server of pages on another origin.
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const snippet = new URL('../../../pipeline/collect/snippet/callweave.js', import.meta.url);
const WAIT_MS = 10000;

/** The business's number, and the tracking number in its place. */
export const OWN = '+14155550100';
export const LEASED = {
    number: '+14155550123',
    national: '(415) 555-0123',
    international: '+1 415-555-0123',
    pool: 'main',
    lease_id: 'lease-1',
    how: 'leased',
};

export function lease(replaces = OWN, more = {}) {
    return { replaces, ...LEASED, expires_at: new Date(Date.now() + 1800e3).toISOString(), ...more };
}

async function body(request) {
    let text = '';
    for await (const part of request) text += part;
    return text;
}

async function listen(handler, host) {
    const sockets = new Set();
    const server = createServer(handler);
    server.on('connection', (socket) => sockets.add(socket).size && socket.on('close', () => sockets.delete(socket)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    return {
        origin: `http://${host}:${port}`,
        async close() {
            sockets.forEach((socket) => socket.destroy());
            server.close();
        },
    };
}

export class Collector extends EventEmitter {
    requests = [];
    /** What is answered: may be set anew by a test. */
    numbers = (request) => (request.numbers?.replace.includes(OWN) || request.numbers?.replace.length === 0 ? [lease()] : []);
    settings = { heartbeat_seconds: 30, number_timeout_ms: 5000, consent_required: false, honour_dnt: false, honour_gpc: true };
    /** `up`; `down`: the connection breaks; a number: that status; a promise: the answer waits for it. */
    state = 'up';
    /** The visitor that a cookie names which only the collector can read. */
    visitor = undefined;

    static async start(host = 'localhost') {
        const collector = new Collector();
        const server = await listen((request, response) => collector.#take(request, response), host);
        return Object.assign(collector, server);
    }

    async #take(request, response) {
        const path = request.url.split('?')[0];
        if (path === '/callweave.js') {
            response.writeHead(200, { 'Content-Type': 'text/javascript' });
            return response.end(readFileSync(snippet));
        }
        if (request.method !== 'POST' || path !== '/v1/web') return response.writeHead(404).end();
        const text = await body(request);
        const state = this.state;
        if (state === 'down') return request.socket.destroy();
        const sent = { ...JSON.parse(text), headers: request.headers, state };
        this.requests.push(sent);
        this.emit('request');
        if (state instanceof Promise) await state;
        const headers = {
            'Access-Control-Allow-Origin': request.headers.origin ?? '*',
            'Access-Control-Allow-Credentials': 'true',
            'Content-Type': 'application/json',
        };
        if (typeof state === 'number') return response.writeHead(state, headers).end('{"error":"no"}');
        const answer = {
            visitor_id: sent.visitor_id ?? this.visitor ?? 'made-by-collector',
            server_time: new Date().toISOString(),
            numbers: this.numbers(sent),
            settings: this.settings,
        };
        response.writeHead(200, headers).end(JSON.stringify(answer));
        this.emit('answered');
    }

    /** All events so far, each with the session and visitor of its request; once, as in the log, if it was sent again. */
    events(type) {
        const sent = this.requests.flatMap(({ events, session_id, visitor_id }) =>
            events.map((event) => ({ ...event, session_id, visitor_id })),
        );
        const all = sent.filter((event, at) => sent.findIndex((first) => first.id === event.id) === at);
        return type ? all.filter((event) => event.type === type || event.data.name === type) : all;
    }

    /** Waits until the condition gives something, and gives it. */
    async until(what, condition) {
        const end = AbortSignal.timeout(WAIT_MS);
        for (;;) {
            const found = condition(this);
            if (found) return found;
            await once(this, 'request', { signal: end }).catch(() => {
                throw new Error(`waited in vain for ${what}; so far: ${JSON.stringify(this.events())}`);
            });
        }
    }

    /** Waits for the `count`th event of a type, or of a web event's name. */
    event(type, count = 1) {
        return this.until(`event ${count} of ${type}`, () => this.events(type)[count - 1]);
    }
}

/** Pages on an origin of their own. A page is its text, or a function that writes the response itself. */
export async function pages(host = 'localhost') {
    const all = new Map();
    const server = await listen((request, response) => {
        const page = all.get(request.url.split('?')[0]);
        if (!page) return response.writeHead(404).end();
        if (typeof page === 'function') return page(request, response);
        const { html, headers } = typeof page === 'string' ? { html: page } : page;
        response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8', ...headers });
        response.end(html);
    }, host);
    return { ...server, all };
}

/** A page with the snippet. `early` is script that runs before it. It waits long for numbers: machines may be slow. */
export function html(collector, inner, settings = {}) {
    const { attributes = '', early = '', title = 'A page', replace = OWN, timeout = 9000 } = settings;
    const named = (replace && ` data-replace="${replace}"`) + (timeout && ` data-timeout="${timeout}"`);
    return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<script>${early}</script>
<script async src="${collector.origin}/callweave.js" data-site="acme/main"${named} ${attributes}></script>
</head><body>${inner}</body></html>`;
}
