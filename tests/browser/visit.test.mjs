// Visitors, sessions, page views and what else is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bench, launch } from './lib/bench.mjs';
import { LEASED, OWN, html } from './lib/collector.mjs';

const it = bench();
const TEXT = '<p id="text">(415) 555-0100</p>';
const SHOWN = '(415) 555-0123';
const ID = /^[a-z0-9]{25,40}$/;

const cookies = async () => Object.fromEntries((await it.context.cookies()).map((cookie) => [cookie.name, cookie]));
const navigate = (page, url) => page.evaluate((url) => history.pushState({}, '', url), url);

test('a page view carries what the contract names', async () => {
    it.pages.all.set('/from', '<a href="/">x</a>');
    const page = await it.context.newPage();
    await it.context.addCookies([
        { name: '_ga', value: 'GA1.1.123456789.1700000000', url: it.pages.origin },
        { name: '_ga_ABC123', value: 'GS2.1.s1763638200$o3$g1$t1763638260$j60$l0$h0', url: it.pages.origin },
    ]);
    const early = `window.callweave = function () { (callweave.q = callweave.q || []).push(arguments) };
        callweave('event', 'early', { value: 1.5 }); callweave('user', 'user-7');`;
    it.serve(TEXT, { attributes: 'data-experiment="exp" data-variant="b"', early, title: 'Plumber' });
    await page.goto(it.pages.origin + '/from');
    await page.click('a');
    const view = await it.collector.event('page_view');
    const request = it.collector.requests[0];
    assert.equal(request.site, 'acme/main');
    assert.equal(request.headers['content-type'], 'text/plain;charset=UTF-8');
    assert.equal(request.visitor_id, undefined); // the collector names new visitors
    assert.match(request.session_id, ID);
    assert.ok(Math.abs(Date.now() - Date.parse(request.sent_at)) < 60000);
    assert.deepEqual(request.landing.url, it.pages.origin + '/');
    assert.match(view.id, ID);
    assert.ok(Date.parse(view.time) <= Date.parse(request.sent_at));
    assert.deepEqual(view.data, {
        url: it.pages.origin + '/',
        referrer: it.pages.origin + '/from',
        title: 'Plumber',
        language: 'en-US',
        experiment_id: 'exp',
        experiment_variant: 'b',
        client_id: '123456789.1700000000',
        client_session_id: '1763638200',
        user_id: 'user-7',
    });
    assert.deepEqual(request.numbers, { replace: [OWN], held: [], want: true });
    const early1 = await it.collector.event('early');
    assert.equal(early1.data.value, 1.5);
    await it.shows(page, '#text', SHOWN);
    // The next view of the same visit says what is shown and held.
    await navigate(page, '/next');
    const next = await it.collector.event('page_view', 2);
    assert.deepEqual(next.data.numbers, [LEASED.number]);
    assert.equal(next.visitor_id, 'made-by-collector');
    assert.equal(next.session_id, view.session_id);
    const held = it.collector.requests.at(-1).numbers.held[0];
    assert.equal(held.lease_id, LEASED.lease_id);
    assert.equal(held.replaces, OWN);
    assert.equal(it.collector.requests.at(-1).landing.url, it.pages.origin + '/');
});

test('visitor and session are cookies that last and are shared', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    const { cw_v, cw_s } = await cookies();
    assert.equal(cw_v.value, 'made-by-collector');
    assert.equal(cw_v.sameSite, 'Lax');
    assert.equal(cw_v.secure, false);
    assert.ok(Math.abs(cw_v.expires - Date.now() / 1000 - 34190000) < 60);
    assert.ok(Math.abs(cw_s.expires - Date.now() / 1000 - 1800) < 60);
    const other = await it.open(TEXT);
    await it.shows(other, '#text', SHOWN);
    await other.reload();
    const third = await it.collector.event('page_view', 3);
    const views = it.collector.events('page_view');
    assert.deepEqual(new Set(views.map((view) => view.session_id)).size, 1);
    assert.equal(third.visitor_id, 'made-by-collector');
});

test('the other hosts of the cookie\'s domain know the landing page', async () => {
    const path = new URL(it.serve(TEXT, { attributes: 'data-cookie-domain="shop.localhost"' }));
    const at = (host, query = '') => `http://${host}.shop.localhost:${path.port}/${query}`;
    const page = await it.context.newPage();
    const landing = at('www', '?utm_campaign=winter%20sale');
    await page.goto(landing);
    const first = await it.collector.event('page_view');
    await page.goto(at('book'));
    const second = await it.collector.event('page_view', 2);
    assert.equal(second.session_id, first.session_id);
    const told = { session: first.session_id, url: landing, referrer: '' };
    assert.deepEqual(it.collector.requests.at(-1).landing, told);
});

/** As if the last activity had been so many minutes ago. */
async function idle(minutes) {
    const { cw_s } = await cookies();
    const [id, , ...rest] = cw_s.value.split('.');
    const value = [id, (Date.now() - minutes * 60000).toString(36), ...rest].join('.');
    await it.context.addCookies([{ ...cw_s, value }]);
    return id;
}

test('thirty minutes without activity end a session', async () => {
    const page = await it.open(TEXT, {}, '?utm_source=a');
    await it.shows(page, '#text', SHOWN);
    for (const [minutes, ends] of [
        [29, false],
        [31, true],
        [-31, true],
    ]) {
        const id = await idle(minutes);
        const count = it.collector.events('page_view').length;
        await page.reload();
        const view = await it.collector.event('page_view', count + 1);
        assert.equal(view.session_id !== id, ends, `${minutes} minutes`);
    }
    // An event of a page that lay there longer begins with a page view.
    await idle(31);
    const count = it.collector.events('page_view').length;
    await page.evaluate(() => callweave('event', 'late'));
    const event = await it.collector.event('late');
    const view = await it.collector.event('page_view', count + 1);
    assert.equal(view.session_id, event.session_id);
});

test('another campaign begins another session, the same or none does not', async () => {
    const page = await it.open(TEXT, {}, '?utm_source=google&utm_medium=cpc&gclid=1');
    const first = await it.collector.event('page_view');
    let [session, count] = [first.session_id, 1];
    for (const [query, begins] of [
        ['?', false],
        ['?utm_medium=cpc&utm_source=google', false],
        ['?gclid=1&page=2', false],
        ['?utm_source=google', true],
        ['?UTM_SOURCE=google', false],
        ['?utm_source=google&msclkid=9', true],
        ['?utm_source=', false],
        ['?utm_id=5', false],
    ]) {
        await page.goto(it.pages.origin + '/' + query);
        const view = await it.collector.event('page_view', ++count);
        assert.equal(view.session_id !== session, begins, query);
        session = view.session_id;
    }
});

test('a visitor whom the collector knows by its own cookie is that visitor', async () => {
    it.collector.visitor = 'known-before';
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    assert.equal((await cookies()).cw_v.value, 'known-before');
});

test('a page that asked for numbers itself names the visitor', async () => {
    await it.open(TEXT, { attributes: 'data-visitor="of-the-page"' });
    assert.equal((await it.collector.event('page_view')).visitor_id, 'of-the-page');
});

test('without storage it works from memory', async () => {
    const early = `
        const no = () => { throw new DOMException('no', 'SecurityError') };
        Object.defineProperty(Document.prototype, 'cookie', { get: no, set: no });
        for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get: no });`;
    const page = await it.open(TEXT, { early });
    await it.shows(page, '#text', SHOWN);
    await navigate(page, '/next');
    const next = await it.collector.event('page_view', 2);
    assert.equal(next.visitor_id, 'made-by-collector');
    assert.equal(next.session_id, it.collector.events()[0].session_id);
    assert.deepEqual(it.errors, []);
});

test('without cookies alone local storage keeps the visit', async () => {
    const early = `Object.defineProperty(Document.prototype, 'cookie', { get: () => '', set() {} });`;
    const page = await it.open(TEXT, { early });
    await it.shows(page, '#text', SHOWN);
    await page.reload();
    const next = await it.collector.event('page_view', 2);
    assert.equal(next.visitor_id, 'made-by-collector');
    assert.equal(next.session_id, it.collector.events()[0].session_id);
});

test('a single-page application has a page view for each page', async () => {
    const page = await it.open(TEXT, { title: 'Home' }, '?utm_source=a');
    await it.collector.event('page_view');
    await page.evaluate(() => {
        history.pushState({}, '', '/two?b=1&utm_source=a'); // a router on its way to
        history.replaceState({}, '', '/two?b=2&utm_source=a');
        document.title = 'Two';
    });
    const two = await it.collector.event('page_view', 2);
    assert.equal(two.data.url, it.pages.origin + '/two?b=2&utm_source=a');
    assert.equal(two.data.referrer, it.pages.origin + '/?utm_source=a');
    assert.equal(two.data.title, 'Two');
    // No other page: the same again, a place in it, the campaign's tags taken off.
    await page.evaluate(() => {
        history.replaceState({ scroll: 1 }, '', location.href);
        history.pushState({}, '', '#place');
        history.replaceState({}, '', '/two?b=2');
    });
    await page.waitForTimeout(300);
    await page.evaluate(() => (location.hash = '#/three'));
    assert.equal((await it.collector.event('page_view', 3)).data.url, it.pages.origin + '/two?b=2#/three');
    await page.evaluate(() => history.back());
    assert.equal((await it.collector.event('page_view', 4)).data.url, it.pages.origin + '/two?b=2');
});

test('a page that comes back from the back/forward cache is viewed again', async (t) => {
    // Playwright turns that cache off.
    const browser = await launch({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(it.serve(TEXT));
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => {
        window.same = true;
    });
    it.pages.all.set('/other', '<p>other</p>');
    await page.goto(it.pages.origin + '/other');
    await page.evaluate(() => history.back());
    const again = await it.collector.event('page_view', 2);
    assert.equal(again.data.url, it.pages.origin + '/');
    assert.equal(it.collector.requests.at(-1).numbers.want, true);
    assert.equal(await page.evaluate(() => window.same), true); // it was that cache indeed
});

test('a click on a number is told, with the number that the visitor calls', async () => {
    const body = `${TEXT}<a id="own" href="tel:415-555-0100"><b>call</b></a><a id="other" href="tel:+18005550177;ext=5">x</a>
        <a id="short" href="tel:911">x</a><div id="host"></div><a id="page" href="#x">x</a>`;
    const page = await it.open(body);
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => {
        document.addEventListener('click', (event) => event.preventDefault());
        const root = document.querySelector('#host').attachShadow({ mode: 'open' });
        root.innerHTML = '<a href="tel:+14155550100">x</a>';
        document.querySelector('#own b').addEventListener('click', (event) => {
            event.preventDefault();
            event.stopPropagation();
        });
    });
    for (const selector of ['#own b', '#other', '#short', '#page', '#host a']) await page.click(selector);
    await it.collector.event('click_to_call', 4);
    const clicks = it.collector.events('click_to_call');
    assert.deepEqual(clicks.map((click) => click.data.number), [LEASED.number, '+18005550177', undefined, LEASED.number]);
    assert.equal(clicks[0].data.url, it.pages.origin + '/');
});

test('a click before the numbers are there tells the number that stood there', async () => {
    it.collector.numbers = () => [];
    const page = await it.open('<a href="tel:415-555-0100" onclick="event.preventDefault()">x</a>');
    await it.collector.event('page_view');
    await page.click('a');
    assert.equal((await it.collector.event('click_to_call')).data.number, OWN);
});

test('a form is told by name and host, and nothing that was written in it', async () => {
    const body = `<form id="contact" name="lead" action="https://forms.example.com/take?secret=1" onsubmit="event.preventDefault()">
        <input name="id" value="hidden"><input name="mail" value="ann@example.com"><button>send</button></form>`;
    const page = await it.open(body);
    await it.collector.event('page_view');
    await page.click('button');
    const { data } = await it.collector.event('form_submit');
    assert.deepEqual(data, {
        name: 'form_submit',
        url: it.pages.origin + '/',
        properties: { id: 'contact', name: 'lead', host: 'forms.example.com' },
    });
});

test("the page's own events, callbacks, experiments and numbers", async () => {
    const page = await it.open(TEXT);
    const seen = await page.evaluate(async () => {
        while (!window.callweave) await new Promise((done) => setTimeout(done, 10));
        return new Promise((done) => callweave('number', (numbers) => done(numbers)));
    });
    assert.equal(seen[0].number, LEASED.number);
    assert.equal(seen[0].national, LEASED.national);
    await page.evaluate(() => {
        callweave('event', 'quote', { value: 12.5, currency: 'EUR', properties: { plan: 'b' } });
        callweave('callback', { phone: '+4930123456', name: 'Ann' });
        callweave('experiment', 'exp', 'c');
        history.pushState({}, '', '/next');
        callweave('number', () => undefined.fails);
        callweave('nonsense');
        callweave('event');
        callweave('number', 7);
        callweave();
    });
    const quote = await it.collector.event('quote');
    assert.deepEqual(quote.data, {
        name: 'quote',
        url: it.pages.origin + '/',
        value: 12.5,
        currency: 'EUR',
        properties: { plan: 'b' },
    });
    const callback = await it.collector.event('callback_request');
    assert.equal(callback.data.number, LEASED.number);
    assert.deepEqual(callback.data.properties, { phone: '+4930123456', name: 'Ann' });
    const next = await it.collector.event('page_view', 2);
    assert.deepEqual([next.data.experiment_id, next.data.experiment_variant], ['exp', 'c']);
    assert.deepEqual(it.errors, []);
});

test('events that come together are sent together', async () => {
    const page = await it.open(TEXT);
    await it.shows(page, '#text', SHOWN);
    await page.evaluate(() => {
        for (let count = 0; count < 5; count++) callweave('event', 'one');
    });
    await it.collector.event('one', 5);
    assert.equal(it.collector.requests.length, 2);
});

test('while the page is seen it says so, and not while it is hidden', async () => {
    it.collector.settings.heartbeat_seconds = 0.3;
    const page = await it.open(TEXT);
    await it.collector.event('heartbeat', 2);
    const beat = it.collector.requests.find((request) => request.events[0].type === 'heartbeat');
    assert.equal(beat.numbers.want, false);
    assert.equal(beat.numbers.held[0].lease_id, LEASED.lease_id);
    const see = (state) =>
        page.evaluate((state) => {
            Object.defineProperty(document, 'hidden', { value: state === 'hidden', configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
        }, state);
    await see('hidden');
    await page.waitForTimeout(200); // for one that was on its way
    const count = it.collector.events('heartbeat').length;
    await page.waitForTimeout(1000);
    assert.equal(it.collector.events('heartbeat').length, count);
    await see('visible');
    await it.collector.event('heartbeat', count + 1);
});

test('a visitor who comes back to the page after hours has a session of their own', async () => {
    it.collector.settings.heartbeat_seconds = 0.3;
    const page = await it.open(TEXT, {}, '?utm_source=a');
    await it.shows(page, '#text', SHOWN);
    const id = await idle(120);
    const view = await it.collector.event('page_view', 2);
    assert.notEqual(view.session_id, id);
});

test('loaded twice it runs once', async () => {
    const again = `<script async src="${it.collector.origin}/callweave.js" data-site="acme/main"></script>`;
    const page = await it.open(TEXT + again);
    await it.shows(page, '#text', SHOWN);
    await navigate(page, '/next');
    await it.collector.event('page_view', 2);
    await page.evaluate(() => callweave('event', 'end'));
    await it.collector.event('end');
    assert.equal(it.collector.events('page_view').length, 2);
});

test('a tag without a site, and a page without what it needs, are left alone', async () => {
    const page = await it.context.newPage();
    const early = `delete window.MutationObserver; delete Element.prototype.attachShadow; window.crypto.getRandomValues = null`;
    it.pages.all.set('/no', html(it.collector, TEXT).replace('data-site="acme/main"', ''));
    it.pages.all.set('/old', html(it.collector, TEXT, { early }));
    for (const path of ['/no', '/old']) {
        await page.goto(it.pages.origin + path, { waitUntil: 'load' });
        assert.equal(await it.text(page, '#text'), '(415) 555-0100');
    }
    assert.deepEqual(it.errors, []);
});
